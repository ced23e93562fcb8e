"""Ids that repeat get a number."""

from dataclasses import replace

from camelid.files.ledger import Ledger
from camelid.message import Conversation


def with_unique_id(conversation: Conversation, ids: set[str], ledger: Ledger) -> Conversation:
    """The conversation under its id, or `<id>#2`, `<id>#3`, ... if `ids` has it already; `ids` learns the new one."""
    name, number = conversation.id, 1
    while name in ids:
        number += 1
        name = f"{conversation.id}#{number}"
    ids.add(name)
    if number == 1:
        return conversation
    ledger.repair("repeated id made unique")
    # What had one id may be two exports of one chat; like branches, these stay on one side of a split.
    return replace(conversation, id=name, meta={"tree": conversation.id, **conversation.meta})
