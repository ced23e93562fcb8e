"""The prompts that a policy answers, as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.message import Message
from conversations.prompts import prompts_in
from conversations.tokens.template import template_for
from conversations.tokens.tokenize import Encoder
from finetune.data.hold_out import content_hash, draw_held_out
from finetune.data.sources import source_records
from finetune.recipe import PromptDataSection


@dataclass(frozen=True)
class PpoPrompt:
    """What comes before an answer.

    Attributes:
        id: of its record.
        messages: the last is the user's.
        meta: of its record: `is_safety`, and what a verifiable reward goes by (`answer`, `schema`, `tests`).
        ids: token ids, the beginning of the answer's turn included.
    """

    id: str
    messages: tuple[Message, ...]
    meta: dict[str, Any]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a run.

    Attributes:
        training: to train on.
        validation: held out.
        ledger: what became of every prompt that was read.
    """

    training: list[PpoPrompt]
    validation: list[PpoPrompt]
    ledger: Ledger


def load_prompts(data: PromptDataSection, tokenizer: Any, seed: int, context: int) -> PromptSet:
    """Read and tokenise the prompts of a recipe.

    Args:
        data: the sources, the template, the most tokens of a prompt, and the share that is held out.
        tokenizer: a Hugging Face fast tokenizer.
        seed: picks the part of a source whose weight has a fraction, and what is held out.
        context: tokens that a prompt shares with its answer in the model.

    Raises:
        UserError: a source is missing or broken, or none of its prompts can be answered.
    """
    encoder, ledger = Encoder(template_for(data.template, tokenizer), tokenizer), Ledger("prompts")
    longest = min(data.max_length, context - 1)
    found: list[PpoPrompt] = []
    for index, source in enumerate(data.train):
        random = np.random.default_rng([seed, 2, index])
        whole, fraction = divmod(source.weight, 1.0)
        for place, record in source_records(source):
            for asked in prompts_in(record, place):
                copies = int(whole) + int(random.random() < fraction)
                ids = _fit(encoder, asked.messages, longest, ledger, copies)
                if ids is not None:
                    found += [PpoPrompt(asked.id, asked.messages, asked.meta, ids)] * copies
    if not found:
        names = ", ".join(source.path for source in data.train)
        raise UserError(f"data.train: {names}: no prompt that can be answered ({ledger.summary()})")
    hashes = np.array([content_hash(np.array(prompt.ids, np.int32)) for prompt in found], np.uint64)
    held = draw_held_out(hashes, np.arange(len(found)), seed, data.validation)
    training = [prompt for prompt, out in zip(found, held, strict=True) if not out]
    validation = [prompt for prompt, out in zip(found, held, strict=True) if out]
    if data.validation and not (training and validation):
        raise UserError(
            f"data.validation = {data.validation}: too few prompts to hold out a part and train on the rest"
        )
    return PromptSet(training, validation, ledger)


def _fit(
    encoder: Encoder, messages: Sequence[Message], longest: int, ledger: Ledger, copies: int
) -> tuple[int, ...] | None:
    """The ids of a prompt without so many of its oldest exchanges as it is too long by; None if it is dropped."""
    system = tuple(messages[:1]) if messages[0].role == "system" else ()
    turns = tuple(messages[len(system) :])
    for begin in range(0, len(turns), 2):
        ids = encoder.encode_prompt([*system, *turns[begin:]])
        if len(ids) <= longest:
            if begin:
                ledger.repair("oldest exchanges left out", copies)
            ledger.keep(copies)
            return tuple(ids)
    ledger.drop("longer than data.max_length", max(1, copies))
    return None
