"""Vicuna's reviews (github.com/lm-sys/FastChat, fastchat/eval/table/review, 2023)."""

from camelid.files.read import Record
from eval.judging.formats.format import JudgmentFormat, Source, text_of, with_verdict
from eval.judging.judgment import Judgment
from eval.judging.modes.vicuna import VICUNA


def _read(record: Record, source: Source) -> list[Judgment]:
    named = source.path.name.split(".json")[0].removeprefix("review_").split("_")
    labels = named if len(named) == 2 else [str(record["answer1_id"]), str(record["answer2_id"])]
    models = [
        source.authors.get(str(record[f"answer{place}_id"]), label) for place, label in enumerate(labels, start=1)
    ]
    judge = str(record["reviewer_id"]).rsplit("-", 1)[0]  # gpt-4-0328-math: the last part names the prompt
    score = record.get("score")
    judgment = Judgment(
        mode=VICUNA.name,
        question=str(record["question_id"]),
        turn=1,
        models=(models[0], models[1]),
        judge=judge,
        scores=None,
        text=text_of(record, "text"),
        stored=(float(score[0]), float(score[1])) if score and min(score) >= 0 else None,
    )
    return [with_verdict(judgment)]


VICUNA_REVIEWS = JudgmentFormat("Vicuna's reviews", lambda record: "reviewer_id" in record, _read)
