"""LLaMA's tokenizer.model gives the ids that SentencePiece gives, imported or alone in a folder."""

import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoTokenizer

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
from tests.finetune.folders.tiny_folders import write_meta

CASES = Path(__file__).parents[1] / "cases"


def train(folder: Path, vocab_size: int = 345, **options: Any) -> SentencePieceProcessor:
    """A model like LLaMA's, or unlike it by the options, as `folder/tokenizer.model`."""
    rng = Random(0)
    words = "the quick brown fox jumps over lazy dog hello world 0 1 2 3 a  def".split(" ")
    folder.mkdir(exist_ok=True)
    like_llama = {"model_type": "bpe", "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(rng.choices(words, k=8)) for _ in range(500)]),
        model_prefix=str(folder / "tokenizer"), vocab_size=vocab_size, byte_fallback=True, split_digits=True,
        minloglevel=2, **{**like_llama, **options},
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    return SentencePieceProcessor(str(folder / "tokenizer.model"))


def check_ids(ours: Any, theirs: SentencePieceProcessor) -> None:
    rng = Random(1)
    letters = "abcdefghijklmnop qrstuvwxyz   0123 é€世\n\t😀."
    texts = ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(500)]
    for text in [*texts, "hello world", "  two  spaces "]:
        ids = ours(text).input_ids
        assert ids == [theirs.bos_id(), *theirs.encode(text)]
        assert ours.decode(ids, skip_special_tokens=True) == text


def test_an_imported_folder_has_sentencepieces_ids(tmp_path: Path) -> None:
    theirs = train(tmp_path)
    write_meta(tmp_path / "meta", 1)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0  # tokenizer one level up
    check_ids(AutoTokenizer.from_pretrained(tmp_path / "model"), theirs)


def test_a_folder_with_tokenizer_model_alone_has_sentencepieces_ids(tmp_path: Path) -> None:
    theirs = train(tmp_path / "llama")
    (tmp_path / "llama" / "config.json").write_text('{"model_type": "llama"}')
    ours = open_tokenizer(tmp_path / "llama")
    check_ids(ours, theirs)
    assert ours.name_or_path == str(tmp_path / "llama")
    chat = json.loads((CASES / "two_spaces.jsonl").read_text())["messages"]
    template = get_template("vicuna_v1.1")
    encoder = Encoder(template, ours)
    asked = encoder.encode_prompt([Message("user", chat[0]["content"])])
    assert asked == [
        theirs.bos_id(),
        *theirs.encode(f"{template.default_system} USER: {chat[0]['content']} ASSISTANT:"),
    ]
    whole = encoder.encode(Conversation("x", tuple(Message(**turn) for turn in chat)))
    answer = whole.ids[whole.weights > 0].tolist()
    assert answer == [*theirs.encode(chat[1]["content"]), theirs.eos_id()]


def with_blank_runs(folder: Path) -> SentencePieceProcessor:
    """The model with pieces of 2 to 14 and of 16 blanks, all of the lowest score, as Mistral's and LLaMA's have them.

    In a protocol buffer a list grows by bytes appended (sentencepiece_model.proto: field 1, of piece and score).
    """
    path = folder / "tokenizer.model"
    for count in (*range(2, 15), 16):
        piece = ("▁" * count).encode()
        field = b"\x0a" + bytes([len(piece)]) + piece + b"\x15" + struct.pack("<f", -1e9)
        path.write_bytes(path.read_bytes() + b"\x0a" + bytes([len(field)]) + field)
    return SentencePieceProcessor(str(path))


def test_runs_of_blanks_have_sentencepieces_ids(tmp_path: Path) -> None:
    train(tmp_path / "llama")
    theirs, ours = with_blank_runs(tmp_path / "llama"), open_tokenizer(tmp_path / "llama")
    check_ids(ours, theirs)
    assert theirs.encode("a  def", out_type=str) == ["▁a", "▁", "▁def"]  # no piece of two blanks
    for count in range(100):
        for text in (" " * count + "def", f"a{' ' * count}a", f"{{\n{' ' * count}return"):
            assert ours(text, add_special_tokens=False).input_ids == theirs.encode(text), (count, text)


def test_what_the_folder_says_beside_the_model_is_kept(tmp_path: Path) -> None:
    theirs = train(tmp_path / "vicuna")
    said = {
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "", "pad_token": "[PAD]",
        "model_max_length": 2048, "legacy": False, "chat_template": get_template("llama-2").jinja,
        "added_tokens_decoder": {"345": {"content": "[PAD]", "special": True}},
    }  # fmt: skip
    (tmp_path / "vicuna" / "tokenizer_config.json").write_text(json.dumps(said))
    ours = open_tokenizer(tmp_path / "vicuna")
    check_ids(ours, theirs)
    assert (ours.eos_token_id, ours.pad_token_id, ours.model_max_length) == (theirs.eos_id(), 345, 2048)
    assert ours.chat_template == get_template("llama-2").jinja
    (tmp_path / "vicuna" / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    assert open_tokenizer(tmp_path / "vicuna")("hello world").input_ids == theirs.encode("hello world")


def test_commands_take_such_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "llama")
    named = ["--template", "vicuna_v1.1", "--tokenizer", str(tmp_path / "llama")]
    source = str(CASES / "two_spaces.jsonl")
    assert main(["conversations", "audit", source, *named, "--max-length", "500"]) == 0
    assert main(["conversations", "show", source, *named]) == 0
    assert "2│</s>" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [{"model_type": "unigram", "vocab_size": 302}, {"remove_extra_whitespaces": True},
     {"normalization_rule_name": "nmt_nfkc"}, {"add_dummy_prefix": False}],
)  # fmt: skip
def test_a_model_of_another_kind_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    train(tmp_path / "other", **options)
    with pytest.raises(UserError, match=r"other/tokenizer.model: a SentencePiece model, but not of LLaMA's kind"):
        open_tokenizer(tmp_path / "other")


def test_a_symbol_of_the_model_is_plain_text_when_typed(tmp_path: Path) -> None:
    plain, theirs = train(tmp_path / "plain"), train(tmp_path / "symbols", user_defined_symbols=["[CITE]"])
    ours = open_tokenizer(tmp_path / "symbols")
    check_ids(ours, theirs)
    typed = ours.convert_ids_to_tokens(ours("see [CITE] now", add_special_tokens=False).input_ids)
    assert typed == plain.encode("see [CITE] now", out_type=str) and len(theirs.encode("[CITE]")) == 2


def test_a_tiktoken_file_is_told_from_a_sentencepiece_model(tmp_path: Path) -> None:
    (tmp_path / "llama3").mkdir()
    (tmp_path / "llama3" / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    with pytest.raises(UserError, match=r"take its tokenizer.json from the hub") as error:
        open_tokenizer(tmp_path / "llama3")
    assert "tiktoken" not in str(error.value).replace(str(tmp_path), "")


def test_a_folder_without_a_tokenizer_says_what_to_put_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match=r"put the model's tokenizer.json or tokenizer.model into the folder"):
        open_tokenizer(tmp_path)
