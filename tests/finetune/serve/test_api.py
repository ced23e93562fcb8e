"""The server as the official `openai` client sees it."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
import torch
from transformers import AutoModelForCausalLM

from camelid.message import Message
from finetune.generate.decode import Generated, generate
from finetune.generate.sampling import Sampling
from finetune.llama.attention import Documents
from finetune.serve.engine import ServerLimits
from finetune.serve.served import KEPT, ServedModel, open_served
from tests.finetune.serve.serving import Running, serving

CHATS: tuple[tuple[dict[str, str], ...], ...] = (
    ({"role": "user", "content": "red cat"},),
    ({"role": "system", "content": "be kind"}, {"role": "user", "content": "the dog sees a tree"}),
    (
        {"role": "user", "content": "Grüße 😀"},
        {"role": "assistant", "content": "bird"},
        {"role": "user", "content": "slow"},
    ),
)


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)


def expected(served: ServedModel, chat: Any, sampling: Sampling, seed: int = 0) -> Generated:
    """The module's own generation, which has tests of its own against transformers."""
    prompt = served.encoder.encode_prompt([Message(turn["role"], turn["content"]) for turn in chat])
    return generate(served.model, [prompt], [seed], served.tokenizer, served.end_ids, sampling)[0]


def streamed(stream: Any) -> tuple[str, list[Any]]:
    """The text of the first choice, and all chunks."""
    chunks = list(stream)
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks


@pytest.mark.parametrize("chat", CHATS)
def test_greedy_is_the_modules_own(client: openai.OpenAI, served: ServedModel, chat: Any) -> None:
    truth = expected(served, chat, Sampling(40, temperature=0))
    reply = client.chat.completions.create(model="lively", messages=chat, temperature=0, max_tokens=40)
    assert reply.choices[0].message.content == truth.text.strip()
    assert reply.choices[0].finish_reason == truth.finish_reason
    assert reply.usage is not None and reply.usage.completion_tokens == len(truth.ids)
    assert reply.object == "chat.completion" and reply.model == "lively"
    text, chunks = streamed(
        client.chat.completions.create(
            model="lively", messages=chat, temperature=0, max_completion_tokens=40, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    assert text == truth.text.strip()
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == truth.finish_reason
    assert chunks[-1].usage.completion_tokens == reply.usage.completion_tokens and not chunks[-1].choices
    assert chunks[-1].usage.prompt_tokens == reply.usage.prompt_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1]) and len({chunk.id for chunk in chunks}) == 1


def test_greedy_equals_transformers_in_every_shape(
    shaped_models: dict[str, Path], tmp_path: Path, one_thread: None
) -> None:
    """Token by token, all models behind one server."""
    served = [open_served(folder, name) for name, folder in shaped_models.items()]
    with serving(served, tmp_path) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        for one in served:
            peer = AutoModelForCausalLM.from_pretrained(shaped_models[one.name])
            for prompt in ([5, 9, 40], list(range(20, 90)), [33]):
                reply = client.completions.create(model=one.name, prompt=prompt, temperature=0, max_tokens=40)
                truth = peer.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False)
                ids = truth[0, len(prompt) :].tolist()
                ended = ids[-1] in one.end_ids
                ids = ids[:-1] if ended else ids
                assert reply.choices[0].text == one.tokenizer.decode(ids, skip_special_tokens=True), one.name
                assert reply.choices[0].finish_reason == ("stop" if ended else "length")
                assert reply.usage is not None and reply.usage.completion_tokens == len(ids)


def test_usage_counts_the_prompt(client: openai.OpenAI, served: ServedModel) -> None:
    reply = client.chat.completions.create(model="lively", messages=CHATS[0], max_tokens=3)  # type: ignore[arg-type]
    text = served.tokenizer.apply_chat_template(list(CHATS[0]), add_generation_prompt=True, tokenize=True)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == len(text["input_ids"])
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings(client: openai.OpenAI, served: ServedModel, stream: bool) -> None:
    whole = expected(served, CHATS[0], Sampling(40, temperature=0)).text.strip()
    stop = whole[7:10]
    reply: Any = client.chat.completions.create(
        model="lively", messages=CHATS[0], temperature=0, max_tokens=40, stop=["never", stop], stream=stream
    )  # type: ignore[call-overload]
    if stream:
        text, chunks = streamed(reply)
        reason = chunks[-1].choices[0].finish_reason
    else:
        text, reason = reply.choices[0].message.content, reply.choices[0].finish_reason
    assert text == whole[: whole.find(stop)].rstrip() and reason == "stop"


def test_several_answers_with_a_seed(client: openai.OpenAI, served: ServedModel) -> None:
    sampling = Sampling(20, temperature=0.9, top_p=0.8)
    ask: dict[str, Any] = {"model": "lively", "messages": CHATS[1], "temperature": 0.9, "top_p": 0.8, "max_tokens": 20}
    truth = [expected(served, CHATS[1], sampling, seed).text.strip() for seed in (7, 8, 9)]
    reply = client.chat.completions.create(**ask, n=3, seed=7)
    assert [choice.message.content for choice in reply.choices] == truth
    assert [choice.index for choice in reply.choices] == [0, 1, 2] and len(set(truth)) == 3
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(**ask, n=3, seed=7, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == truth
    unseeded = {client.chat.completions.create(**ask).choices[0].message.content for _ in range(6)}
    assert len(unseeded) > 1


def test_extra_sampling_fields(client: openai.OpenAI, served: ServedModel) -> None:
    truth = expected(served, CHATS[0], Sampling(30, temperature=0, repetition_penalty=1.5)).text
    reply = client.chat.completions.create(
        model="lively", messages=CHATS[0], temperature=0, max_tokens=30, extra_body={"repetition_penalty": 1.5}
    )  # type: ignore[call-overload]
    assert reply.choices[0].message.content == truth.strip()
    only_one = client.chat.completions.create(
        model="lively", messages=CHATS[0], temperature=2, max_tokens=30, extra_body={"top_k": 1}
    )  # type: ignore[call-overload]
    greedy = expected(served, CHATS[0], Sampling(30, temperature=0)).text.strip()
    assert only_one.choices[0].message.content == greedy


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(client: openai.OpenAI, served: ServedModel, stream: bool) -> None:
    """Against a forward pass over prompt and answer at once."""
    truth = expected(served, CHATS[1], Sampling(12, temperature=0))
    prompt = served.encoder.encode_prompt([Message("system", "be kind"), Message("user", "the dog sees a tree")])
    ids = torch.tensor(prompt + truth.ids)
    with torch.no_grad():
        logits = served.model(ids, torch.arange(len(ids)), Documents.from_lengths([len(ids)]))
    logprobs = torch.log_softmax(logits[len(prompt) - 1 : -1], -1)
    reply: Any = client.chat.completions.create(
        model="lively", messages=CHATS[1], temperature=0, max_tokens=12, logprobs=True, top_logprobs=4, stream=stream
    )  # type: ignore[call-overload]
    choices = [chunk.choices[0] for chunk in reply if chunk.choices] if stream else [reply.choices[0]]
    tokens = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert len(tokens) == len(truth.ids)
    for token, row, chosen in zip(tokens, logprobs, truth.ids, strict=True):
        assert token.logprob == pytest.approx(float(row[chosen]), abs=1e-4)
        best = row.topk(4).values.tolist()
        assert [rival.logprob for rival in token.top_logprobs] == pytest.approx(best, abs=1e-4)
        assert token.bytes is None or bytes(token.bytes).decode() == token.token
    if not any("\N{REPLACEMENT CHARACTER}" in token.token for token in tokens):
        assert "".join(token.token for token in tokens) == truth.text


def test_completions(client: openai.OpenAI, served: ServedModel) -> None:
    prompt = "red cat sees"
    ids = served.tokenizer(prompt)["input_ids"]
    sampling = Sampling(16, temperature=0)
    truth = generate(served.model, [ids], [0], served.tokenizer, served.end_ids, sampling)[0]
    text = client.completions.create(model="lively", prompt=prompt, temperature=0, logprobs=2)
    assert text.choices[0].text == truth.text and text.object == "text_completion"
    logprobs = text.choices[0].logprobs
    assert logprobs is not None and logprobs.tokens and logprobs.text_offset and logprobs.top_logprobs
    assert len(logprobs.tokens) == len(truth.ids) and all(len(top) <= 2 for top in logprobs.top_logprobs)
    assert logprobs.text_offset[:2] == [0, len(logprobs.tokens[0])]
    several = client.completions.create(model="lively", prompt=[ids, ids[:2]], temperature=0, n=2, max_tokens=5)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    assert several.choices[0].text == several.choices[1].text
    assert several.usage is not None and several.usage.prompt_tokens == len(ids) + 2
    chunks = client.completions.create(model="lively", prompt=prompt, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == truth.text


def test_models_and_health(client: openai.OpenAI, running: Running) -> None:
    assert [model.id for model in client.models.list()] == ["lively"]
    assert client.models.retrieve("lively").owned_by == "camelid"
    assert httpx.get(running.address + "/health").json() == {"status": "ok"}
    metrics = httpx.get(running.address + "/metrics").text
    assert 'camelid_requests_total{model="lively"} ' in metrics and metrics.endswith("\n")


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "livly"}, 404, "model_not_found", "model"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value", "messages.0.role"),
        (
            {"messages": [{"role": "system", "content": "x"}, {"role": "tool", "content": "x"}]},
            400,
            "invalid_value",
            None,
        ),
        ({"messages": [{"role": "user", "content": "red " * 400}]}, 400, "context_length_exceeded", "messages"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_000}]}, 400, "context_length_exceeded", "messages"),
        ({"temperature": 3}, 400, "invalid_value", "temperature"),
        ({"temperature": "hot"}, 400, "invalid_value", "temperature"),
        ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
        ({"n": 1000}, 400, "invalid_value", "n"),
        ({"stop": [""]}, 400, "invalid_value", None),
        ({"presence_penalty": 3}, 400, "invalid_value", "presence_penalty"),
        ({"response_format": {"type": "xml"}}, 400, "invalid_value", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, 400, "invalid_value", "response_format"),
        ({"temprature": 1}, 400, "unknown_parameter", "temprature"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "invalid_value", "tools"),
        ({"tool_choice": "required"}, 400, "invalid_value", None),
    ],
)
def test_errors_are_openais(
    client: openai.OpenAI, change: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    body = {"model": "lively", "messages": list(CHATS[0]), "max_tokens": 4, **change}
    with pytest.raises(openai.APIStatusError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    error = caught.value
    assert error.status_code == status and error.code == code
    assert error.type == "invalid_request_error" and str(error.message)
    assert param is None or error.param == param
    kinds = {404: openai.NotFoundError, 400: openai.BadRequestError}
    assert isinstance(error, kinds[status])


def test_unknown_addresses_are_errors_too(client: openai.OpenAI, running: Running) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="lively", input="x")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/model")
    assert httpx.get(running.url + "/chat/completions").status_code == 405


def test_an_api_key(served: ServedModel, tmp_path: Path) -> None:
    with serving([served], tmp_path, api_key="geheim") as server:
        for key in ("none", "geheim2", "x" * 5000):
            header = {"authorization": f"Bearer {key}"}
            assert httpx.get(server.url + "/models", headers=header).status_code == 401
        assert (
            httpx.get(server.url + "/models", headers={"authorization": "Bearer geheim€".encode()}).status_code == 401
        )
        with pytest.raises(openai.AuthenticationError) as caught:
            openai.OpenAI(base_url=server.url, api_key="none", max_retries=0).models.list()
        assert caught.value.code == "invalid_api_key"
        for path in ("/chat/completions", "/completions", "/votes"):
            assert httpx.post(server.url + path, json={}).status_code == 401
        assert list(openai.OpenAI(base_url=server.url, api_key="geheim").models.list())
        assert httpx.get(server.address + "/health").status_code == 200
        assert httpx.get(server.address + "/").status_code == 200


def test_busy_and_late(served: ServedModel, tmp_path: Path) -> None:
    ask: dict[str, Any] = {"model": "lively", "messages": CHATS[0], "temperature": 2, "max_tokens": 200, "n": 3}
    with serving([served], tmp_path, ServerLimits(batch=1, waiting=2)) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        with client.chat.completions.create(**ask, stream=True) as busy:
            next(iter(busy))
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(**ask)
        assert caught.value.code == "rate_limit_exceeded" and caught.value.response.headers["retry-after"]
    with serving([served], tmp_path, ServerLimits(timeout=0.001)) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        with pytest.raises(openai.InternalServerError) as late:
            client.chat.completions.create(**ask)
        assert late.value.status_code == 504
        with pytest.raises(openai.APIError, match=r"within 0\.001 s"):
            list(client.chat.completions.create(**ask, stream=True))
        wait_until_idle(server)


def wait_until_idle(server: Running) -> None:
    """No answer is being written or waits; fails after ten seconds."""
    for _ in range(500):
        text = httpx.get(server.address + "/metrics").text
        values = [
            line.rsplit(" ", 1)[1]
            for line in text.splitlines()
            if line.startswith(("camelid_answers_running", "camelid_answers_waiting"))
        ]
        if values == ["0"] * len(values):
            return
        time.sleep(0.02)
    raise AssertionError(text)


def metric(server: Running, name: str) -> float:
    lines = httpx.get(server.address + "/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"camelid_{name}{{"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_place(served: ServedModel, tmp_path: Path, stream: bool) -> None:
    ask = {"model": "lively", "messages": CHATS[0], "temperature": 2, "max_tokens": 220, "n": 16, "stream": stream}
    with serving([served], tmp_path, ServerLimits(batch=2)) as server:
        with contextlib.suppress(httpx.TimeoutException), httpx.Client(timeout=0.2) as client:
            if stream:
                with client.stream("POST", server.url + "/chat/completions", json=ask) as reply:
                    next(reply.iter_lines())
            else:
                client.post(server.url + "/chat/completions", json=ask)
        wait_until_idle(server)
        assert metric(server, "answers_cancelled_total") > 0
        assert metric(server, "completion_tokens_total") < 16 * 220


def test_no_other_web_page_reaches_it(running: Running) -> None:
    ask = {"model": "lively", "messages": list(CHATS[0]), "max_tokens": 1}
    url = running.url + "/chat/completions"
    assert httpx.post(url, json=ask, headers={"host": "evil.example"}).status_code == 400
    assert httpx.post(url, json=ask, headers={"content-type": "text/plain"}).status_code == 415
    assert "access-control-allow-origin" not in httpx.post(url, json=ask).headers
    assert httpx.options(url, headers={"origin": "https://evil.example"}).status_code == 405


def test_64_streams_none_lost_none_mixed_up(client: openai.OpenAI, running: Running, served: ServedModel) -> None:
    words = "red green blue small quick slow cat dog bird house tree walks sees".split()
    chats = [[{"role": "user", "content": " ".join(words[index % 13 :: 1 + index % 3])}] for index in range(64)]
    heats = [0.0 if index % 2 else 0.9 for index in range(64)]
    texts, failures = [""] * 64, []

    def ask(index: int) -> None:
        try:
            stream = client.chat.completions.create(
                model="lively", messages=chats[index], temperature=heats[index], seed=index, max_tokens=60, stream=True
            )  # type: ignore[call-overload]
            texts[index] = streamed(stream)[0]
        except Exception as error:  # reported below, in the test's own thread
            failures.append((index, error))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for heat in (0.0, 0.9):
        own = [index for index in range(64) if heats[index] == heat]
        prompts = [served.encoder.encode_prompt([Message("user", chats[index][0]["content"])]) for index in own]
        sampling = Sampling(60, temperature=heat)
        truth = generate(served.model, prompts, own, served.tokenizer, served.end_ids, sampling)
        assert [texts[index] for index in own] == [answer.text.strip() for answer in truth]
    assert len(set(texts)) > 32
    config = served.model.config
    most = (1 + KEPT) * 2 * config.num_hidden_layers * config.kv_heads * config.head_size * 4 * 64 * config.context
    assert 0 < metric(running, "cache_bytes") <= most
