"""Meta's tokenizer gives the ids that SentencePiece gives."""

from pathlib import Path

from transformers import AutoTokenizer

from camelid.app.cli import main
from tests.finetune.folders.tiny_folders import write_meta


def test_meta_tokenizer_gives_sentencepieces_ids(tmp_path: Path) -> None:
    import random

    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    rng = random.Random(0)
    words = "the quick brown fox jumps over lazy dog hello world 0 1 2 3".split()
    SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(rng.choices(words, k=8)) for _ in range(500)]),
        model_prefix=str(tmp_path / "tokenizer"), vocab_size=340, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, minloglevel=2,
    )  # fmt: skip
    write_meta(tmp_path / "meta", 1)
    assert main(["weights", "import", str(tmp_path / "meta"), str(tmp_path / "model")]) == 0  # tokenizer one level up
    theirs, ours = (
        SentencePieceProcessor(str(tmp_path / "tokenizer.model")),
        AutoTokenizer.from_pretrained(tmp_path / "model"),
    )
    letters = "abcdefghijklmnop qrstuvwxyz   0123 é€世\n\t😀."
    texts = ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(500)]
    for text in [*texts, "hello world", "  two  spaces "]:
        ids = ours(text).input_ids
        assert ids == [theirs.bos_id(), *theirs.encode(text)]
        assert ours.decode(ids, skip_special_tokens=True) == text
