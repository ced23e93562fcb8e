"""`/v1/completions` with `echo`: how likely a prompt is, as evaluation harnesses ask for it."""

from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import Running

PROMPTS = [[5, 9, 40, 7, 12], list(range(20, 90)), [33], list(range(100, 230))]


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def peer(lively_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(lively_model)


def truth(peer: Any, prompt: list[int]) -> torch.Tensor:
    """(tokens, V) log-probabilities of what follows each token, by transformers."""
    with torch.no_grad():
        logprobs: torch.Tensor = peer(torch.tensor([prompt])).logits[0].float().log_softmax(-1)
    return logprobs


@pytest.mark.parametrize("new", [0, 1, 5])
def test_prompts_come_with_their_log_probabilities(
    client: openai.OpenAI, served: ServedModel, peer: Any, new: int
) -> None:
    """Several lists of ids in one request, one of them twice, against transformers."""
    prompts = [*PROMPTS, PROMPTS[0]]
    reply = client.completions.create(
        model="lively", prompt=prompts, echo=True, logprobs=3, max_tokens=new, temperature=0
    )
    assert [choice.index for choice in reply.choices] == list(range(5))
    for prompt, choice in zip(prompts, reply.choices, strict=True):
        logprobs = choice.logprobs
        assert logprobs is not None and logprobs.tokens and logprobs.token_logprobs and logprobs.top_logprobs
        assert len(logprobs.tokens) == len(logprobs.top_logprobs) == len(logprobs.text_offset or ())
        assert len(prompt) < len(logprobs.tokens) <= len(prompt) + new or not new
        assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
        rows = truth(peer, prompt)
        own = [float(row[token]) for row, token in zip(rows, prompt[1:], strict=False)]
        assert logprobs.token_logprobs[1 : len(prompt)] == pytest.approx(own, abs=1e-4)
        for row, top in zip(rows, logprobs.top_logprobs[1 : len(prompt)], strict=False):
            best = row.topk(3).values.tolist()
            assert max(top.values()) == pytest.approx(best[0], abs=1e-4)
            assert all(any(abs(value - known) < 1e-4 for known in best) for value in top.values())
        assert choice.text.startswith(served.tokenizer.decode(prompt))
        assert new or (choice.text == served.tokenizer.decode(prompt) and choice.finish_reason == "length")


def test_an_echo_is_the_prompt_and_then_what_comes_without_it(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "lively", "prompt": "red cat sees", "temperature": 0, "max_tokens": 12}
    plain, echoed = client.completions.create(**ask), client.completions.create(**ask, echo=True)
    assert echoed.choices[0].text == "red cat sees" + plain.choices[0].text and echoed.choices[0].logprobs is None
    pieces = list(client.completions.create(**ask, echo=True, logprobs=1, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == echoed.choices[0].text
    streamed = [token for piece in pieces if piece.choices[0].logprobs for token in piece.choices[0].logprobs.tokens]  # type: ignore[union-attr]
    whole = client.completions.create(**ask, echo=True, logprobs=1).choices[0].logprobs
    assert whole is not None and streamed == whole.tokens
    twice = client.completions.create(**{**ask, "temperature": 1}, echo=True, n=2, seed=4)
    assert [choice.text.startswith("red cat sees") for choice in twice.choices] == [True, True]


def test_the_end_token_counts_as_the_one_token_asked_for(client: openai.OpenAI, served: ServedModel, peer: Any) -> None:
    """Harnesses cut the last token off: the reply must have it whatever it is."""
    words = [index for index in range(3, served.model.config.vocab_size) if index not in served.end_ids]
    prompts = [[first, second] for first in words[:40] for second in words[:40]]
    logits = truth(peer, prompts[0])
    ending = []
    for prompt in prompts:
        logits = truth(peer, prompt)
        if int(logits[-1].argmax()) in served.end_ids:
            ending.append(prompt)
        if len(ending) == 2:
            break
    assert ending
    for choice in client.completions.create(
        model="lively", prompt=ending, echo=True, logprobs=1, max_tokens=1, temperature=0
    ).choices:
        assert choice.finish_reason == "stop" and choice.logprobs is not None
        assert len(choice.logprobs.tokens or ()) == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"max_tokens": 0, "echo": False}, "goes with 'echo' alone"),
        ({"prompt": "x", "suffix": "y"}, "'suffix'"),
        ({"prompt": [[7] * 200] * 128, "logprobs": 20}, "fewer prompts"),
    ],
)
def test_what_is_refused(client: openai.OpenAI, change: dict[str, Any], why: str) -> None:
    with pytest.raises(openai.BadRequestError, match=why):
        client.completions.create(**{"model": "lively", "prompt": [5, 6], "echo": True, **change})
