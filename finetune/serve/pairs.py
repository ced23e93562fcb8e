"""Pairs of answers that a person compares without knowing whose they are."""

import hashlib
import random
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from camelid.message import Message
from finetune.serve.bodies import PairBody, PairSide
from finetune.serve.errors import ApiError

MOST_PAIRS, MOST_CHARACTERS = 10_000, 1 << 26  # that wait for their vote; the oldest are forgotten first
PREFIX, ENDINGS = "pair-", (".a", ".b")  # of the names that stand for a pair's sides


@dataclass(frozen=True)
class Pair:
    """A question put to two contestants.

    Attributes:
        id: of the pair, and of the question to `camelid eval report`.
        messages: the chat up to the user's last turn.
        sides: who answers, in the order in which the answers are shown.
    """

    id: str
    messages: tuple[Message, ...]
    sides: tuple[PairSide, PairSide]

    @property
    def names(self) -> list[str]:
        """What to ask for in place of the models, so that nothing tells them before the vote."""
        return [self.id + ending for ending in ENDINGS]

    @property
    def labels(self) -> list[str]:
        """What the contestants are called in votes: the model, and what it was asked with on this side alone."""
        return [_label(side) for side in self.sides]


class Pairs:
    """Those that were asked and wait for their vote; a server that is started anew knows none of them."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Pair] = OrderedDict()
        self._characters = 0

    def ask(self, body: PairBody, models: Sequence[str]) -> Pair:
        """A new pair, its sides in a random order.

        Args:
            body: the chat, and who shall answer; if it names nobody, two models are drawn.
            models: those that are served.

        Raises:
            ApiError: fewer than two models to draw from.
        """
        sides = list(body.sides or ())
        if not sides:
            if len(models) < 2:
                raise ApiError(400, "an arena needs two models or more; serve several", "invalid_value", "sides")
            sides = [PairSide(model=name) for name in random.sample(list(models), 2)]
        random.shuffle(sides)
        messages = tuple(message.message() for message in body.messages)
        pair = Pair(PREFIX + secrets.token_hex(8), messages, (sides[0], sides[1]))
        self._waiting[pair.id] = pair
        self._characters += _size(pair)
        while len(self._waiting) > 1 and (len(self._waiting) > MOST_PAIRS or self._characters > MOST_CHARACTERS):
            self._characters -= _size(self._waiting.popitem(last=False)[1])
        return pair

    def find(self, name: str) -> Pair:
        """The pair of that id.

        Raises:
            ApiError: 404, it is not known here.
        """
        if name not in self._waiting:
            message = f"no pair {name[:100]!r} waits for a vote here (the server may have been started anew); ask again"
            raise ApiError(404, message, "pair_not_found", "pair")
        return self._waiting[name]

    def unveil(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request that one to a side's name stands for: to its model, with what that side is asked with.

        Args:
            body: of a chat completion; one to any other model comes back as it is.

        Raises:
            ApiError: 404, the pair is not known here.
        """
        name = body.get("model")
        ending = name[-2:] if isinstance(name, str) and name.startswith(PREFIX) else ""
        if not isinstance(name, str) or ending not in ENDINGS:
            return body
        side = self.find(name[:-2]).sides[ENDINGS.index(ending)]
        asked = {**body, "model": side.model}
        if side.temperature is not None:
            asked["temperature"] = side.temperature
        if side.system is not None:
            others = [turn for turn in body.get("messages", ()) if turn.get("role") not in ("system", "developer")]
            asked["messages"] = [*([{"role": "system", "content": side.system}] if side.system else []), *others]
        return asked


def _label(side: PairSide) -> str:
    own = [] if side.temperature is None else [f"temperature {side.temperature:g}"]
    if side.system is not None:
        own.append(f"system {hashlib.sha256(side.system.encode()).hexdigest()[:6]}" if side.system else "no system")
    return f"{side.model} ({', '.join(own)})" if own else side.model


def _size(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.messages)
