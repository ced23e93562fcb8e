"""Meta's `tokenizer.model` (SentencePiece BPE) as a Hugging Face tokenizer."""

from pathlib import Path
from typing import Any

from camelid.errors import UserError


def read_tokenizer(path: str | Path) -> Any:
    """Read a LLaMA-1, LLaMA-2 or Code Llama `tokenizer.model`; ids equal SentencePiece's for every text.

    Raises:
        UserError: the file is no SentencePiece model (Llama 3's is a tiktoken file), or the package is missing.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise UserError(f"{path}: reading it needs the package sentencepiece; pip install camelid[meta]") from None
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
    control = [model.id_to_piece(index) for index in (model.unk_id(), model.bos_id(), model.eos_id())]
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in control])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{control[1]} $A", special_tokens=[(control[1], model.bos_id())]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=control[0], bos_token=control[1], eos_token=control[2]
    )


def _merges(model: Any, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to make a piece of two others, the best pieces first: what BPE with scores does."""
    merges = []
    for piece, index in vocabulary.items():
        if model.is_control(index) or model.is_byte(index) or model.is_unknown(index):
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                merges.append((model.get_score(index), vocabulary[left], vocabulary[right], left, right))
    ordered = sorted(merges, key=lambda merge: (-merge[0], merge[1], merge[2]))
    return [(left, right) for *_, left, right in ordered]
