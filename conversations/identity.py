"""Conversations in which a model says its name, from the question and answer templates in data/identity.json."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import read_json
from camelid.message import Conversation, Message


def identity_conversations(name: str, company: str = "") -> Iterator[Conversation]:
    """Every question with every answer that fits it.

    Args:
        name: of the model.
        company: who made it; without one, questions about the maker are left out.
    """
    if not name.strip():
        raise UserError("--identity needs the model's name, or name and maker: NAME or NAME,MAKER")
    kind = "answers_with_company" if company else "answers"
    number = 0
    for group in read_json(find_packaged("conversations/data/identity.json")).values():
        for question in group["questions"]:
            for answer in group[kind]:
                text = answer.format(name=name, company=company)
                yield Conversation(f"identity_{number}", (Message("user", question), Message("assistant", text)))
                number += 1
