"""Who gets in, what they hear who don't, and addresses behind a proxy."""

import ssl
import subprocess
from pathlib import Path

import httpx2 as httpx
import pytest

from camelid.app.cli import main
from finetune.serve.access import Access, read_keys
from finetune.serve.listen import Listening, where
from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import serving

CLIENT = httpx.Client(timeout=60)  # one: each reads all certificates of the machine anew
CHAT = {"model": "lively", "messages": [{"role": "user", "content": "red cat"}], "max_tokens": 1}


def test_any_of_several_keys_and_bearer_in_any_case(served: ServedModel, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first-key\n\nsecond-key\n")
    with serving([served], tmp_path, access=Access(keys=read_keys(file))) as server:

        def status(header: str) -> int:
            return CLIENT.get(server.url + "/models", headers={"authorization": header}).status_code

        assert [status(f"{word} {key}") for word in ("Bearer", "bearer", "BEARER") for key in read_keys(file)] == [
            200
        ] * 6
        assert [status(header) for header in ("Bearer third", "Basic first-key", "first-key", "")] == [401] * 4
        refused = CLIENT.get(server.url + "/models")
        assert refused.headers["www-authenticate"] == "Bearer" and "Bearer KEY" in refused.json()["error"]["message"]


@pytest.mark.parametrize("text", ["", "\n \n", "schlüssel\n", "two words\n"])
def test_what_is_no_key_file(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").write_text(text)
    assert main(["serve", "x", "--api-key-file", str(tmp_path / "keys")]) == 2
    assert str(tmp_path / "keys") in capsys.readouterr().err


def test_names_that_it_answers_to(served: ServedModel, tmp_path: Path) -> None:
    with serving([served], tmp_path, access=Access(hosts=("chat.example", "*.lan"))) as server:

        def reply(host: str) -> httpx.Response:
            return CLIENT.get(server.address + "/health", headers={"host": host})

        for host in ("chat.example", "CHAT.example:8000", "box.lan", "localhost:1", "[::1]:8000", "127.0.0.1"):
            assert reply(host).status_code == 200, host
        for host in ("evil.example", "chat.example.evil", "lan", ""):
            refused = reply(host)
            assert refused.status_code == 400 and refused.json()["error"]["code"] == "invalid_host"
            assert "--allowed-host" in refused.json()["error"]["message"]


def test_web_pages_that_may_use_it(served: ServedModel, tmp_path: Path) -> None:
    origin = "https://chat.example"
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    with serving([served], tmp_path, access=Access(origins=(origin,), keys=("key",))) as server:
        url = server.url + "/chat/completions"
        allowed = CLIENT.options(url, headers={"origin": origin, **asks})
        assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == origin
        headers = {"origin": origin, "authorization": "Bearer key"}
        assert CLIENT.post(url, json=CHAT, headers=headers).headers["access-control-allow-origin"] == origin
        refused = CLIENT.options(url, headers={"origin": "https://evil.example", **asks})
        assert refused.status_code == 400 and "access-control-allow-origin" not in refused.headers
        assert "--cors-origin" in refused.json()["error"]["message"]


@pytest.mark.parametrize("prefix", ["", "/llm"])  # a proxy that takes its path away, and one that doesn't
def test_behind_a_proxy(served: ServedModel, tmp_path: Path, prefix: str) -> None:
    with serving([served], tmp_path, access=Access(root_path="/llm")) as server:
        for path in ("/health", "/v1/models", "/"):
            assert CLIENT.get(server.address + prefix + path).status_code == 200, path
        assert CLIENT.post(f"{server.address}{prefix}/v1/chat/completions", json=CHAT).status_code == 200


def test_head_and_errors_with_a_remedy(served: ServedModel, tmp_path: Path) -> None:
    with serving([served], tmp_path) as server:
        for path in ("/", "/leaderboard", "/health", "/metrics", "/v1/models", "/v1/models/lively", "/v1/leaderboard"):
            head = CLIENT.head(server.address + path)
            assert head.status_code == 200 and not head.content, path
        wrong: list[tuple[httpx.Response, int, str]] = [
            (CLIENT.get(server.url + "/chat/completions"), 405, "POST"),
            (CLIENT.post(server.address + "/health"), 405, "GET or HEAD"),
            (CLIENT.get(server.url + "/nothing"), 404, "no such address"),
            (CLIENT.get(server.address + "/docs"), 404, "no such address"),
        ]
        for reply, status, words in wrong:
            assert reply.status_code == status and words in reply.json()["error"]["message"]
        assert wrong[0][0].headers["allow"] == "POST"


def test_a_tls_server(served: ServedModel, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    with serving([served], tmp_path, tls=(str(certificate), str(key))) as server:
        trusting = ssl.create_default_context(cafile=str(certificate))
        address = f"https://localhost:{server.port}/health"
        assert httpx.get(address, verify=trusting).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--allowed-host", "https://chat.example"], "--allowed-host"),
        (["--cors-origin", "chat.example"], "--cors-origin"),
        (["--cors-origin", "https://chat.example/page"], "--cors-origin"),
        (["--root-path", "llm"], "--root-path"),
        (["--tls-cert", "cert.pem"], "--tls-key"),
    ],
)
def test_what_is_no_option(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "x", *options]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_a_certificate_that_is_none(lively_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.pem").write_text("hello")
    arguments = ["--tls-cert", str(tmp_path / "no.pem"), "--tls-key", str(tmp_path / "no.pem"), "--port", "0"]
    assert main(["serve", str(lively_model), *arguments]) == 2
    assert "PEM" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::", "http://[::1]:80/"),
        ("::1", "http://[::1]:80/"),
        ("box.lan", "http://box.lan:80/"),
    ],
)
def test_the_address_that_is_printed_can_be_opened(served: ServedModel, host: str, address: str) -> None:
    said = where(f"serving {served.name}", Access(host=host), Listening(), 80)
    assert said.endswith(f"chat page at {address}") and ("other addresses" in said) == (host in ("0.0.0.0", "::"))
    assert "0.0.0.0" not in said


def test_an_access_log(served: ServedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving([served], tmp_path, access_log=True) as server:
        CLIENT.get(server.address + "/health?x=%1b[31m")
    assert '"GET /health?x=%1b' in capfd.readouterr().out
