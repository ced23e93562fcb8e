"""From a preference record to a document: a prompt with its answers, as token ids.

The answers of a prompt stand in one document, so that packing, sharing work over processes and cutting a micro-batch
that does not fit into memory never part them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from conversations.preference import LabelledAnswer, Preference, prompt_key
from conversations.tokens.tokenize import Encoder
from finetune.data.hold_out import content_hash

# Share of the prompt in a document from which it is faster to read it once and let all answers see it: with less, the
# mask that this wants on a CPU costs more than the tokens that it saves (benchmarks/preference.py).
SHARE = 0.25
UNKNOWN = -1  # a label or a grade that nobody gave
TOO_LONG = "prompt and answers longer than data.max_length"
Ids = npt.NDArray[np.int32]


class PreferenceDocument(NamedTuple):
    """A prompt with its answers.

    Attributes:
        ids: (n,) token ids.
        prompts, answers: see `AnswerPieces`.
        labels: of each answer, 1 or 0: of a pair whether it is safe, of a single answer whether it is wanted;
            `UNKNOWN` where that is not known.
        grade: of a pair, by how much the chosen answer, the first, is better; `UNKNOWN` where that is not known.
        prompt_hash: the same for the same prompt.
    """

    ids: Ids
    prompts: tuple[int, ...]
    answers: tuple[int, ...]
    labels: tuple[int, ...]
    grade: int
    prompt_hash: int


@dataclass(frozen=True)
class EncodedAnswers:
    """A prompt's token ids and those of each answer, its end of turn included where it was said."""

    prompt: Ids
    answers: tuple[Ids, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


def encode_answers(encoder: Encoder, prompt: Sequence[Message], answers: Sequence[Message]) -> EncodedAnswers | None:
    """Token ids of a prompt and its answers, as the template writes each answer behind the prompt.

    Args:
        encoder: trains the last answer alone, which is how an answer is told from its prompt.
        prompt: the messages before the answers.
        answers: at least one.

    Returns:
        None if nothing of some answer is left: it is empty, and cut off before its end of turn.
    """
    prompts, found = [], []
    for answer in answers:
        tokens = encoder.encode(Conversation("", (*prompt, answer)))
        trained = np.flatnonzero(tokens.weights)
        if not trained.size:
            return None
        prompts.append(tokens.ids[: trained[0]])
        found.append(tokens.ids[trained[0] : trained[-1] + 1])
    assert all(np.array_equal(other, prompts[0]) for other in prompts), "the prompt alone decides its tokens"
    return EncodedAnswers(prompts[0], tuple(found))


def lay_out(encoded: EncodedAnswers, share: bool) -> tuple[Ids, tuple[int, ...], tuple[int, ...]]:
    """The ids of a document, and its `AnswerPieces.prompts` and `AnswerPieces.answers`.

    Args:
        encoded: prompt and answers.
        share: whether the prompt stands there once, for all answers.
    """
    first, *others = encoded.answers
    again = encoded.prompt[:0] if share else encoded.prompt
    parts = [encoded.prompt, first, *(part for answer in others for part in (again, answer))]
    prompts = (len(encoded.prompt), *(len(again) for _ in others))
    return np.concatenate(parts), prompts, tuple(map(len, encoded.answers))


def shares_prompt(encoded: EncodedAnswers, longest: int, share_from: float) -> bool:
    """Whether to read the prompt once for all answers: where that is faster, or a document would not fit otherwise."""
    prompt, total = len(encoded.prompt), encoded.tokens
    return prompt >= share_from * total or total + prompt * (len(encoded.answers) - 1) > longest


def fit_answers(
    encoder: Encoder, prompt: Sequence[Message], answers: Sequence[Message], longest: int, ledger: Ledger
) -> EncodedAnswers | None:
    """Token ids of a prompt and its answers, at most `longest`; the prompt's oldest exchanges are left out for it.

    Args:
        encoder, prompt, answers: as for `encode_answers`.
        longest: tokens of them all.
        ledger: counts what is dropped, and where exchanges were left out.

    Returns:
        None if it is dropped.
    """
    system = tuple(prompt[:1]) if prompt[0].role == "system" else ()
    turns = tuple(prompt[len(system) :])
    for begin in range(0, len(turns), 2):
        encoded = encode_answers(encoder, (*system, *turns[begin:]), answers)
        if encoded is None:
            ledger.drop("an answer with nothing to train on")
            return None
        if encoded.tokens <= longest:
            if begin:
                ledger.repair("oldest exchanges of the prompt left out")
            return encoded
    ledger.drop(TOO_LONG)
    return None


def pair_documents(
    pairs: Iterable[Preference], encoder: Encoder, longest: int, share_from: float, ledger: Ledger
) -> Iterator[PreferenceDocument]:
    """One document a pair: the chosen answer, then the rejected one.

    Args:
        pairs: the records.
        encoder: as for `encode_answers`.
        longest: most tokens of a document.
        share_from: see `shares_prompt`.
        ledger: counts pairs.
    """
    for pair in pairs:
        answers = [pair.chosen.message(), pair.rejected.message()]
        encoded = fit_answers(encoder, pair.prompt, answers, longest, ledger)
        if encoded is None:
            continue
        ledger.keep()
        safety = pair.safety
        labels = (UNKNOWN, UNKNOWN) if safety is None else (int(safety.chosen), int(safety.rejected))
        yield PreferenceDocument(
            *lay_out(encoded, shares_prompt(encoded, longest, share_from)),
            labels,
            UNKNOWN if pair.grade is None else pair.grade,
            content_hash(encoded.prompt),
        )


def labelled_documents(
    labelled: Iterable[LabelledAnswer], encoder: Encoder, longest: int, share_from: float, ledger: Ledger
) -> Iterator[PreferenceDocument]:
    """One document a labelled answer: the answer, then one that was given to another prompt.

    KTO measures by the second how far the policy is from its reference (Ethayarajh et al. 2024, section 4.1). It comes
    from the nearest prompt before; for the first prompt from the second.

    Args:
        labelled: the records, those of one prompt next to each other.
        encoder, longest, share_from: as for `pair_documents`.
        ledger: counts answers.
    """
    others: list[Message] | None = None
    waiting: list[LabelledAnswer] = []
    for _, group in groupby(labelled, key=lambda record: prompt_key(record.prompt)):
        same = list(group)
        answers = [record.answer.message() for record in same]
        if others is None and not waiting:
            waiting = same
            continue
        if others is None:
            yield from _with_others(waiting, answers, encoder, longest, share_from, ledger)
            others = [record.answer.message() for record in waiting]
        yield from _with_others(same, others, encoder, longest, share_from, ledger)
        others = answers
    if others is None:
        for _ in waiting:
            ledger.drop("no other prompt whose answer it could be measured with")


def _with_others(
    labelled: Sequence[LabelledAnswer],
    others: Sequence[Message],
    encoder: Encoder,
    longest: int,
    share_from: float,
    ledger: Ledger,
) -> Iterator[PreferenceDocument]:
    """The documents of one prompt; `others` are answers to another."""
    for index, record in enumerate(labelled):
        encoded = fit_answers(encoder, record.prompt, [record.answer.message()], longest - 1, ledger)
        if encoded is None:
            continue
        other = encode_answers(encoder, record.prompt, [others[index % len(others)]])
        room = longest - encoded.tokens
        if other is None:
            ledger.drop("the answer it would be measured with has nothing to train on")
            continue
        if len(other.answers[0]) > room:
            ledger.repair("the answer it is measured with was cut")
        ledger.keep()
        both = EncodedAnswers(encoded.prompt, (*encoded.answers, other.answers[0][:room]))
        yield PreferenceDocument(
            *lay_out(both, shares_prompt(both, longest, share_from)),
            (int(record.label), UNKNOWN),
            UNKNOWN,
            content_hash(encoded.prompt),
        )
