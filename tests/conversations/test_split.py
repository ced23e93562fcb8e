"""Splitting loses no exchange, keeps the system message, and stays within the budget where it can."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from conversations.message import Conversation, Message
from conversations.split import split
from conversations.template import get_template
from conversations.tokenize import Encoder


def make(rng: Random, system: bool, exchanges: int) -> Conversation:
    messages = [Message("system", "Be brief.")] if system else []
    for _ in range(exchanges):
        messages.append(Message("user", "the quick brown fox " * rng.randint(1, 6)))
        messages.append(Message("assistant", "jumps over the lazy dog " * rng.randint(1, 12)))
    return Conversation("c", tuple(messages))


@pytest.mark.parametrize("template", ["vicuna_v1.1", "chatml"])
@pytest.mark.parametrize("system", [False, True])
def test_nothing_is_lost(tokenizer: Any, template: str, system: bool) -> None:
    encoder, rng = Encoder(get_template(template), tokenizer), Random(0)
    for exchanges in (1, 2, 5, 9):
        conversation = make(rng, system, exchanges)
        pieces = split(conversation, encoder, 300)
        body = [message for piece in pieces for message in piece.messages if message.role != "system"]
        assert body == [message for message in conversation.messages if message.role != "system"]
        assert all((piece.messages[0].role == "system") == system for piece in pieces)
        assert len({piece.id for piece in pieces}) == len(pieces)
        for piece in pieces:
            assert encoder.length(piece) <= 300 or len(piece.messages) - system == 2
        for one, two in pairwise(pieces):  # no piece could have taken the next exchange too
            first = two.messages[system : system + 2]
            assert encoder.length(Conversation("x", (*one.messages, *first))) > 300


def test_what_fits_is_left_alone(tokenizer: Any) -> None:
    conversation = make(Random(1), True, 2)
    assert split(conversation, Encoder(get_template("chatml"), tokenizer), 10_000) == [conversation]
