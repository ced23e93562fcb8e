"""Answers of models, and judgments of them whose outcome is known."""

import numpy as np

from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgments import Judgment
from eval.numbers.summarise import summarise
from eval.results import Results

QUESTIONS = [Question(str(index), ("math", "writing")[index % 2], ("q",)) for index in range(40)]


def said(*models: str) -> list[Answer]:
    return [Answer(q.id, model, (f"{model}!" * (1 + int(q.id) % 3),), (False,)) for model in models for q in QUESTIONS]


def graded(model: str, shift: float, judge: str = "j", seed: int = 0) -> list[Judgment]:
    noise = np.random.default_rng(seed).integers(-1, 2, len(QUESTIONS))
    return [
        Judgment("single", q.id, 1, (model,), judge, (float(np.clip(5 + shift + n, 1, 10)),), "")
        for q, n in zip(QUESTIONS, noise, strict=True)
    ]


def paired(mode: str, chance: float, judge: str = "j", seed: int = 0) -> list[Judgment]:
    """x against y, the baseline; each question has its winner in both orders."""
    rng, made = np.random.default_rng(seed), []
    for q in QUESTIONS:
        x = float(rng.random() < chance)
        scores = (4 + 4 * x, 6.0) if mode == "vicuna" else (x, 1 - x)
        made.append(Judgment(mode, q.id, 1, ("x", "y"), judge, scores, "", baseline="y"))
        made.append(Judgment(mode, q.id, 1, ("y", "x"), judge, scores[::-1], "", baseline="y"))
    return made[::2] if mode == "alpaca" else made


def single(gap: float, **options: bool) -> Results:
    return summarise("t", QUESTIONS, said("a", "b"), graded("a", 0) + graded("b", gap, seed=1), **options)
