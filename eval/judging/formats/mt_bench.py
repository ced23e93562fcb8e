"""MT-bench's judgments, single and pairwise (github.com/lm-sys/FastChat, fastchat/llm_judge), and its forks'."""

import re

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, text_of, with_verdict
from eval.judging.judgment import Judgment
from eval.judging.modes.pairwise import PAIRWISE
from eval.judging.modes.single import SINGLE

# An answer in FastChat's prompts, and the conversations that end in one (data/judge_prompts.jsonl).
_SECTION = re.compile(
    r"(?:\[|<\|)The Start of Assistant[^\]|]*(?:\]|\|>)(.*?)(?:\[|<\|)The End\b[^\]|]*(?:\]|\|>)", re.DOTALL
)
_LAST = re.compile(r"^### Assistant(?: [AB])?:\n", re.MULTILINE)
_WINNERS: dict[str, tuple[float, float]] = {"model_1": (1.0, 0.0), "model_2": (0.0, 1.0), "tie": (0.5, 0.5)}


def judged_answers(prompt: object, count: int) -> tuple[str, ...]:
    """The answers that a FastChat prompt asks about; empty if so many aren't found in it."""
    if not isinstance(prompt, str):
        return ()
    found = [_LAST.split(section)[-1].strip() for section in _SECTION.findall(prompt)]
    return tuple(found) if len(found) == count else ()


def judge_name(value: object) -> str:
    """FastChat writes `["gpt-4", "single-v1"]`: the judge and its prompt."""
    return str(value[0] if isinstance(value, list) else value)


def _single(record: Record, source: Source) -> list[Judgment]:
    prompt, score = record.get("user_prompt"), record.get("score")
    return [
        with_verdict(
            Judgment(
                mode=SINGLE.name,
                question=str(record["question_id"]),
                turn=int(record.get("turn", 1)),
                models=(text_of(record, "model" if "model" in record else "model_id"),),
                judge=judge_name(record["judge"]),
                scores=None,
                text=text_of(record, "judgment"),
                prompt=(prompt,) if isinstance(prompt, str) else (),
                answers=judged_answers(prompt, 1),
                stored=None if score is None or float(score) < 0 else (float(score),),
                time=float(record.get("tstamp") or 0.0),
            )
        )
    ]


def _pair(record: Record, source: Source) -> list[Judgment]:
    models = (text_of(record, "model_1"), text_of(record, "model_2"))
    made = []
    for game, order in (("g1", models), ("g2", models[::-1])):
        if game == "g2" and "g2_judgment" not in record:
            continue  # forks that ask in one order only
        prompt, stored = record.get(f"{game}_user_prompt"), _WINNERS.get(str(record.get(f"{game}_winner")))
        made.append(
            with_verdict(
                Judgment(
                    mode=PAIRWISE.name,
                    question=str(record["question_id"]),
                    turn=int(record.get("turn", 1)),
                    models=order,
                    judge=judge_name(record["judge"]),
                    scores=None,
                    text=text_of(record, f"{game}_judgment"),
                    prompt=(prompt,) if isinstance(prompt, str) else (),
                    answers=judged_answers(prompt, 2),
                    stored=stored[::-1] if stored and order != models else stored,
                    time=float(record.get("tstamp") or 0.0),
                )
            )
        )
    return made


MT_BENCH_SINGLE = JudgmentFormat(
    "MT-bench judgments", lambda record: "judgment" in record and ("model" in record or "model_id" in record), _single
)
MT_BENCH_PAIRS = JudgmentFormat("MT-bench pairwise judgments", lambda record: "g1_judgment" in record, _pair)
