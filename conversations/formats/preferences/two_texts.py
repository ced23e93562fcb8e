"""Two answers side by side as texts: StackExchange's pairs, AlpacaFarm's, WebGPT's comparisons."""

from camelid.files.read import Record
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.preferences.answers import choose, number_field, text_chat
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat, ReadPreference, all_fields

_DRAW = 1.5  # AlpacaFarm: 1 is the first, 2 the second; AlpacaEval has what is between them, and 0 for a draw


def _read_stack_exchange(record: Record, place: str) -> list[ReadPreference]:
    name, prompt = str(record.get("id") or record.get("qid") or place), text_field(record, "question", place)
    chosen, rejected = (
        text_chat(name, prompt, text_field(record, side, place)) for side in ("response_j", "response_k")
    )
    return [Compared(chosen, rejected)]


def _read_alpaca_farm(record: Record, place: str) -> list[ReadPreference]:
    name = str(record.get("id") or place)
    prompt = "\n\n".join(filter(None, (text_field(record, "instruction", place), record.get("input") or "")))
    first, second = (text_chat(name, prompt, text_field(record, side, place)) for side in ("output_1", "output_2"))
    preference = number_field(record, "preference", place, 0, 2)
    return [choose(first, second, preference - _DRAW if preference else 0)]


def _read_webgpt(record: Record, place: str) -> list[ReadPreference]:
    question = record["question"]
    asked = question if isinstance(question, dict) else {"full_text": question}
    prompt, name = text_field(asked, "full_text", f"{place}: question"), str(asked.get("id") or place)
    first, second = (text_chat(name, prompt, text_field(record, side, place)) for side in ("answer_0", "answer_1"))
    return [choose(first, second, -number_field(record, "score_0", place, -1, 1))]


STACK_EXCHANGE = PreferenceFormat(
    name="stack-exchange",
    called="StackExchange pairs",
    looks_like='`{"question", "response_j", "response_k"}`',
    names=frozenset(("response_j",)),
    marks=all_fields("response_j", "response_k"),
    fields=KnownFields(frozenset(("id", "qid", "question", "response_j", "response_k"))),
    read=_read_stack_exchange,
    source="human/stack-exchange",
    notes="`response_j` is the one with more votes",
)
ALPACA_FARM = PreferenceFormat(
    name="alpaca-farm",
    called="AlpacaFarm pairs",
    looks_like='`{"instruction", "input", "output_1", "output_2", "preference"}`',
    names=frozenset(("output_1",)),
    marks=all_fields("output_1", "output_2"),
    fields=KnownFields(frozenset(("id", "instruction", "input", "output_1", "output_2", "preference"))),
    read=_read_alpaca_farm,
    notes="also AlpacaEval's annotations; a `preference` of 0 or 1.5 is a tie",
)
WEBGPT = PreferenceFormat(
    name="webgpt",
    called="WebGPT comparisons",
    looks_like='`{"question": {"full_text"}, "answer_0", "answer_1", "score_0"}`',
    names=frozenset(("answer_0",)),
    marks=all_fields("answer_0", "answer_1", "score_0"),
    fields=KnownFields(frozenset(("question", "answer_0", "answer_1", "score_0")), frozenset(("score_1",))),
    read=_read_webgpt,
    source="human/webgpt",
)
