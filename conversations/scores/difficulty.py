"""Instruction-following difficulty: how much less the question helps a model to say the answer than it might.

IFD is the perplexity of the answer given the question over that of the answer alone (Li et al. 2024b,
"Superfiltering"; Li et al. 2024a, who named it, take the ratio of the mean losses themselves). Near 1 the question says
little about the answer: a hard question, or an answer to another one. Above 1 it misleads.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from camelid.files.read import read_jsonl
from camelid.files.write import AppendLog, dumps
from camelid.message import Conversation
from conversations.scores.score import ConversationScore

IFD = ConversationScore(
    "ifd", "perplexity of the answers given what stands before them over that of the answers alone", "losses"
)


@dataclass(frozen=True)
class AnswerLoss:
    """What a model makes of a conversation's answers.

    Attributes:
        given: nats a token, given all that stands before each.
        alone: nats a token, each answer to an empty question.
    """

    given: float
    alone: float


@dataclass(frozen=True)
class LossModel:
    """A local model, as whoever opens it hands it over.

    Attributes:
        name: says whose losses these are.
        losses: of some conversations; where there is none, why.
    """

    name: str
    losses: Callable[[Sequence[Conversation]], list[AnswerLoss | str]]


def instruction_following_difficulty(loss: AnswerLoss) -> float:
    """exp(given) / exp(alone)."""
    return math.exp(min(loss.given - loss.alone, 700.0))


class KeptLosses:
    """Losses by conversation, on disk as soon as they are there, so that a run that was killed goes on.

    Args:
        path: the file.
        model: whose losses are asked for.
    """

    def __init__(self, path: Path, model: LossModel) -> None:
        self._model, self._log = model, AppendLog(path)
        self._known: dict[str, AnswerLoss | str] = {}
        for _, record in read_jsonl(path):
            given = record.get("given")
            self._known[record["key"]] = record["why"] if given is None else AnswerLoss(given, record["alone"])

    def of(self, conversations: Sequence[Conversation]) -> list[AnswerLoss | str]:
        """The losses of some conversations, in their order; what is not known yet is computed together."""
        keys = [_key(self._model.name, one) for one in conversations]
        new = {key: one for key, one in zip(keys, conversations, strict=True) if key not in self._known}
        found = dict(zip(new, self._model.losses(list(new.values())), strict=True)) if new else {}
        self._log.append_all(
            {"key": key, **({"why": loss} if isinstance(loss, str) else asdict(loss))} for key, loss in found.items()
        )
        self._known |= found
        return [self._known[key] for key in keys]

    def close(self) -> None:
        self._log.close()


def _key(model: str, conversation: Conversation) -> str:
    turns = [message.to_json() for message in conversation.messages]
    said = dumps([model, turns, bool(conversation.meta.get("truncated")), *conversation.tools])
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()
