"""A reward model's folder, ready to score answers."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from camelid.errors import UserError
from camelid.message import Message
from conversations.tokens.tokenize import Encoder
from finetune.data.batches import make_answer_batch
from finetune.data.pieces import AnswerPieces
from finetune.data.preference_documents import SHARE, EncodedAnswers, encode_answers, lay_out, shares_prompt
from finetune.folders.open_folder import open_chat_tokenizer, open_weights
from finetune.llama.config import LlamaConfig
from finetune.objectives.reward import answer_scores

BATCH_TOKENS = 8192  # of the prompts that are scored together, at most; one alone may have more
CPU_BATCH_TOKENS = 2048  # there what lies between the layers of a small model should stay in the cache


class RewardModel:
    """A score of an answer to a prompt: a logit, higher for better answers.

    Args:
        folder: of a `LlamaForSequenceClassification` with one label (or its family's), with the tokenizer and its
            chat template.

    Attributes:
        vocabulary: token ids by text.
        batch_tokens: of the prompts that are scored together, at most; one alone may have more.

    Raises:
        UserError: it holds another kind of model, or lacks its score layer.
    """

    def __init__(self, folder: str | Path) -> None:
        config = LlamaConfig.from_folder(folder)
        if not config.num_labels:
            raise UserError(
                f"{folder}: no reward model ({config.family.architecture}); train one with a recipe of `kind: reward`"
            )
        chat = open_chat_tokenizer(Path(folder))
        self._model = open_weights(Path(folder))
        self._encoder = Encoder(chat.encoder.template, chat.tokenizer, last_turn_only=True)
        self._context = config.context
        self.vocabulary: dict[str, int] = chat.tokenizer.get_vocab()
        self.batch_tokens = CPU_BATCH_TOKENS if self._model.output.weight.is_cpu else BATCH_TOKENS

    def encode(self, prompt: Sequence[Message], answers: Sequence[Message]) -> EncodedAnswers | str:
        """The tokens of a prompt and its answers; if they cannot be scored, why.

        A prompt whose longest answer would not fit into the model's context loses its oldest exchanges.
        """
        system = tuple(prompt[:1]) if prompt[0].role == "system" else ()
        turns = tuple(prompt[len(system) :])
        for begin in range(0, len(turns), 2):
            encoded = encode_answers(self._encoder, (*system, *turns[begin:]), answers)
            if encoded is None:
                return "an empty answer that was cut off"
            if len(encoded.prompt) + max(map(len, encoded.answers)) <= self._context:
                return encoded
        return f"longer than the model's context of {self._context} tokens"

    def score(self, encoded: Sequence[EncodedAnswers]) -> list[list[float]]:
        """The score of each answer of each prompt, in one forward pass."""
        laid = [lay_out(each, shares_prompt(each, self.batch_tokens, SHARE)) for each in encoded]
        counts = np.array([len(answers) for _, _, answers in laid])
        pieces = AnswerPieces(
            first=np.append(0, counts.cumsum()),
            prompts=np.array([count for _, prompts, _ in laid for count in prompts]),
            answers=np.array([count for _, _, answers in laid for count in answers]),
        )
        device = self._model.output.weight.device
        batch = make_answer_batch([ids for ids, _, _ in laid], pieces, np.arange(len(laid)), device)
        with torch.inference_mode():
            head = partial(answer_scores, batch=batch)
            assert batch.answers is not None
            read = batch.answers.ends
            scores: list[float] = self._model(
                batch.input_ids, batch.positions, batch.documents, head, read_N=read
            ).tolist()
        ends = counts.cumsum().tolist()
        return [scores[end - count : end] for end, count in zip(ends, counts.tolist(), strict=True)]

    def batched(self, encoded: Iterable[EncodedAnswers | str]) -> Iterator[list[EncodedAnswers | str]]:
        """What is scored together, in order: as much as fits into a batch, whoever asks and whenever."""
        batch: list[EncodedAnswers | str] = []
        tokens = 0
        for each in encoded:
            size = 0 if isinstance(each, str) else each.tokens
            if batch and tokens + size > self.batch_tokens:
                yield batch
                batch, tokens = [], 0
            batch.append(each)
            tokens += size
        if batch:
            yield batch
