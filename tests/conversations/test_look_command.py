"""show, audit and stats, on data whose faults are known."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.message import Conversation, Message
from conversations.look.show import to_terminal
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder

from_user, from_model = "Which <b>animal</b> & why?", "The camel.\n\n```\n</pre><script>alert(1)</script>\n```"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer folder: byte-level, with ChatML's tokens and ChatML as its chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    backend.train_from_iterator(["user assistant Which animal? The camel."] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    published = Path(__file__).parent / "tokens" / "chat_templates" / "chatml.jinja"
    tokenizer.chat_template = published.read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., str]:
    def write(*conversations: Conversation) -> str:
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(one.to_json()) + "\n" for one in conversations), encoding="utf-8")
        return str(path)

    return write


def chat(name: str, *texts: str, weight: float | None = None) -> Conversation:
    turns = [
        Message("assistant", text, weight) if index % 2 else Message("user", text) for index, text in enumerate(texts)
    ]
    return Conversation(name, tuple(turns))


def test_show_prints_the_mask_without_colour(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(chat("a", "Hi", "no"), chat("b", from_user, from_model))
    for template in ("chatml", "tokenizer"):
        options = ["--template", template, "--tokenizer", folder]
        assert main(["conversations", "show", path, "--id", "b", *options]) == 0
        out = capsys.readouterr().out
        runs = re.findall(r"^ +([01](?: \+)?) +(.*(?:\n {7}.*)*)", out, flags=re.MULTILINE)
        trained = "".join(text for weight, text in runs if "+" in weight)
        letters = re.sub(r"\n {7}", "", trained).replace("│", "").replace("↵", "\n")
        assert letters == from_model + "<|im_end|>"
        assert "3 control tokens" not in out and "4 control tokens" in out


def test_show_paints_what_is_trained_and_nothing_else(folder: str) -> None:
    from transformers import AutoTokenizer

    encoder = Encoder(get_template("chatml"), AutoTokenizer.from_pretrained(folder))
    painted = to_terminal(encoder.explain(chat("a", "Hi", "The camel. </s>\n", "q", from_model)))
    green = "".join(painted.plain[at.start : at.end] for at in painted.spans if " on " in str(at.style))
    assert green.replace("↵", "\n") == f"The camel. </s>\n<|im_end|>{from_model}<|im_end|>"


def test_show_writes_a_page_that_runs_nothing(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = data(chat("x<y>", from_user, from_model)), tmp_path / "page.html"
    options = ["--template", "chatml", "--tokenizer", folder, "--html", str(page)]
    assert main(["conversations", "show", path, *options]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "<b>" not in text and "<y>" not in text
    cells = re.findall(r'<span class="([^"]*)" title="id (\d+), weight ([\d.]+)"[^>]*>(.*?)</span>', text, re.DOTALL)
    shown = "".join(unescape(cell[3]) for cell in cells if "trained" in cell[0]).replace("↵", "")
    assert shown == from_model + "<|im_end|>"
    from transformers import AutoTokenizer

    encoder = Encoder(get_template("chatml"), AutoTokenizer.from_pretrained(folder))
    tokens = encoder.encode(chat("x", from_user, from_model))
    assert [int(cell[1]) for cell in cells] == tokens.ids.tolist()
    assert [float(cell[2]) for cell in cells] == tokens.weights.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id", "zz"], "none of its 1 conversations has the id 'zz'"),
        (["--index", "7"], "it has 1 conversations, numbered from 0"),
        (["--template", "chatmll"], "did you mean 'chatml'"),
        (["--tokenizer", "/nowhere"], "no such model folder"),
        (["--template", "llama-3"], "needs the special token(s) '<|begin_of_text|>'"),
    ],
)
def test_mistakes_are_named(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    path = data(chat("a", "Hi", "no"))
    assert main(["conversations", "show", path, "--template", "chatml", "--tokenizer", folder, *options]) == 2
    assert message in capsys.readouterr().err


def run_audit(path: str, folder: str, length: int, *options: str) -> int:
    options = ("--template", "chatml", "--tokenizer", folder, "--max-length", str(length), *options)
    return main(["conversations", "audit", path, *options])


def test_audit_passes_good_data(data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    chats = [chat(str(number), f"Question {number}?", f"Answer {number}.") for number in range(30)]
    assert run_audit(data(*chats), folder, 200) == 0
    out = capsys.readouterr().out
    assert "0 of 30 answers lose their end-of-turn token" in out and "ready to train" in out and "FAIL" not in out


@pytest.mark.parametrize(
    ("chats", "finding"),
    [
        ([chat(str(n), "Hi", "no", weight=0.0) for n in range(9)], "9 of 9 documents have nothing to train on"),
        ([chat("q", "Hi")], "1 of 1 documents have nothing to train on"),
        ([chat(str(n), "Hi", f"{n} and on " * 99) for n in range(9)], "9 of 9 answers lose their end-of-turn token"),
        ([chat(str(n), "Hi", "no") for n in range(9)], "8 of 9 documents repeat another, token for token"),
        ([Conversation("r", (Message("assistant", "no"),))], "turn 1 is 'assistant', expected 'user'"),
        ([chat("w", "word " * 150, "k")], "tokens are trained"),
        ([], "no document is left to train on"),
    ],
)
def test_audit_stops_what_would_waste_a_run(
    data: Callable[..., str],
    folder: str,
    capsys: pytest.CaptureFixture[str],
    chats: list[Conversation],
    finding: str,
) -> None:
    assert run_audit(data(*chats), folder, 800 if finding == "tokens are trained" else 100) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if finding in line and line.startswith("FAIL")], out
    assert "not ready to train" in out


def test_audit_counts_what_training_will_see(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same numbers as the training data loader's."""
    from transformers import AutoTokenizer

    from finetune.data.token_data import load_tokens
    from finetune.recipe import DataSection, DataSource

    chats = [chat(str(n), *("word " * (5 * n + k + 1) for k in range(6))) for n in range(12)]
    path = data(*chats)
    run_audit(path, folder, 120)
    out = capsys.readouterr().out
    section = DataSection((DataSource(path),), "chatml", max_length=120)
    loaded = load_tokens(Path(path).parent, section, AutoTokenizer.from_pretrained(folder), 0)
    assert f"of {loaded.ids.size:,} tokens are trained" in out
    documents = loaded.ledgers[1]
    untrained, cut = documents.dropped["nothing to train on"], documents.repaired["answer cut at max_length"]
    assert untrained and cut
    assert f"{untrained} of {documents.read} documents have nothing to train on" in out
    assert f"{cut} of {loaded.documents} documents are cut off at 120 tokens" in out
    histogram = [int(row.split()[-1]) for row in out.split("documents)\n")[1].splitlines() if row.startswith("  ")]
    assert sum(histogram) == documents.read and histogram[-1] >= untrained + cut


def test_split_writes_pieces_and_what_became_of_the_rest(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(
        chat("a", *(f"{word} " * 20 for word in ("one", "two", "three", "four", "five", "six"))),
        chat("a_0", "Hi", "no"),  # the id of a's first piece
        Conversation("bad", (Message("assistant", "no"),)),
        chat("long", "Hi", "word " * 400),
    )
    out, options = tmp_path / "pieces.jsonl", ["--template", "chatml", "--tokenizer", folder, "--max-tokens", "300"]
    command = ["conversations", "split", path, "--output", str(out), *options]
    assert main([*command, "--overlong", "drop"]) == 0
    pieces = [Conversation.from_json(record, "x") for _, record in read_jsonl(out)]
    assert "a_0#2" in [piece.id for piece in pieces] and len({piece.id for piece in pieces}) == len(pieces)
    assert [m.content for piece in pieces for m in piece.messages][:6] == [
        f"{word} " * 20 for word in ("one", "two", "three", "four", "five", "six")
    ]
    conversations, exchanges = json.loads(out.with_suffix(".ledger.json").read_text())["ledgers"]
    assert conversations["read"] == 4 and conversations["kept"] == 2
    assert conversations["dropped"] == {"the template cannot write it": 1, "no exchange left": 1}
    assert exchanges["read"] == 5 and exchanges["kept"] == 4
    assert "turn 1 is 'assistant'" in capsys.readouterr().err
    assert main(command) == 0  # without a policy the long one stays, too long
    assert "long" in [record["id"] for _, record in read_jsonl(out)]
    assert main(["conversations", "split", data(), "--output", str(out), *options]) == 1


def test_stats_counts_what_the_template_cannot_write(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(chat("a", "Hi", "no"), Conversation("bad", (Message("assistant", "no"),)))
    options = ["--output", str(tmp_path / "out"), "--template", "chatml", "--tokenizer", folder]
    assert main(["conversations", "stats", path, *options]) == 0
    assert "1 have no tokens: the template cannot write them (1: conversation 'bad'" in capsys.readouterr().out


def test_stats_page_holds_its_charts(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(chat("a", "Hi", "no"), chat("b", "Hi", "no", "four", "five5"))
    options = ["--output", str(tmp_path / "out"), "--template", "chatml", "--tokenizer", folder]
    assert main(["conversations", "stats", path, *options]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^turns +6 +3\.0 +3 +4 +4$", out, re.MULTILINE)
    assert re.search(r"^characters, assistant +9 +3\.0 +2 +5 +5$", out, re.MULTILINE)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert (
        page.count("<svg") == 5
        and "src=" not in page
        and "http"
        not in page.replace("http://www.w3.org", "")
        .replace("http://purl.org", "")
        .replace("http://creativecommons.org", "")
        .replace("https://matplotlib.org", "")
    )
    assert (tmp_path / "out" / "tokens.png").is_file()


def test_stats_of_nothing_and_of_half_an_encoder(
    data: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path: Any = data()
    assert main(["conversations", "stats", path, "--output", str(tmp_path / "out")]) == 0
    assert main(["conversations", "stats", path, "--output", str(tmp_path / "out"), "--template", "chatml"]) == 2
    assert "go together" in capsys.readouterr().err
