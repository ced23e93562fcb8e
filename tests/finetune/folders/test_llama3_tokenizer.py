"""Llama 3's tokenizer file gives the ids that tiktoken gives, and a broken one does not cost the weights."""

import base64
import json
from itertools import pairwise
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from camelid.app.cli import main
from finetune.folders.llama3_tokenizer import PATTERN, control_tokens
from tests.finetune.folders.tiny_folders import write_meta

TEXTS = [
    "Hello world, it's 12345 o'clock!", "  two blanks\n\n\tand a tab  ", "naïve café — 你好 😀",
    "WE'LL see: x=3.14e-5;", "a" * 40, "",
]  # fmt: skip


def train_ranks(merges: int) -> dict[bytes, int]:
    """Byte pairs by their frequency in the texts, as tiktoken's own example trains them."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    words = [[bytes([byte]) for byte in text.encode()] for text in TEXTS * 2]
    for _ in range(merges):
        pairs: dict[bytes, int] = {}
        for word in words:
            for left, right in pairwise(word):
                if left + right not in ranks:
                    pairs[left + right] = pairs.get(left + right, 0) + 1
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        ranks[best] = len(ranks)
        for word in words:
            place = 0
            while place < len(word) - 1:
                if word[place] + word[place + 1] == best:
                    word[place : place + 2] = [best]
                place += 1
    return ranks


def write_ranks(path: Path, ranks: dict[bytes, int]) -> None:
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))


def test_ids_are_tiktokens(tmp_path: Path) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = train_ranks(60)
    names = control_tokens()
    special = {name: len(ranks) + place for place, name in enumerate(names)}
    truth = tiktoken.Encoding("llama3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
    write_meta(tmp_path / "meta", 2, vocabulary=len(ranks) + len(names))
    write_ranks(tmp_path / "meta" / "tokenizer.model", ranks)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    for text in TEXTS:
        ids = tokenizer(text).input_ids
        assert ids == [special["<|begin_of_text|>"], *truth.encode(text)]
        assert tokenizer.decode(ids[1:]) == text
    marked = "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    assert tokenizer(marked, add_special_tokens=False).input_ids == truth.encode(marked, allowed_special="all")
    # Where Llama 3.1 has its control tokens (tokenizer_config.json of meta-llama/Llama-3.1-8B-Instruct).
    published = {"<|begin_of_text|>": 0, "<|end_of_text|>": 1, "<|finetune_right_pad_id|>": 4, "<|start_header_id|>": 6,
                 "<|end_header_id|>": 7, "<|eom_id|>": 8, "<|eot_id|>": 9, "<|python_tag|>": 10}  # fmt: skip
    assert {name: names.index(name) for name in published} == published
    assert len(names) == 256 and names[255] == "<|reserved_special_token_247|>"


@pytest.mark.parametrize("content", ["IQ== 0\nnot base64 1\n", "no tokenizer at all"])
def test_a_broken_tokenizer_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    write_meta(tmp_path / "meta", 1)
    (tmp_path / "meta" / "tokenizer.model").write_text(content)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0
    assert "camelid: warning: " in capsys.readouterr().err
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "model" / "config.json").read_text())["vocab_size"] == 96
