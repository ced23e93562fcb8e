"""Our own judgment files."""

from typing import Any

from camelid.errors import suggest_name
from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source
from eval.judging.judgment import Judgment
from eval.judging.modes.mode import read_reply
from eval.judging.modes.table import MODES


def _read(record: Record, source: Source) -> list[Judgment]:
    fields: dict[str, Any] = {**record, "models": tuple(record["models"]), "tokens": tuple(record["tokens"])}
    fields["prompt"] = tuple(record.get("prompt", ()))
    if record["mode"] not in MODES:
        raise ValueError(f"no mode is called {record['mode']!r}{suggest_name(record['mode'], MODES)}")
    mode, ended = MODES[record["mode"]], record.get("finish_reason", "")
    stored = None if record["scores"] is None else tuple(float(score) for score in record["scores"])
    fields["scores"] = None if record["failure"] else read_reply(mode, record["text"], record["logprobs"], ended)
    fields["stored"] = stored if stored != fields["scores"] else None  # an earlier parser read it in another way
    return [Judgment(**fields)]


OURS = JudgmentFormat("Camelid's judgments", lambda record: "models" in record, _read)
