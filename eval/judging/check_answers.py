"""Answers to prompts whose instructions code can check: their judgments, and IFEval's four figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.files.paths import find_packaged
from conversations.questions.read import question_name
from conversations.questions.records import read_file_records
from eval.ask.answer import Answer
from eval.judging.instruction_checks import Instruction, read_instructions
from eval.judging.judgment import Judgment
from eval.judging.modes.correctness import CORRECTNESS

JUDGE = "instruction-checks"


@dataclass(frozen=True, slots=True)
class FollowedShares:
    """IFEval's figures for one model (Zhou et al. 2023, section 3), each 0..1.

    Attributes:
        prompts, loose_prompts: whose instructions are all followed, to the letter or loosely.
        instructions, loose_instructions: that are followed.
    """

    prompts: float
    instructions: float
    loose_prompts: float
    loose_instructions: float


def read_all_instructions(path: str | Path) -> dict[str, tuple[Instruction, ...]]:
    """The instructions of each question of a file in IFEval's shape, by question id.

    Raises:
        UserError: see `read_instructions`.
    """
    return {
        question_name(record, place): read_instructions(record, place)
        for place, record in read_file_records(find_packaged(path))
    }


def check_answers(asked: Mapping[str, Sequence[Instruction]], answers: Sequence[Answer]) -> list[Judgment]:
    """A judgment of each answer that is there: correct if it follows every instruction to the letter."""
    judgments = []
    for answer in answers:
        if answer.question in asked and answer.turns:
            followed = [(one.name, one.followed(answer.turns[0])) for one in asked[answer.question]]
            lines = [f"{'followed' if done else 'not followed'}: {name}" for name, done in followed]
            text = "\n".join([*lines, "", f"GRADE: {'C' if all(done for _, done in followed) else 'I'}"])
            scores = CORRECTNESS.parse(text, {})
            judgments.append(
                Judgment(
                    CORRECTNESS.name, answer.question, 1, (answer.model,), JUDGE, scores, text, finish_reason="stop"
                )
            )
    return judgments


def followed_shares(asked: Mapping[str, Sequence[Instruction]], answers: Sequence[Answer]) -> FollowedShares:
    """The figures of one model; a prompt without an answer follows nothing.

    Args:
        asked: the whole set.
        answers: the model's.
    """
    said = {answer.question: answer.turns[0] for answer in answers if answer.turns}
    strict = [[one.followed(said.get(name, "")) for one in instructions] for name, instructions in asked.items()]
    loose = [[one.followed_loosely(said.get(name, "")) for one in instructions] for name, instructions in asked.items()]
    return FollowedShares(*(share for found in (strict, loose) for share in (_share(map(all, found)), _flat(found))))


def _flat(found: Sequence[Sequence[bool]]) -> float:
    return _share(done for prompt in found for done in prompt)


def _share(found: Iterable[bool]) -> float:
    values = list(found)
    return sum(values) / len(values)
