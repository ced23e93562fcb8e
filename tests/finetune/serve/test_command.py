"""What `camelid serve` and `camelid chat` refuse, and what `serve` hands over to vLLM."""

from pathlib import Path

import pytest

from camelid.app.cli import main
from finetune.serve.command import vllm_command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "nowhere"], "no model folder"),
        (["serve", "a=x", "a=y"], "second model named 'a'"),
        (["serve", "=x"], "NAME=FOLDER"),
        (["serve", "x", "y", "--adapter", "z"], "one MODEL"),
        (["serve", "x", "--port", "70000"], "--port"),
        (["serve", "x", "--max-batch", "0"], "--max-batch"),
        (["serve", "x", "--cache-tokens", "5"], "--cache-tokens"),
        (["serve", "x", "--api-key-file", "nowhere"], "no such file"),
        (["serve", "x", "--engine", "vllm"], "vLLM is not installed"),
        (["serve"], "--page-for URL"),
        (["serve", "x", "--page-for", "http://a/v1"], "leave MODEL out"),
        (["serve", "--page-for", "http://a/v1", "--adapter", "x"], "leave --adapter out"),
        (["serve", "--page-for", "localhost:8000"], "must begin with http://"),
        (["chat", "nowhere"], "no model folder"),
        (["chat", "x", "--top-p", "0"], "--top-p"),
    ],
)
def test_what_can_not_be_is_one_clear_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_a_port_that_is_taken(lively_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(lively_model), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_handing_over_to_vllm() -> None:
    command, more = vllm_command({"mine": "folder"}, None, None, "127.0.0.1", 8000, "secret")
    assert command == [
        "-m", "vllm.entrypoints.openai.api_server", "--model", "folder", "--host", "127.0.0.1", "--port", "8000",
        "--served-model-name", "mine",
    ]  # fmt: skip
    assert more == {"VLLM_API_KEY": "secret"}
    command, more = vllm_command({"mine": "folder"}, "lora", None, "::1", 1, None)
    assert command[-4:] == ["mine-base", "--enable-lora", "--lora-modules", "mine=lora"] and not more
