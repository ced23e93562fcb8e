"""`camelid tokenizer train` (SentencePiece's ids; digits, blanks and bytes as LLaMA has them) and `weights init`."""

import json
import re
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.app.cli import main
from conversations.tokens.sentencepiece_model import read_tokenizer
from finetune.folders.weights import open_tensors

ROOT = Path(__file__).parents[3]
# What this project's prose and code do not have: other scripts, all kinds of blanks, forms that normalizing changes.
ODD = [
    *("世界 €5 😀", " a   b ", "\tx\t\ty  ", "\ufb01ne \uff46ull ﾊﾝ e\u0301", "1234567890", "naïve\u00a0x\u2003y"),
    "\u2585 ▁a▁",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own documentation as text, our own code as records."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "docs.txt").write_text("\n".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))))
    code = [json.dumps({"text": path.read_text()}) for path in sorted((ROOT / "finetune").rglob("*.py"))]
    (folder / "code.jsonl").write_text("\n".join(code))
    return folder


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Path:
    output = corpus.parent / "trained"
    assert main(["tokenizer", "train", str(corpus), "--vocab", "2000", "--output", str(output)]) == 0
    return output


def test_three_thousand_lines_have_sentencepieces_ids(trained: Path) -> None:
    """By SentencePiece, by our converter and by transformers; lines that it was not trained on come back exactly.

    Without those that name a control token: Hugging Face's tokenizers read `<s>` in a text as the token.
    """
    theirs = SentencePieceProcessor(str(trained / "tokenizer.model"))
    ours, published = read_tokenizer(trained / "tokenizer.model"), AutoTokenizer.from_pretrained(trained)
    files = sorted(path for room in ("conversations", "eval", "selfinstruct") for path in (ROOT / room).rglob("*.py"))
    lines = [line for path in files for line in path.read_text().split("\n") if line]
    lines = [line for line in lines if not re.search("<(s|/s|unk)>", line)][:3000] + ODD
    assert len(lines) == 3000 + len(ODD)
    for line in lines:
        ids = theirs.encode(line)
        assert ours(line, add_special_tokens=False).input_ids == ids, line
        assert published(line).input_ids == [theirs.bos_id(), *ids], line
        assert published.decode(ids) == theirs.decode(ids) == line.replace("▁", " ")  # which stands for a blank


def test_pieces_are_of_llamas_kind(trained: Path) -> None:
    model = SentencePieceProcessor(str(trained / "tokenizer.model"))
    pieces = [model.id_to_piece(index) for index in range(model.get_piece_size())]
    assert len(pieces) == 2000 and pieces[:3] == ["<unk>", "<s>", "</s>"]
    assert pieces[3:259] == [f"<0x{byte:02X}>" for byte in range(256)]
    learned = pieces[259:]
    assert not [piece for piece in learned if re.search(r"\d.*\d|[^▁\d]\d|\d[^\d]", piece)]
    assert "▁▁▁▁" in learned  # the indentation of code is one token
    assert model.encode("12345", out_type=str) == ["▁", *"12345"]
    assert (model.bos_id(), model.eos_id(), model.pad_id()) == (1, 2, -1)


def test_the_same_command_again_does_nothing_and_another_is_refused(
    trained: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = (trained / "tokenizer.model").read_bytes()
    command = ["tokenizer", "train", str(corpus), "--output", str(trained)]
    assert main([*command, "--vocab", "2000"]) == 0
    assert "already made" in capsys.readouterr().out
    assert main([*command, "--vocab", "1900"]) == 2
    assert "exists and was made from something else" in capsys.readouterr().err
    assert (trained / "tokenizer.model").read_bytes() == model
    again = trained.with_name("again")
    assert main([*command[:-1], str(again), "--vocab", "2000"]) == 0
    assert (again / "tokenizer.model").read_bytes() == model


@pytest.mark.parametrize(
    ("text", "vocab", "says"),
    [
        ("some words\n" * 9, "5000", r"--vocab 5000: these texts fill a vocabulary of \d+ at most; give that, or more"),
        ("some words\n" * 9, "200", "--vocab 200: bytes and characters of these texts alone are 267; give more"),
        ("\n\n", "300", "no text to learn a vocabulary from"),
    ],
)
def test_texts_that_can_not_fill_a_vocabulary_are_one_line(
    text: str, vocab: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert main(["tokenizer", "train", str(tmp_path / "a.txt"), "--vocab", vocab, "--output", str(tmp_path / "t")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(says, line), line
    assert not (tmp_path / "t").exists()


def test_long_lines_and_reserved_letters_are_learned_from(tmp_path: Path) -> None:
    """SentencePiece leaves out lines of more than 4,192 bytes, and those with U+2585, saying nothing."""
    (tmp_path / "a.txt").write_text(" ".join(["zebra"] * 2000) + "\n" + "quokka \u2585 quokka\n" * 50)
    command = ["tokenizer", "train", str(tmp_path / "a.txt"), "--vocab", "285", "--output", str(tmp_path / "t")]
    assert main(command) == 0
    model = SentencePieceProcessor(str(tmp_path / "t" / "tokenizer.model"))
    assert model.encode("zebra quokka", out_type=str) == ["▁zebra", "▁quokka"]


def test_init_draws_a_shape_for_a_tokenizer(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = str(ROOT / "recipes" / "models" / "tiny.yaml")
    folders = {name: tmp_path / name for name in ("one", "same", "other")}
    for name, folder in folders.items():
        seed = "1" if name == "other" else "0"
        command = ["weights", "init", shape, "--tokenizer", str(trained), "--output", str(folder), "--seed", seed]
        assert main(command) == 0
    model, tokenizer = (kind.from_pretrained(folders["one"]) for kind in (AutoModelForCausalLM, AutoTokenizer))
    assert model.config.vocab_size == len(tokenizer) == 2000
    assert (model.config.bos_token_id, model.config.eos_token_id) == (1, 2)
    assert (folders["one"] / "tokenizer.model").read_bytes() == (trained / "tokenizer.model").read_bytes()
    first, same, other = ({key: read() for key, read in open_tensors(folder).items()} for folder in folders.values())
    assert all(same[key].equal(tensor) for key, tensor in first.items())
    assert not other["model.embed_tokens.weight"].equal(first["model.embed_tokens.weight"])
    capsys.readouterr()
    assert main([*command[:-1], "2"]) == 2
    assert "exists and was made from something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "tokenizer", "says"),
    [
        ("llama-2-7B", "trained", "llama-2-7B: no such file; no published shape either; did you mean 'llama-2-7b'?"),
        ("llama-2-7b", "nowhere", "nowhere: no tokenizer there; `camelid tokenizer train` makes one"),
    ],
)
def test_what_init_lacks_is_one_line(
    shape: str, tokenizer: str, says: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained.with_name(tokenizer)
    assert main(["weights", "init", shape, "--tokenizer", str(folder), "--output", str(tmp_path / "m")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
