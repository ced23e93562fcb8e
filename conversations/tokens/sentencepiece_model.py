"""LLaMA's `tokenizer.model` (SentencePiece BPE) as a Hugging Face tokenizer with the same ids."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.files.write import write_json
from conversations.tokens.infill import INFILL_TOKENS

# What a folder may say of its tokenizer beside the model: a chat template, added tokens, which token pads.
_BESIDE = ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja")
# Settings that choose transformers' class and its own conversion.
_CLASS = {"tokenizer_class", "auto_map", "legacy", "sp_model_kwargs", "use_fast", "add_prefix_space", "backend"}


def has_sentencepiece_alone(folder: Path) -> bool:
    """Whether a folder has `tokenizer.model` and no `tokenizer.json`."""
    return (folder / "tokenizer.model").is_file() and not (folder / "tokenizer.json").is_file()


def open_sentencepiece_folder(folder: Path) -> Any:
    """The tokenizer of a folder that has `tokenizer.model` alone, with what other files there say of it.

    What transformers makes of such a folder has other ids.

    Raises:
        UserError: see `read_tokenizer`.
    """
    from transformers import PreTrainedTokenizerFast

    with tempfile.TemporaryDirectory() as temporary:
        read_tokenizer(folder / "tokenizer.model").save_pretrained(temporary)
        for path in (folder / name for name in _BESIDE):
            if path.is_file():
                Path(temporary, path.name).write_bytes(path.read_bytes())
        config = Path(temporary, "tokenizer_config.json")
        said = read_json(folder / config.name) if (folder / config.name).is_file() else {}
        # Early conversions of LLaMA give empty strings as its special tokens.
        kept = {name: value for name, value in said.items() if name not in _CLASS and value != ""}
        write_json(config, {**read_json(config), **kept})
        tokenizer = PreTrainedTokenizerFast.from_pretrained(temporary)
    if said.get("add_bos_token") is False:
        tokenizer.backend_tokenizer.post_processor = None
    tokenizer.name_or_path = str(folder)
    return tokenizer


def read_tokenizer(path: str | Path) -> Any:
    """Read a LLaMA-1, LLaMA-2 or Code Llama `tokenizer.model`; ids equal SentencePiece's for every text.

    User-defined symbols (Mistral's `[REFERENCE_DOC_1]`), which no merge makes, are read as plain text when typed.

    Raises:
        UserError: the file is no SentencePiece model (Llama 3's is a tiktoken file) or one of another kind (a T5's), or
            the package is missing.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise UserError(f"{path}: reading it needs the package sentencepiece; pip install 'camelid[meta]'") from None
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    try:
        model = SentencePieceProcessor(str(path))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path}: not a SentencePiece model ({error}); Llama 3's is not: take its tokenizer.json from the hub"
        ) from None
    vocabulary = {model.id_to_piece(index): index for index in range(model.get_piece_size())}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, _merges(model, vocabulary), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    for text in _probes(model):
        if tokenizer.encode(text, add_special_tokens=False).ids != model.encode(text):
            raise UserError(f"{path}: a SentencePiece model, but not of LLaMA's kind; it needs a tokenizer.json")
    control = [model.id_to_piece(index) for index in (model.unk_id(), model.bos_id(), model.eos_id())]
    infilling = [
        piece for piece in INFILL_TOKENS[0].all if piece in vocabulary
    ]  # Code Llama's, plain pieces in its file
    special = (AddedToken(piece, special=True, normalized=False) for piece in (*control, *infilling))
    tokenizer.add_special_tokens(list(special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{control[1]} $A", special_tokens=[(control[1], model.bos_id())]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=control[0], bos_token=control[1], eos_token=control[2]
    )


def _merges(model: Any, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to make a piece of two others, the best pieces first: what BPE with scores does.

    LLaMA's runs of blanks all have one score, the lowest. SentencePiece then merges from the left as far as it goes,
    which is the longest run first.
    """
    merges = []
    for piece, index in vocabulary.items():
        if not _is_text(model, index):
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                merges.append((-model.get_score(index), -len(piece), vocabulary[left], vocabulary[right], left, right))
    return [(left, right) for *_, left, right in sorted(merges)]


def _probes(model: Any) -> Iterator[str]:
    """Texts of all pieces, on which a model of another kind (Unigram, other blanks, other normalization) shows.

    User-defined symbols, whose score is 0, are left out.
    """
    yield from ("", " ", "  a  b ", "\t\uff41\u0301\r\n")
    indices = (index for index in range(model.get_piece_size()) if _is_text(model, index) and model.get_score(index))
    pieces = [model.id_to_piece(index).replace("▁", " ") for index in indices]
    Random(0).shuffle(pieces)
    for start in range(0, len(pieces), 8):
        yield "".join(pieces[start : start + 8])


def _is_text(model: Any, index: int) -> bool:
    return not (model.is_control(index) or model.is_byte(index) or model.is_unknown(index))
