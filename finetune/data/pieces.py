"""Prompts with their answers as documents: how many tokens each prompt and answer has, and where they lie."""

from dataclasses import dataclass

import numpy as np

from finetune.data.packing import Ints


@dataclass(frozen=True)
class AnswerPieces:
    """Of documents that are prompts with answers: which parts each is made of.

    An answer stands behind its prompt, or behind the answer before it if the two share the prompt:

        prompts, answers of a pair that shares its prompt    (5, 0), (3, 4)    | prompt | answer | answer |
        and of one that does not                             (5, 5), (3, 4)    | prompt | answer | prompt | answer |

    Attributes:
        first: (documents + 1,) int64; document d has the answers `first[d]` to `first[d + 1] - 1`.
        prompts: (answers,) int64 tokens of the prompt that stands before each answer; 0 where it shares the one before.
        answers: (answers,) int64 tokens of each answer, at least 1.
    """

    first: Ints
    prompts: Ints
    answers: Ints

    def numbers(self, documents: Ints) -> Ints:
        """The numbers of all answers of some documents, in the documents' order."""
        begins, counts = self.first[documents], np.diff(self.first)[documents]
        ends = counts.cumsum()
        numbers: Ints = np.arange(int(counts.sum())) + (begins - (ends - counts)).repeat(counts)
        return numbers

    def token_places(self, answers: Ints) -> Ints:
        """Where the tokens of some answers lie when those of all answers, without prompts, stand back to back."""
        lengths = self.answers[answers]
        starts, begins = self.answers.cumsum() - self.answers, lengths.cumsum() - lengths
        places: Ints = np.arange(int(lengths.sum())) + (starts[answers] - begins).repeat(lengths)
        return places

    def groups(self, documents: Ints) -> list[tuple[int, list[int]]]:
        """For `Documents.from_prompts`: tokens of each prompt of some documents, and of the answers that share it."""
        found: list[tuple[int, list[int]]] = []
        numbers = self.numbers(documents)
        for prompt, answer in zip(self.prompts[numbers].tolist(), self.answers[numbers].tolist(), strict=True):
            if prompt:
                found.append((prompt, []))
            found[-1][1].append(answer)
        return found


@dataclass(frozen=True)
class AnswerPlaces:
    """Where answers lie in tokens that are laid out back to back.

    Attributes:
        starts: (answers,) int64 place of each answer's first token.
        ends: (answers,) int64 place of its last token.
        before: (answers,) int64 place of the last token of its prompt, from which its first token is predicted.
    """

    starts: Ints
    ends: Ints
    before: Ints


def answer_places(pieces: AnswerPieces, documents: Ints) -> AnswerPlaces:
    """Where the answers of some documents lie when the documents are laid out one behind the other."""
    numbers = pieces.numbers(documents)
    prompts, answers = pieces.prompts[numbers], pieces.answers[numbers]
    stops = (prompts + answers).cumsum()
    starts = stops - answers
    owner = np.maximum.accumulate(np.where(prompts > 0, np.arange(prompts.size), 0))  # the answer behind its prompt
    return AnswerPlaces(starts, stops - 1, starts[owner] - 1)
