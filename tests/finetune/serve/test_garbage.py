"""Whatever a client sends, it gets an error in the protocol's form, and the others don't notice."""

import socket
import threading

import httpx2 as httpx
import openai
import pytest

from tests.finetune.serve.serving import Running

CHAT = {"role": "user", "content": "red cat"}
TYPE = {"content-type": "application/json"}


def answer(running: Running) -> str:
    client = openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)
    stream = client.chat.completions.create(
        model="lively", messages=[CHAT], temperature=0.8, seed=3, max_tokens=200, stream=True
    )  # type: ignore[call-overload]
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


ASK = b'{"model": "lively", "messages": [{"role": "user", "content": "%s"}]%s}'
GARBAGE = {
    "empty": (b"", 400),
    "broken": (b'{"model": "lively", "messages": [', 400),
    "not JSON": (b"hello", 400),
    "not UTF-8": (b'{"model": "\xff"}', 400),
    "a list": (b"[]", 400),
    "a number": (b"1e999", 400),
    "deep": (b"[" * 100_000, 400),
    "half a character": (b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]}', 400),
    "not a number": (ASK % (b"x", b', "temperature": NaN'), 400),
    "nulls": (b'{"model": null, "messages": null}', 400),
    "wrong types": (b'{"model": 5, "messages": {"role": []}, "stream": "yes"}', 400),
    "unknown model": (b'{"model": "gpt", "messages": [{"role": "user", "content": "x"}]}', 404),
    "10 MB prompt": (ASK % (b"red " * 2_500_000, b""), 413),
    "4 MB prompt": (ASK % (b"red " * 1_000_000, b""), 400),
    "4 MB stop": (ASK % (b"x", b', "stop": "%s"' % (b"x" * 4_000_000)), 400),
    "a million nulls": (b'{"model": "lively", "messages": [%snull]}' % (b"null," * 800_000), 400),
    "a million null prompts": (b'{"model": "lively", "prompt": [%snull]}' % (b"null," * 800_000), 400),
    "many fields": (b'{"model": "lively", %s}' % b",".join(b'"f%d": 1' % n for n in range(200_000)), 400),
    "a long field": (b'{"model": "lively", "%s": 1}' % (b"f" * 4_000_000), 400),
    "many prompts": (b'{"model": "lively", "prompt": [%s[1]]}' % (b"[1]," * 500_000), 400),
    "ids": (b'{"model": "lively", "prompt": [99999999]}', 400),
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/votes"])
def test_garbage_is_a_clear_error_and_harms_nobody(running: Running, name: str, path: str) -> None:
    body, status = GARBAGE[name]
    reply = httpx.post(running.url + path, content=body, headers=TYPE, timeout=30)
    assert reply.status_code == status or (path != "/chat/completions" and 400 <= reply.status_code < 500)
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert len(reply.content) < 2000


@pytest.mark.slow
def test_others_get_the_same_answer_meanwhile(running: Running) -> None:
    alone = answer(running)
    together: list[str] = []
    thread = threading.Thread(target=lambda: together.append(answer(running)))
    thread.start()
    for body, _ in GARBAGE.values():
        httpx.post(running.url + "/chat/completions", content=body, headers=TYPE, timeout=30)
    for broken in (
        b"GET / HTTP/9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-le",
    ):
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
            connection.sendall(broken)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(head + b"content-length: 1000\r\n\r\n{")  # and hangs up
    thread.join()
    assert together == [alone] and alone
    assert httpx.get(running.address + "/health").status_code == 200
