"""Instructions that came with an input: how the two become one message, are told apart again, and are written."""

from dataclasses import dataclass

from camelid.message import Conversation


@dataclass(frozen=True)
class InputForm:
    """How a template writes an instruction that came with an input; all else it writes as ever.

    Attributes:
        default_system: the system message, which the record itself has none of; None = leave it out.
        input_open: between the instruction and the input.
    """

    default_system: str | None
    input_open: str


def join_input(instruction: str, text: str) -> str:
    """An instruction and its input as one user message."""
    return f"{instruction}\n\n{text}" if text else instruction


def split_input(conversation: Conversation) -> tuple[str, str] | None:
    """The instruction and the input of a record that came with one; None for any other conversation."""
    meta, messages = conversation.meta, conversation.messages
    instruction, text = meta.get("instruction"), meta.get("input")
    if not text or not isinstance(text, str) or not isinstance(instruction, str):
        return None
    if len(messages) != 2 or messages[0].role != "user":
        return None
    if messages[0].content != join_input(instruction, text):
        return None  # edited since it was read: the messages count
    return instruction, text
