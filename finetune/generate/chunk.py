"""What a decoder writes: answers in pieces."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length"]


class ChosenToken(NamedTuple):
    """A token of an answer.

    Attributes:
        id: in the vocabulary.
        logprobs: of it and of the likeliest ones, by id, if `Sampling` asks for them; else None.
    """

    id: int
    logprobs: dict[int, float] | None


@dataclass(frozen=True)
class Chunk:
    """What a step added to an answer.

    Attributes:
        text: what can be shown by now, possibly nothing.
        tokens: that the answer's text is made of.
        end_token: that ended the answer, if one of the end tokens did. No text shows it, and `tokens` lacks it.
        end: why the answer ends here; None if it goes on. `error`: the model failed (who runs the decoder says so).
        prompt: the prompt's tokens in the first chunk, if `Sampling.prompt_logprobs` asks for them. The first token,
            which nothing comes before, has no log-probabilities.
        known: in the first chunk, tokens of the prompt that were not read anew, as their keys and values were kept.
    """

    text: str
    tokens: tuple[ChosenToken, ...] = ()
    end_token: ChosenToken | None = None
    end: FinishReason | Literal["error"] | None = None
    prompt: tuple[ChosenToken, ...] = ()
    known: int = 0


def merge_chunks(chunks: Iterable[Chunk]) -> Chunk:
    """Several chunks of one answer, in order, as one."""
    chunks = list(chunks)
    if len(chunks) == 1:  # nearly always, where a server writes what each step adds
        return chunks[0]
    return Chunk(
        "".join(chunk.text for chunk in chunks),
        tuple(token for chunk in chunks for token in chunk.tokens),
        chunks[-1].end_token,
        chunks[-1].end,
        chunks[0].prompt,
        chunks[0].known,
    )
