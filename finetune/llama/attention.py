"""Attention over packed documents: causal, grouped heads, never across documents.

Shapes: T tokens of all documents back to back, H query heads, K key and value heads, d head width; of one piece n
queries and m keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from finetune.llama.gathered_keys import GatheredKeys, gather_keys
from finetune.llama.packed_attention import packed_attention, seen

HAS_FLASH_ATTN = find_spec("flash_attn") is not None


@dataclass(frozen=True)
class SharedPrompts:
    """What each piece sees before itself: nothing, or the prompt that its document begins with.

    Attributes:
        spans: (start, tokens) of what each piece sees before itself, on the host; 0 tokens for nothing.
        places: (keys,) int64 where in T the keys of all pieces lie, each piece's prompt and then itself.
        starts: (pieces + 1,) int32 cumulative numbers of keys (`cu_seqlens_k` of flash-attn).
    """

    spans: tuple[tuple[int, int], ...]
    places: Tensor
    starts: Tensor


@dataclass(frozen=True)
class Documents:
    """Where each document of a packed sequence lies, and what its tokens see: themselves and what came before.

    A document is one piece. A prompt with several answers is one document, too, of as many pieces as answers: the
    first answer goes on from the prompt; each other is a piece that sees the prompt and itself, at the positions that
    follow the prompt's. So the prompt is read once, and the packer sees one length:

        document     | prompt    | answer | answer  |      from_prompts([(5, [3, 4])])
        lengths      |         8          |    4    |
        positions      0 1 2 3 4   5 6 7    5 6 7 8
        spans              (0, 0)           (0, 5)

    Attributes:
        lengths: tokens of each piece, on the host.
        starts: (pieces + 1,) int32 cumulative lengths, on the device (`cu_seqlens` of flash-attn). May be longer:
            the last is repeated, which makes empty pieces.
        longest: no piece has more tokens, its prompt included.
        window: how many tokens before itself a token sees; None = all. Hugging Face's `sliding_window` counts the token
            itself, so it is one more.
        prompts: which pieces share a prompt; None if none does.
        gathered: what pieces see of documents that other processes have parts of; None if each is here as a whole.
    """

    lengths: tuple[int, ...]
    starts: Tensor
    longest: int
    window: int | None = None
    prompts: SharedPrompts | None = None
    gathered: GatheredKeys | None = None

    @staticmethod
    def from_lengths(
        lengths: Sequence[int], device: torch.device | str = "cpu", window: int | None = None
    ) -> "Documents":
        """Documents of one piece each."""
        return Documents(tuple(lengths), send(_bounds(lengths), device), max(lengths, default=0), window)

    @staticmethod
    def from_prompts(
        prompts: Sequence[tuple[int, Sequence[int]]], device: torch.device | str = "cpu", window: int | None = None
    ) -> "Documents":
        """Documents of a prompt and its answers, back to back; (tokens of the prompt, tokens of each answer)."""
        lengths: list[int] = []
        spans: list[tuple[int, int]] = []
        start = 0
        for prompt, answers in prompts:
            first, *others = answers or [0]
            lengths += [prompt + first, *others]
            spans += [(0, 0), *((start, prompt) for _ in others)]
            start += prompt + sum(answers)
        plain = Documents.from_lengths(lengths, device, window)
        if not any(shared for _, shared in spans):
            return plain
        keys = [shared + length for (_, shared), length in zip(spans, lengths, strict=True)]
        begins = _bounds(lengths).tolist()
        own = zip(begins, lengths, strict=False)  # one bound more than pieces
        seen = [each for pair in zip(spans, own, strict=True) for each in pair]
        places = torch.cat([torch.arange(at, at + count) for at, count in seen])
        shared_prompts = SharedPrompts(tuple(spans), places.to(device), _bounds(keys).to(device))
        return replace(plain, longest=max(keys), prompts=shared_prompts)

    def padded(self, pieces: int, longest: int, keys: int = 0) -> "Documents":
        """The same in shapes that don't depend on the batch, so that compiled code needs one graph.

        Args:
            pieces: bounds for so many.
            longest: the most tokens that any batch's document may have.
            keys: room for so many keys, each piece's prompt counted with it; only where prompts are shared.
        """
        assert pieces >= len(self.lengths) and longest >= self.longest, (self.lengths, pieces, longest)
        padded = replace(self, starts=_pad(self.starts, pieces + 1), longest=longest)
        if self.prompts is None:
            return padded
        assert keys >= len(self.prompts.places), (len(self.prompts.places), keys)
        places, starts = _pad(self.prompts.places, keys), _pad(self.prompts.starts, pieces + 1)
        return replace(padded, prompts=replace(self.prompts, places=places, starts=starts))

    def on_device_alone(self) -> "Documents":
        """The same without what the host alone knows, which compiled code must not depend on."""
        prompts = None if self.prompts is None else replace(self.prompts, spans=())
        return replace(self, lengths=(), prompts=prompts)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """(start, tokens) of the prompt that each piece sees before itself."""
        return ((0, 0),) * len(self.lengths) if self.prompts is None else self.prompts.spans

    def positions(self) -> Tensor:
        """(T,) int64 position of each token: from 0, or from the end of the prompt that its piece shares."""
        ranges = [torch.arange(shared, shared + n) for (_, shared), n in zip(self.spans, self.lengths, strict=True)]
        return torch.cat(ranges).to(self.starts.device)


def send(values: Tensor, device: torch.device | str) -> Tensor:
    """Values of the host on a device; to a GPU without waiting for what it computes at the moment."""
    if torch.device(device).type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def _bounds(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def _pad(values: Tensor, count: int) -> Tensor:
    """Repeat the last value until there are `count`."""
    return torch.cat([values, values[-1:].expand(count - len(values))])


def attention(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    """Softmax attention from each token to what `documents` lets it see, scaled by 1 / sqrt(d) (Vaswani et al. 2017).

    On CUDA in 16 bits flash-attn's varlen kernel if it is installed, else `packed_attention`, which compiled layers use
    everywhere; else torch's SDPA one piece at a time.

    Returns:
        (T, H, d) outputs.
    """
    if torch.compiler.is_compiling() or (documents.gathered is not None and not q_THd.is_cuda):
        return _packed(q_THd, k_TKd, v_TKd, documents)
    if q_THd.is_cuda and q_THd.dtype in (torch.bfloat16, torch.float16):
        return (_flash if HAS_FLASH_ATTN else _packed)(q_THd, k_TKd, v_TKd, documents)
    return _per_piece(q_THd, k_TKd, v_TKd, documents)


def _flash(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    k_TKd, v_TKd, key_starts = _gather_keys(k_TKd, v_TKd, documents)
    starts, longest = documents.starts, documents.longest
    window = (-1 if documents.window is None else documents.window, 0)  # to the left (-1: all), and to the right
    # With fewer queries than keys flash-attn, from 2.1 on, lets the last query see the last key: what pieces want.
    out: Tensor = flash_attn_varlen_func(
        q_THd, k_TKd, v_TKd, starts, key_starts, longest, longest, causal=True, window_size=window
    )
    return out


def _packed(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    k_TKd, v_TKd, key_starts = _gather_keys(k_TKd, v_TKd, documents)
    window = -1 if documents.window is None else documents.window
    out: Tensor = packed_attention(q_THd, k_TKd, v_TKd, documents.starts, key_starts, documents.longest, window)[0]
    return out


def _gather_keys(k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values of each piece, its prompt's first, and their bounds: a prompt for each piece that sees it."""
    # Copies, but exact: merging two calls by their log-sum-exp would want a backward pass of its own.
    if documents.gathered is not None:
        return *gather_keys(k_TKd, v_TKd, documents.gathered), documents.gathered.starts
    if documents.prompts is None:
        return k_TKd, v_TKd, documents.starts
    places = documents.prompts.places
    return k_TKd[places], v_TKd[places], documents.prompts.starts


def _per_piece(q_THd: Tensor, k_TKd: Tensor, v_TKd: Tensor, documents: Documents) -> Tensor:
    """Where P pieces of one length and one prompt follow each other, they are one call."""
    window, grouped = documents.window, q_THd.shape[1] != k_TKd.shape[1]
    each = groupby(zip(documents.lengths, documents.spans, strict=True))
    runs = [(length, span, len(list(alike))) for (length, span), alike in each]
    # Heads first and a batch of one, as SDPA wants them, once for all pieces: of each view of a piece autograd makes a
    # node, and short documents are many pieces.
    q_1HTd, k_1KTd, v_1KTd = (x_THd.transpose(0, 1)[None] for x_THd in (q_THd, k_TKd, v_TKd))
    tokens = [length * count for length, _, count in runs]
    split = zip(runs, *(torch.split(x_1HTd, tokens, 2) for x_1HTd in (q_1HTd, k_1KTd, v_1KTd)), strict=True)
    outs = []
    for (length, (start, shared), count), *run in split:
        if not length:
            continue  # SDPA's backward pass fails on it
        q_PHnd, k_PKmd, v_PKmd = (_apart(x_1HNd, count) for x_1HNd in run)
        if shared:
            prompt = (slice(None), slice(None), slice(start, start + shared))
            k_PKmd = torch.cat((k_1KTd[prompt].expand(count, -1, -1, -1), k_PKmd), 2)
            v_PKmd = torch.cat((v_1KTd[prompt].expand(count, -1, -1, -1), v_PKmd), 2)
        # `is_causal` lets the first query see the first key: right only for as many queries as keys.
        plain = not shared and (window is None or window >= length - 1)
        out_PHnd = scaled_dot_product_attention(
            q_PHnd,
            k_PKmd,
            v_PKmd,
            attn_mask=None if plain else seen(length, k_PKmd.shape[2], window, q_THd.device),
            is_causal=plain,
            enable_gqa=grouped,
        )
        outs.append(out_PHnd.transpose(1, 2).flatten(0, 1))
    return torch.cat(outs) if len(outs) > 1 else outs[0]


def _apart(x_1HNd: Tensor, count: int) -> Tensor:
    """(P, H, n, d) of as many pieces of one length."""
    heads, tokens, size = x_1HNd.shape[1:]
    return x_1HNd if count == 1 else x_1HNd.view(heads, count, tokens // count, size).transpose(0, 1)
