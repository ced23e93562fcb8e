"""Splitting loses no exchange, keeps the system message, and stays within the budget where it can."""

from itertools import pairwise
from random import Random
from typing import Any, get_args

import pytest

from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from conversations.tokens.split import Overlong, split_conversation
from conversations.tokens.template import TEMPLATES, get_template
from conversations.tokens.tokenize import Encoder


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
        pieces = split_conversation(conversation, encoder, 300)
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
    assert split_conversation(conversation, Encoder(get_template("chatml"), tokenizer), 10_000) == [conversation]


def long_chat(rng: Random) -> Conversation:
    messages = [Message("system", rng.choice(["Be brief.", "Be kind. " * 5]))] if rng.random() < 0.5 else []
    for number in range(rng.randint(1, 12)):
        messages.append(Message("user", "the quick brown fox\n" * rng.choice([0, 1, 3, 6, 30]) + str(number)))
        messages.append(Message("assistant", f"{number} " + "jumps 日本 over " * rng.choice([0, 1, 3, 9, 50])))
    if rng.random() < 0.3:
        messages.append(Message("user", "and then? " * rng.choice([1, 40])))
    return Conversation("c", tuple(messages))


def rounds_of(conversation: Conversation) -> list[tuple[Message, ...]]:
    """Question and answer; a last question without an answer belongs to the round before it."""
    turns = [message for message in conversation.messages if message.role != "system"]
    rounds = [tuple(turns[index : index + 2]) for index in range(0, len(turns), 2)]
    if len(rounds) > 1 and len(rounds[-1]) == 1:
        rounds[-2:] = [(*rounds[-2], *rounds[-1])]
    return rounds


def is_cut(out: list[Message], one: tuple[Message, ...], overlong: Overlong) -> bool:
    """Whether these are the two messages of the round, one of them shortened as the policy says."""
    if len(out) < 2 or len(one) < 2 or not (out[0].content and out[1].content):
        return False
    question, answer = one[0].content, one[1].content
    match overlong:
        case "drop":
            return (out[0].content, out[1].content) == (question, answer)  # a last question alone was cut off
        case "truncate-answer":
            return out[0].content == question and answer.startswith(out[1].content)
        case "keep-last":
            return question.endswith(out[0].content) and out[1].content == answer


@pytest.mark.parametrize("template", sorted(TEMPLATES))
@pytest.mark.parametrize("overlong", [None, *get_args(Overlong)])
def test_every_policy_keeps_the_budget_and_accounts_for_every_round(
    tokenizer: Any, template: str, overlong: Overlong | None
) -> None:
    encoder, rng, budget = Encoder(get_template(template), tokenizer), Random(f"{template}{overlong}"), 200
    for _ in range(12):
        conversation, ledger = long_chat(rng), Ledger("exchanges")
        pieces = split_conversation(conversation, encoder, budget, overlong, ledger)
        assert len({piece.id for piece in pieces}) == len(pieces)
        out: list[Message] = []
        for piece in pieces:
            body = [message for message in piece.messages if message.role != "system"]
            assert len(piece.messages) - len(body) == (conversation.messages[0].role == "system")
            assert piece.messages[0] == conversation.messages[0] or len(body) == len(piece.messages)
            assert encoder.length(piece) <= budget or (overlong is None and len(body) <= 3)
            out += body
        # What came out is what went in, in order, but for the rounds the ledger says are cut or gone.
        whole = cut = gone = 0
        for one in rounds_of(conversation):
            if tuple(out[: len(one)]) == one:
                whole += 1
                del out[: len(one)]
            elif overlong and is_cut(out, one, overlong):
                cut += 1
                del out[:2]
            else:
                gone += 1
        assert not out
        assert (whole + cut, cut, gone) == (ledger.kept, ledger.repaired.total(), ledger.dropped.total())
        assert overlong or not (cut or gone)


def test_a_truncated_answer_does_not_teach_to_stop(tokenizer: Any) -> None:
    encoder = Encoder(get_template("chatml"), tokenizer)
    conversation = Conversation("c", (Message("user", "Go on."), Message("assistant", "the quick brown fox " * 90)))
    (piece,) = split_conversation(conversation, encoder, 150, "truncate-answer")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokens = encoder.encode(piece)
    assert tokens.ids.tolist().count(end) == 2 and tokens.weights[tokens.ids == end].tolist() == [0, 0]
    assert 140 < len(tokens.ids) <= 150 and tokens.weights.any()


def test_measures_grow_linearly_with_the_turns(tokenizer: Any) -> None:
    encoder = Encoder(get_template("vicuna_v1.1"), tokenizer)
    measured, length = [0], encoder.length

    def counted(conversation: Conversation) -> int:
        tokens = length(conversation)
        measured[0] += tokens
        return tokens

    encoder.length = counted  # type: ignore[method-assign]
    per_turn = []
    for exchanges in (20, 80, 320):
        measured[0] = 0
        split_conversation(make(Random(3), True, exchanges), encoder, 400)
        per_turn.append(measured[0] / exchanges)
    assert per_turn[2] < 1.3 * per_turn[0]
