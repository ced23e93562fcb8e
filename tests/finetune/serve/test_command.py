"""`camelid chat` line by line, and what `camelid serve` refuses or hands over."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.message import Message
from conversations.formats.readers import read_conversations
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling
from finetune.generate.text_stream import TrimmedText
from finetune.serve.command import vllm_command
from finetune.serve.served import ServedModel, open_served
from finetune.serve.terminal import Terminal


def talk(served: ServedModel, *lines: str) -> list[str]:
    """What the terminal shows after each line."""
    out, given, shown = io.StringIO(), iter(lines), list[str]()

    def read(prompt: str) -> str:
        shown.append(out.getvalue())
        out.seek(0)
        out.truncate()
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    assert Terminal(served, Sampling(20, temperature=0), None, 0, read, out).run() == 0
    return shown[1:]


def answer(served: ServedModel, *messages: Message) -> str:
    prompt = served.encoder.encode_prompt(messages)
    [truth] = generate(served.model, [prompt], [0], served.tokenizer, served.end_ids, Sampling(20, temperature=0))
    return truth.text.strip()


def test_a_chat_with_history_system_reset_and_save(served: ServedModel, tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    user = Message("user", "red cat")
    first = answer(served, user)
    second = answer(served, user, Message("assistant", first), Message("user", "slow"))
    kind = answer(served, Message("system", "be kind"), user)
    shown = talk(
        served, "red cat", "", "slow", f"/save {path}", "/system be kind", "red cat", f"/save {path}", "/reset",
        f"/save {path}", "/nonsense", "red " * 300, "red cat",
    )  # fmt: skip
    assert shown[0] == first + "\n" and shown[1] == "" and shown[2] == second + "\n" and shown[5] == kind + "\n"
    assert "nothing to save" in shown[8] and "/system" in shown[9] and "fewer than 256" in shown[10]
    assert shown[11] == kind + "\n"  # the line that was too long is not in the history
    chats = list(read_conversations(path))
    assert [len(chat.messages) for chat in chats] == [4, 3]
    assert chats[0].messages[1] == Message("assistant", first) and chats[1].messages[0].role == "system"


def test_ctrl_c_keeps_what_was_said(served: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(served, Sampling(20, temperature=0), read=lambda _: "", out=io.StringIO())

    def pieces() -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "_pieces", pieces)
    terminal._answer("red cat")
    assert terminal._messages() == [Message("user", "red cat"), Message("assistant", "half")]


@pytest.mark.parametrize("pieces", [["  Hi", " ", "you", " \n", ""], ["", " ", "a  b ", "c\n\n"], [" \n "], ["x"]])
def test_trimmed_pieces_add_up_to_the_stripped_text(pieces: list[str]) -> None:
    trimmed = TrimmedText()
    assert "".join(map(trimmed.add, pieces)) == "".join(pieces).strip()


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


def test_an_adapter_changes_the_weights(lively_model: Path, tmp_path: Path) -> None:
    """The served model computes what peft's own, unmerged, computes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(lively_model, dtype=torch.float32)
    tuned = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "lora")
    ours = open_served(lively_model, "tuned", str(tmp_path / "lora"))
    plain = open_served(lively_model, "plain")
    ids = torch.tensor([5, 9, 40, 7])
    from finetune.llama.attention import Documents

    with torch.no_grad():
        mine, before = (one.model(ids, torch.arange(4), Documents.from_lengths([4])) for one in (ours, plain))
        torch.testing.assert_close(mine, tuned.eval()(ids[None]).logits[0], atol=1e-3, rtol=1e-3)
    assert (mine - before).abs().max() > 0.1 and ours.fingerprint != plain.fingerprint
