"""Earlier exchanges that a record lists beside its question, as LLaMA-Factory and ms-swift do."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.message import Message
from conversations.formats.chat import LostTurn
from conversations.formats.turns import read_text


def read_history(history: object, place: str) -> Iterator[Message | LostTurn]:
    """The turns of a list of pairs of question and answer; none for null.

    Raises:
        UserError: it is no such list.
    """
    if not isinstance(history, list | None):
        raise UserError(f"{place}: field 'history' must be a list of pairs of texts, found {type(history).__name__}")
    for index, pair in enumerate(history or ()):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise UserError(f"{place}: history[{index}] must be a question and its answer, found {pair!r}")
        yield read_text("user", pair[0])
        yield read_text("assistant", pair[1])
