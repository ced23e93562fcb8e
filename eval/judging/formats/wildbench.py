"""WildBench's evaluations (github.com/allenai/WildBench, eval_results): scores, and pairs against a reference model."""

import json

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, with_verdict
from eval.judging.judgment import Judgment
from eval.judging.modes.alpaca import ALPACA
from eval.judging.modes.single import SINGLE

# WB-Reward (Lin et al. 2024): 1 and 0.5 for much and slightly better, 0 for a tie; a share of the win is (1 + it) / 2.
_SHARE_BY_EXTENT = {2: 1.0, 1: 0.75}
_SHARES = {"A++": 1.0, "A+": 0.75, "A=B": 0.5, "B=A": 0.5, "tie": 0.5, "B+": 0.25, "B++": 0.0, "A": 0.75, "B": 0.25}


def _score(record: Record, source: Source) -> list[Judgment]:
    judgment = Judgment(
        mode=SINGLE.name,
        question=str(record["session_id"]),
        turn=1,
        models=(_model(record["model_test"]),),
        judge=_named(source, "eval"),
        scores=None,
        text=json.dumps(record["parsed_result"], ensure_ascii=False) if record.get("parsed_result") else "",
        answers=(_text(record["model_output"]),) if "model_output" in record else (),
        stored=(float(record["score"]),) if record.get("score") is not None else None,
    )
    return [with_verdict(judgment)]


def _pair(record: Record, source: Source) -> list[Judgment]:
    outputs = record.get("model_outputs") or {
        record["generator"]: record["model_output"],
        record["ref_generator"]: record["ref_output"],
    }
    assigned = record.get("assignment") or dict(zip("AB", outputs, strict=True))
    models = (str(assigned["A"]), str(assigned["B"]))
    rival = str(record.get("ref_generator") or next((one for one in models if _named(source, "ref") in one), ""))
    share = _share(record, models)
    return [
        Judgment(
            mode=ALPACA.name,
            question=str(record["session_id"]),
            turn=1,
            models=(_model(models[0]), _model(models[1])),
            judge=_named(source, "eval"),
            scores=None if share is None else (share, 1 - share),
            text=json.dumps(record.get("parsed_result") or {}, ensure_ascii=False),
            baseline=_model(rival) or None,
            answers=(_text(outputs[models[0]]), _text(outputs[models[1]])),
        )
    ]


def _share(record: Record, models: tuple[str, str]) -> float | None:
    """The first one's share of the win."""
    choice = str((record.get("parsed_result") or {}).get("choice"))
    if "extent" not in record:
        return _SHARES.get(choice)
    winner = record["winner"]
    if winner == "tie":
        return 0.5
    won = _SHARE_BY_EXTENT.get(int(record["extent"]))
    return None if won is None or winner not in models else won if winner == models[0] else 1 - won


def _named(source: Source, part: str) -> str:
    """What a folder's name says, as in `eval=gpt-4o-2024-05-13/ref=gpt-4-turbo-2024-04-09`."""
    found = [one.removeprefix(f"{part}=") for one in source.path.parts if one.startswith(f"{part}=")]
    return found[-1] if found else f"unnamed {part}"


def _model(name: object) -> str:
    return str(name).rsplit("/", 1)[-1]


def _text(output: object) -> str:
    return str(output[0]) if isinstance(output, list) and output else str(output)


WILDBENCH_SCORES = JudgmentFormat(
    "WildBench scores", lambda record: {"session_id", "model_test", "score"} <= record.keys(), _score
)
WILDBENCH_PAIRS = JudgmentFormat(
    "WildBench pairs",
    lambda record: "session_id" in record and ("model_outputs" in record or "ref_generator" in record),
    _pair,
)
