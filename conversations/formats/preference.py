"""Preference data, which no reader of chats takes: of its answers some are there to be avoided."""

from camelid.errors import UserError
from camelid.files.read import Record

# Pairs as TRL, UltraFeedback, LLaMA-Factory and OpenAI write them; marks of single answers as for KTO (Ethayarajh et
# al. 2024).
_PAIR = ("chosen", "rejected", "chosen_response", "rejected_response", "preferred_output", "non_preferred_output")
_MARK = ("label", "kto_tag")
# Two answers side by side: LMSYS's arena, as chats and as texts; StackExchange's; SHP's; AlpacaFarm's.
_SIDES = (
    ("conversation_a", "conversation_b"),
    ("response_a", "response_b"),
    ("response_j", "response_k"),
    ("human_ref_A", "human_ref_B"),
    ("output_1", "output_2"),
)
_NAMES = frozenset((*_PAIR, *_MARK, *(name for sides in _SIDES for name in sides)))


def refuse_preference(record: Record, place: str) -> None:
    """Refuse a record that says which answers are wanted and which are not.

    Raises:
        UserError: it is one.
    """
    if _NAMES.isdisjoint(record):  # as nearly all are
        return
    pair = [name for name in _PAIR if record.get(name)]
    pair += [name for sides in _SIDES if sides[0] in record and sides[1] in record for name in sides]
    if pair:
        fields = ", ".join(map(repr, pair))
        raise UserError(
            f"{place}: preference data ({fields}): a rejected answer must not be trained as if it were wanted; to "
            "train the chosen ones, write each as the last of its `messages`, without these fields"
        )
    mark = next((name for name in _MARK if isinstance(record.get(name), bool)), None)
    if mark:
        raise UserError(
            f"{place}: preference data ({mark!r} says whether the answer is wanted): an unwanted answer must not be "
            "trained; to train the wanted ones, keep the records where it is true, without this field"
        )
