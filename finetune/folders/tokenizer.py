"""Trains a tokenizer for a model that starts from nothing."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from conversations.tokens.template import Template


def train_tokenizer(texts: Iterable[str], vocab_size: int, template: Template) -> PreTrainedTokenizerFast:
    """Byte-level BPE, so any text has ids; digits stand alone (LLaMA, section 2.1, "we split all numbers").

    Args:
        texts: what it learns merges from.
        vocab_size: most tokens, the 256 bytes and the special tokens included.
        template: its control tokens become special tokens, its Jinja form the chat template.
    """
    special = list(dict.fromkeys(["<unk>", "<s>", "</s>", *template.control]))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token=template.stop[0], pad_token="<unk>"
    )
    wrapped.chat_template = template.jinja
    return wrapped
