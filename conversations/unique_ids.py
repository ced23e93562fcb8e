"""Ids that repeat get a number."""

from dataclasses import replace

from camelid.files.ledger import Ledger
from camelid.message import Conversation


def with_unique_id(conversation: Conversation, ids: set[str], ledger: Ledger) -> Conversation:
    """The conversation under its id, or `<id>#2`, `<id>#3`, ... if `ids` has it already; `ids` learns the new one."""
    name = unique_id(conversation.id, ids)
    if name == conversation.id:
        return conversation
    ledger.repair("repeated id made unique")
    # What had one id may be two exports of one chat; like branches, these stay on one side of a split.
    return replace(conversation, id=name, meta={"tree": conversation.id, **conversation.meta})


def unique_id(name: str, ids: set[str]) -> str:
    """The id, or `<id>#2`, `<id>#3`, ... if `ids` has it already; `ids` learns the new one."""
    unique, number = name, 1
    while unique in ids:
        number += 1
        unique = f"{name}#{number}"
    ids.add(unique)
    return unique
