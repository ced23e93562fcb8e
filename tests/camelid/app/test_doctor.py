"""`camelid doctor`: what is broken makes status 1, what is merely absent does not, and the key is never shown."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

from camelid.app import doctor
from camelid.app.cli import build_parser, main
from camelid.app.command_line import leaves
from camelid.app.doctor import Finding
from finetune.parallel import devices
from tests.fake_openai import FakeOpenAI

ROOT = Path(__file__).parents[3]
KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def test_this_machine_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"torch {importlib.metadata.version('torch')}" in out
    assert out.splitlines()[-1].startswith("problems: 0")


def test_every_extra_has_a_meaning() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(doctor.EXTRAS) == set(extras) - {"dev"}


def test_commands_that_need_an_extra_exist() -> None:
    known = {parser.prog for parser, _ in leaves(build_parser())}
    named = [f"camelid {command}" for text in doctor.EXTRAS.values() for command in re.findall(r"`([^`]+)`", text)]
    assert "camelid conversations dedup" in named and set(named) <= known


def test_packages_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1", "torch>=99", "not-there>=2", "neither-here; extra == 'quant'", "pytest; extra == 'serve'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    found = by_name(list(doctor.packages("camelid")))
    assert found["not-there"] == Finding("problem", "not-there", "not installed; run: pip install 'not-there>=2'")
    assert found["torch"].level == "problem" and "is not >=99; run: pip install 'torch>=99'" in found["torch"].text
    assert "numpy" in found["packages"].text and "torch" not in found["packages"].text
    assert (found["extra quant"].level, found["extra serve"].level) == ("note", "ok")
    assert "neither-here not found" in found["extra quant"].text and "camelid[quant]" in found["extra quant"].text


@pytest.mark.parametrize(
    ("gpus", "driver", "cuda", "level", "text"),
    [
        ([devices.Gpu("NVIDIA H100", 80 << 30, True)], "570.1", "13.0", "ok", "NVIDIA H100, 80 GiB, driver 570.1"),
        ([devices.Gpu("Tesla V100", 32 << 30, False)], "570.1", "13.0", "warning", "no bfloat16"),
        ([], "570.1", None, "problem", "torch is a CPU build"),
        ([], "470.1", "13.0", "problem", "update the driver"),
        ([], None, None, "note", "none: fine for data"),
    ],
)
def test_gpus(
    gpus: list[devices.Gpu], driver: str, cuda: str, level: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "list_gpus", lambda: gpus)
    monkeypatch.setattr(devices, "cuda_build", lambda: cuda)
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: driver)
    first, *rest = doctor.gpu()
    assert first.level == level and text in first.text
    assert [finding.what for finding in rest] == (["attention"] if gpus else [])


def test_a_broken_torch_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[devices.Gpu]:
        raise OSError("libcudart.so.13: cannot open shared object file\nmore")

    monkeypatch.setattr(devices, "list_gpus", broken)
    [finding] = doctor.gpu()
    assert finding.level == "problem" and "libcudart.so.13: cannot open" in finding.text


def test_disk_says_what_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.disk("here", tmp_path / "not" / "made" / "yet").what == "disk, here"
    monkeypatch.setattr(doctor, "DISK", 1e18)
    assert doctor.disk("here", tmp_path).level == "warning"


def test_the_key_is_tried_and_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.api(None).level == "note"
    wrong = doctor.api("localhost:1")
    assert wrong.level == "problem" and "must begin with http://" in wrong.text
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FakeOpenAI() as server:
        assert doctor.api(server.url) == Finding("ok", "API", f"{server.url} answers: 1 models")
        assert not server.requests  # nothing that costs
    assert doctor.api(server.url).level == "problem"  # gone by now
    for status, level in ((401, "problem"), (404, "warning"), (500, "problem")):
        finding = doctor.api(refusing(status, monkeypatch))
        assert finding.level == level and KEY not in finding.text
    assert KEY not in capsys.readouterr().out


def refusing(status: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that answers everything with an error that repeats the key."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.handle_request, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def test_the_sandbox_that_works_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "why_missing", lambda name: None if name == "docker" else f"no {name}; choose another")
    assert doctor.sandbox() == Finding("ok", "sandbox", "docker works")
    monkeypatch.setattr(doctor, "why_missing", lambda name: f"no {name}; choose another")
    text = "only --sandbox none for programs: no bubblewrap; choose another"
    assert doctor.sandbox() == Finding("note", "sandbox", text)
