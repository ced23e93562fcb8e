"""Scores by a judge: how good answers are and how hard questions, from 1 to 6, as DEITA (Liu et al. 2024).

A grade is the mean of 1 to 6 under the probabilities that the model gives them as its first token. A conversation's
complexity and quality are means over its exchanges; its DEITA score is the sum over exchanges of complexity times
quality, so longer conversations have more (deita's selection/scorer/base.py and selection/filter/combined_filter.py).
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from camelid.files.read import read_text
from camelid.message import Conversation, Message
from camelid.models.llm import Reply, Request
from conversations.scores.score import ConversationScore

GRADES = (1, 2, 3, 4, 5, 6)
LEAST_KNOWN = 0.5  # of the first token's probability that must be grades; below it the reply begins with something else
MAX_TOKENS = 16  # a number, and what a talkative model puts around it
_NUMBER = re.compile(r"(?<![\d.])([1-6](?:\.\d+)?)(?![\d.]*\d)")

COMPLEXITY = ConversationScore("complexity", "how hard the questions are, by the judge (1 to 6)", "judge")
QUALITY = ConversationScore("quality", "how good the answers are, by the judge (1 to 6)", "judge")
DEITA = ConversationScore("deita", "sum over the exchanges of complexity times quality, by the judge", "judge")
# What each needs to be graded.
PARTS = {COMPLEXITY.name: (COMPLEXITY,), QUALITY.name: (QUALITY,), DEITA.name: (COMPLEXITY, QUALITY)}


def exchanges_of(conversation: Conversation) -> list[tuple[str, str]]:
    """(question, answer) of every answer: the user's turn before it, or nothing, and what was said."""
    found, question = [], ""
    for message in conversation.messages:
        if message.role == "user":
            question = message.content
        elif message.role == "assistant" and message.content:
            found.append((question, message.content))
    return found


def grade_request(part: ConversationScore, question: str, answer: str, seed: int) -> Request:
    """Ask for one grade, with the probabilities of the first token's rivals."""
    values = {"question": question, "answer": answer}
    text = re.sub(r"\{(question|answer)\}", lambda found: values[found[1]], _prompt(part))
    extra = {"logprobs": True, "top_logprobs": 20}  # the most that OpenAI gives
    return Request((Message("user", text),), temperature=0.0, max_tokens=MAX_TOKENS, seed=seed, extra=extra)


def _prompt(part: ConversationScore) -> str:
    return read_text(Path(__file__).parents[1] / "data" / f"grade_{part.name}.txt").strip()


def read_grade(reply: Reply) -> tuple[float, bool] | None:
    """The grade, and whether it is a mean over probabilities; without these it is the number in the reply."""
    if reply.top_logprobs:
        grade = expected_grade(reply.top_logprobs[0])
        if grade is not None:
            return grade, True
    numbers = {float(number) for number in _NUMBER.findall(reply.text) if float(number) <= GRADES[-1]}
    return (numbers.pop(), False) if len(numbers) == 1 else None


def expected_grade(logprobs: Mapping[str, float]) -> float | None:
    """The mean grade under a token's probabilities, those of grades alone and made to sum to 1.

    Args:
        logprobs: natural logarithms of probabilities by token; blanks around a grade don't matter.

    Returns:
        A number from 1 to 6; None where the token is most likely no grade.
    """
    chances = dict.fromkeys(GRADES, 0.0)
    for token, logprob in logprobs.items():
        if token.strip() in {str(grade) for grade in GRADES}:
            chances[int(token)] += math.exp(logprob)
    known = sum(chances.values())
    return sum(grade * chance for grade, chance in chances.items()) / known if known >= LEAST_KNOWN else None


def judged_scores(grades: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """A conversation's scores from the grades of its exchanges, by part; those that they suffice for."""
    found = {name: sum(values) / len(values) for name, values in grades.items() if values}
    if COMPLEXITY.name in found and QUALITY.name in found:
        pairs = zip(grades[COMPLEXITY.name], grades[QUALITY.name], strict=True)
        found[DEITA.name] = sum(complexity * quality for complexity, quality in pairs)
    return found
