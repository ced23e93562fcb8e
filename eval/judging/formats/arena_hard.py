"""Arena-Hard's judgments and battles (github.com/lmarena/arena-hard-auto, v0.1 and v2)."""

import json
from dataclasses import replace

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, text_of, with_verdict
from eval.judging.formats.mt_bench import judged_answers
from eval.judging.judgment import Judgment
from eval.judging.modes.arena_hard import ARENA_HARD, parse_battle

BASELINE_V01 = "gpt-4-0314"  # v0.1's, which its files don't name (config/judge_config.yaml)
JUDGE_OF_BATTLES = "judge of the battles"  # battles don't name theirs
_WINNERS = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0)}  # all else ("tie", "tie (bothbad)") is a tie


def _games(record: Record, source: Source) -> list[Judgment]:
    """The baseline is assistant A in the first game and B in the second (gen_judgment.py)."""
    model, baseline = text_of(record, "model"), str(record.get("baseline") or BASELINE_V01)
    made = []
    for game, order in zip(record["games"], ((baseline, model), (model, baseline)), strict=False):
        judgment = Judgment(
            mode=ARENA_HARD.name,
            question=str(record["uid"] if "uid" in record else record["question_id"]),
            turn=1,
            models=order,
            judge=str(record["judge"]),
            scores=None,
            text="",
            failure="the file holds no reply" if game is None else None,
            baseline=baseline,
            time=float(record.get("tstamp") or 0.0),
        )
        made.append(judgment if game is None else _played(judgment, game))
    return made


def _played(judgment: Judgment, game: Record) -> Judgment:
    reply, asked = game["judgment"], game.get("prompt", game.get("user_prompt"))
    text = reply.get("answer") if isinstance(reply, dict) else reply
    if not isinstance(text, str):
        raise TypeError(f"the judge's reply must be text, found {text!r}")
    prompt = tuple(str(one["content"]) for one in asked) if isinstance(asked, list) else (str(asked),) if asked else ()
    stored = parse_battle(f"[[{game['score']}]]", {}) if game.get("score") else None
    answers = judged_answers(prompt[-1] if prompt else None, 2)
    return with_verdict(replace(judgment, text=text, prompt=prompt, answers=answers, stored=stored))


def _battle(record: Record, source: Source) -> list[Judgment]:
    models = (text_of(record, "model_a"), text_of(record, "model_b"))
    won = _WINNERS.get(str(record["winner"]), (0.5, 0.5))
    question = str(record.get("question_id", source.row))
    return [Judgment(ARENA_HARD.name, question, 1, models, JUDGE_OF_BATTLES, won, json.dumps(record), stored=won)]


def _sum_battles(judgments: list[Judgment]) -> list[Judgment]:
    """One judgment a question and pair, the mean of its two games: a game has as many rows as it counts for."""
    found: dict[tuple[str, tuple[str, ...]], list[Judgment]] = {}
    for item in judgments:
        found.setdefault((item.question, item.models), []).append(item)
    made = []
    for rows in found.values():
        sums = tuple(sum(item.scores[side] for item in rows if item.scores) / 2 for side in (0, 1))
        text = "\n".join(item.text for item in rows)
        made.append(replace(rows[0], scores=sums, stored=None, text=text))
    return made


ARENA_HARD_JUDGMENTS = JudgmentFormat("Arena-Hard judgments", lambda record: "games" in record, _games)
ARENA_HARD_BATTLES = JudgmentFormat(
    "Arena-Hard battles",
    lambda record: {"model_a", "model_b", "winner", "question_id"} <= record.keys() and "judge" not in record,
    _battle,
    _sum_battles,
)
