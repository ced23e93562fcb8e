"""Small tokenizers of every family, trained here, each with a bare twin that knows no special token.

For the commands: a tokenizer folder, and a file of conversations.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from camelid.message import Conversation
from tests.chatml_folder import save_chatml_folder

CONTROL = [
    "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
]  # fmt: skip
TEXT = [
    "USER: Hello! ASSISTANT: Hi there, how can I help you today?",
    "Below is an instruction that describes a task. ### Instruction: ### Response: ### Input:",
    "A chat between a curious user and an artificial intelligence assistant. [INST] <<SYS>> [/INST]",
    "the quick brown fox jumps over the lazy dog 0123456789 user assistant system",
    "see http://example.com ::: //comment\n\n\nand   wide   gaps",
]
# The pre-tokenizer of Llama 3's tokenizer.json.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Family:
    """How a tokenizer family treats text between special tokens.

    Attributes:
        bare: (text, whether it begins the sequence) -> (ids, pieces, character offsets), without special tokens.
        tokenizer: the whole tokenizer.
    """

    bare: Callable[[str, bool], Any]
    tokenizer: Any


def with_controls(tokenizer: Tokenizer, control: list[str] = CONTROL) -> Any:
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def family(first: Tokenizer, later: Tokenizer | None = None) -> Family:
    """`first` tokenises what begins the sequence, `later` what stands behind a special token."""
    bare, behind = Tokenizer.from_str(first.to_str()), Tokenizer.from_str((later or first).to_str())
    return Family(lambda text, begins: (bare if begins else behind).encode(text), with_controls(first))


@cache
def byte_level(kind: str = "gpt-2") -> Family:
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-3"))
    if kind == "gpt-2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=450, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 5, trainer)
    return family(tokenizer)


@cache
def trained(kind: str) -> sentencepiece.SentencePieceProcessor:
    """A model trained by SentencePiece with LLaMA's settings."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 20),
        model_writer=model,
        model_type=kind,
        vocab_size=450 if kind == "bpe" else 150,
        byte_fallback=kind == "bpe",
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@cache
def llama(legacy: bool) -> Family:
    """The two shapes LLaMA's tokenizer has had: a normalizer (legacy) or a Metaspace pre-tokenizer."""
    model = trained("bpe")
    vocabulary = {model.id_to_piece(index): index for index in range(model.get_piece_size())}
    merges = [
        (-model.get_score(index), piece[:cut], piece[cut:])
        for piece, index in vocabulary.items()
        if not (model.is_control(index) or model.is_byte(index) or model.is_unknown(index))
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    pairs = [(left, right) for _, left, right in sorted(merges)]

    def build(scheme: Any) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        if legacy:
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:  # as transformers' LlamaTokenizer builds it for legacy=False
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        return tokenizer

    return family(build("first"), build("never"))


@cache
def unigram() -> Family:
    """As T5's: unknown characters stay unknown, compatibility forms are rewritten."""
    model = trained("unigram")
    pieces = [
        (model.id_to_piece(index), model.get_score(index))
        for index in range(model.get_piece_size())
        if not model.is_control(index)
    ]

    def build(unknown: str) -> Tokenizer:
        tokenizer = Tokenizer(models.Unigram([(unknown, 0.0), *pieces[1:]], unk_id=0))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace()
        return tokenizer

    bare = build("\uf8ff")  # a Unigram model would find a typed "<unk>" in its vocabulary
    return Family(lambda text, begins: bare.encode(text), with_controls(build("<unk>")))


FAMILIES: dict[str, Callable[[], Family]] = {
    "byte-level": byte_level,
    "byte-level-llama-3": lambda: byte_level("llama-3"),
    "sentencepiece-legacy": lambda: llama(legacy=True),
    "sentencepiece": lambda: llama(legacy=False),
    "unigram": unigram,
}


@pytest.fixture(scope="session", params=FAMILIES)
def tokenizer_family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]()


@pytest.fixture(scope="session")
def tokenizer(tokenizer_family: Family) -> Any:
    return tokenizer_family.tokenizer


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer folder: byte-level, with ChatML's tokens and ChatML as its chat template."""
    path = tmp_path_factory.mktemp("tokenizer")
    save_chatml_folder(path)
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., str]:
    """Writes conversations to a file and returns its path."""

    def write(*conversations: Conversation) -> str:
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(one.to_json()) + "\n" for one in conversations), encoding="utf-8")
        return str(path)

    return write
