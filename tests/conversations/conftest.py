"""Small tokenizers of every family, trained here."""

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CONTROL = [
    "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
]  # fmt: skip
TEXT = [
    "USER: Hello! ASSISTANT: Hi there, how can I help you today?",
    "Below is an instruction that describes a task. ### Instruction: ### Response: ### Input:",
    "A chat between a curious user and an artificial intelligence assistant. [INST] <<SYS>> [/INST]",
    "the quick brown fox jumps over the lazy dog 0123456789 user assistant system",
]


def _wrap(tokenizer: Tokenizer, bos: bool = True) -> Any:
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_level() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXT * 5, trainers.BpeTrainer(vocab_size=400, special_tokens=CONTROL, initial_alphabet=alphabet)
    )
    return _wrap(tokenizer)


def sentencepiece(legacy: bool) -> Any:
    """The two shapes that LLaMA's tokenizer.json has had: a normalizer (legacy) or a Metaspace pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", *alphabet, *CONTROL[:2], *CONTROL[3:]])
    tokenizer.train_from_iterator(TEXT * 5, trainer)
    import json

    state = json.loads(tokenizer.to_str())  # byte pieces belong to the vocabulary, not to the control tokens
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in CONTROL]
    return _wrap(Tokenizer.from_str(json.dumps(state)))


def unigram() -> Any:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=CONTROL, unk_token="<unk>")
    tokenizer.train_from_iterator(TEXT * 5, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    return _wrap(tokenizer)


@pytest.fixture(scope="session", params=["byte-level", "sentencepiece-legacy", "sentencepiece", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return {
        "byte-level": byte_level,
        "sentencepiece-legacy": lambda: sentencepiece(legacy=True),
        "sentencepiece": lambda: sentencepiece(legacy=False),
        "unigram": unigram,
    }[request.param]()
