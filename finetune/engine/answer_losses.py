"""Losses of answers, with what stands before them and without: what `conversations score` makes IFD of."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.scores.difficulty import AnswerLoss, LossModel
from conversations.tokens.tokenize import Encoder, TokenizedConversation
from finetune.data.batches import make_micro_batch
from finetune.data.packing import pack_documents
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.folders.open_folder import folder_fingerprint, open_chat_tokenizer, open_weights
from finetune.llama.model import Llama
from finetune.objectives.next_token import token_losses

BATCH_TOKENS = 8192  # of the documents read at once; one alone may have more


def open_answer_losses(folder: Path) -> LossModel:
    """Load a model folder; its tokenizer carries the template as its chat template.

    Raises:
        UserError: no weights, no tokenizer, or a chat template that is not known.
    """
    chat, model = open_chat_tokenizer(folder), open_weights(folder)
    return LossModel(f"{folder}@{folder_fingerprint([folder])}", partial(answer_losses, model, chat.encoder))


def answer_losses(model: Llama, encoder: Encoder, conversations: Sequence[Conversation]) -> list[AnswerLoss | str]:
    """The losses of some conversations; where there is none, why.

    What counts are the trained tokens, each as much: those of the answers, and of the ends of their turns. Alone, an
    answer is what is said to an empty question, so that its tokens are the same.

    Args:
        model: in eval mode.
        encoder: writes chats by its template.
        conversations: any number.
    """
    encoded = [_documents(encoder, one, model.config.context) for one in conversations]
    documents = [document for one in encoded if not isinstance(one, str) for document in chain(*one)]
    sums = iter(_loss_sums(model, documents))
    found: list[AnswerLoss | str] = []
    for one in encoded:
        if isinstance(one, str):
            found.append(one)
        else:
            given, alone = (_mean([next(sums) for _ in part]) for part in one)
            found.append(AnswerLoss(given, alone))
    return found


def _mean(sums: Sequence[tuple[float, int]]) -> float:
    """Nats a token over several documents."""
    return sum(loss for loss, _ in sums) / sum(count for _, count in sums)


def _documents(
    encoder: Encoder, conversation: Conversation, longest: int
) -> tuple[list[TokenizedConversation], list[TokenizedConversation]] | str:
    """What is trained of the conversation, then each of its answers alone."""
    try:
        given = [encoder.encode(document) for document in encoder.documents(conversation)]
        answers = [one for one in conversation.messages if one.role == "assistant" and one.weight != 0]
        alone = [encoder.encode(_alone(conversation, answer)) for answer in answers]
    except UserError:
        return "the template cannot write it"
    if max(len(document.ids) for document in given) > longest:
        return f"longer than the model's context of {longest} tokens"
    given, alone = ([document for document in part if document.weights[1:].any()] for part in (given, alone))
    return (given, alone) if given and alone else "no trained token"


def _alone(conversation: Conversation, answer: Message) -> Conversation:
    """An answer to an empty question; one that was cut off stays so."""
    cut = answer is conversation.messages[-1] and conversation.meta.get("truncated")
    return Conversation(conversation.id, (Message("user", ""), answer), {"truncated": True} if cut else {})


@torch.inference_mode()
def _loss_sums(model: Llama, documents: Sequence[TokenizedConversation]) -> list[tuple[float, int]]:
    """Of each document, the sum of the losses of its trained tokens in nats, and how many they are."""
    if not documents:
        return []
    lengths = np.array([len(document.ids) for document in documents], dtype=np.int64)
    ids = np.concatenate([document.ids for document in documents])
    trained = np.concatenate([_trained(document) for document in documents])
    data = _token_data(ids, trained, lengths)
    device, found = model.output.weight.device, np.zeros((len(documents), 2))
    for row in pack_documents(lengths, max(BATCH_TOKENS, int(lengths.max()))):
        batch = make_micro_batch(data, [row], device)
        head: Any = partial(token_losses, batch=batch)
        losses_N = model(batch.input_ids, batch.positions, batch.documents, head=head).double().cpu().numpy()
        owners_N = np.searchsorted(np.cumsum(lengths[row]), batch.trained.cpu().numpy(), "right")
        np.add.at(found, row[owners_N], np.stack([losses_N, np.ones_like(losses_N)], axis=1))
    return [(float(loss), int(count)) for loss, count in found]


def _trained(document: TokenizedConversation) -> npt.NDArray[np.float32]:
    """(n,) 1 for each trained token, whatever its weight; the first has nothing before it to be predicted from."""
    trained = (document.weights > 0).astype(np.float32)
    trained[0] = 0
    return trained


def _token_data(
    ids: npt.NDArray[np.int32], weights: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64]
) -> TokenData:
    none = np.zeros(0, dtype=np.int64)
    store = TokenStore(ids, weights, None)
    return TokenData((store,), lengths.cumsum() - lengths, lengths, none, none, np.arange(lengths.size), [])
