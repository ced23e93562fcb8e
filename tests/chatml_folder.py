"""A tokenizer folder made on the spot: byte-level, with ChatML's tokens and ChatML as its chat template."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def save_chatml_folder(path: Path) -> None:
    """Write the folder."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    backend.train_from_iterator(["user assistant Which animal? The camel."] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    published = Path(__file__).parent / "conversations" / "tokens" / "chat_templates" / "chatml.jinja"
    tokenizer.chat_template = published.read_text(encoding="utf-8")
    tokenizer.save_pretrained(path)
