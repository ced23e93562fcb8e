"""The one place where text becomes token ids and token ids get their share of the loss.

The whole prompt is tokenised once, with character offsets; a token is trained if the character it ends with
is (for a control token: if the control token itself is, whatever blanks it swallows).

Text that somebody typed never becomes a control token: the tokenizer works on a copy of itself whose control
tokens are spelled in a way that nobody can type, and only the template's own text is rewritten to that
spelling. Ids are the same in both.

No token reaches across the place where the model begins to speak. When the model answers, what stands before
that place is tokenised alone, so the same text must have the same ids in training: where one tokenisation of
the whole would differ, the ids before the place are those of the prompt alone, and a token that straddles it
is cut there.
"""

import re
import shlex
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, islice, pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from camelid.errors import UserError
from camelid.message import Conversation, Message, Tool
from conversations.tokens.answer_documents import answer_documents
from conversations.tokens.fit_tools import FittedTools, fit_tools
from conversations.tokens.respell import new_mark, respell, spell_controls
from conversations.tokens.span import ChatFormat, Span

Thinking = Literal["train", "mask", "drop"]
BATCH = 256  # conversations tokenised together: enough for every core, and little memory


@dataclass(frozen=True)
class TokenizedConversation:
    """One tokenised conversation.

    Attributes:
        ids: (n,) int32.
        weights: (n,) float32 share of the loss of each token; 0 = not trained.
    """

    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token as a person reads it: its id, weight and text; `control` if it is a control token.

    The text is empty for a token that completes a character begun by the token before it.
    """

    id: int
    weight: float
    text: str
    control: bool


@dataclass(slots=True)
class _Pieces:
    """Tokens of a text (ids of the respelled tokenizer) with the characters `start <= c < end` of each."""

    ids: list[int]
    starts: list[int]
    ends: list[int]


class Encoder:
    """A template and a tokenizer, ready to encode conversations.

    Args:
        template: how a conversation is written.
        tokenizer: a Hugging Face fast tokenizer (`PreTrainedTokenizerFast`).
        last_turn_only: train the last answer of a conversation alone.
        thinking: what becomes of what was thought before an answer: it is trained with it, stands there untrained, or
            is left out.

    Attributes:
        end_ids: ids of the tokens that end an answer.
        unknown_id: id of the unknown token; -1 if there is none.

    Raises:
        UserError: the tokenizer is not a fast one, or lacks a control token of the template.
    """

    def __init__(
        self, template: ChatFormat, tokenizer: Any, last_turn_only: bool = False, thinking: Thinking = "drop"
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(f"{tokenizer.name_or_path}: a fast tokenizer (tokenizer.json) is needed")
        added = {
            index: token
            for index, token in tokenizer.backend_tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        controls = {token.content: index for index, token in added.items()}
        missing = dict.fromkeys(token for token in (*template.control, *template.stop) if token not in controls)
        if missing:
            command = ["camelid", "weights", "resize", tokenizer.name_or_path, "OUTPUT", "--add-tokens", *missing]
            raise UserError(
                f"template {template.name!r} needs the special token(s) {', '.join(map(repr, missing))}, which the "
                f"tokenizer of {tokenizer.name_or_path!r} lacks; choose another template, or make a model folder that "
                f"has them: `{shlex.join(command)}`"
            )
        self.template = template
        self._last_turn_only, self._thinking = last_turn_only, thinking
        self._mark = new_mark()
        self._spelled = spell_controls(controls, self._mark)
        self._pattern = re.compile("|".join(re.escape(token) for token in sorted(controls, key=len, reverse=True)))
        self._names = {spelling: token for token, spelling in self._spelled.items()}
        self._respelled = re.compile("|".join(map(re.escape, self._names)) or "(?!)")
        self._tokenizer = respell(tokenizer.backend_tokenizer, self._spelled)
        self._control = {self._tokenizer.token_to_id(self._spelled[token]): token for token in controls}
        self._original_id = {index: controls[token] for index, token in self._control.items()}
        self._swallowing = {  # control tokens that take the blanks beside them along
            index: self._spelled[token]
            for index, token in self._control.items()
            if added[controls[token]].lstrip or added[controls[token]].rstrip
        }
        unknown = tokenizer.backend_tokenizer.token_to_id(tokenizer.unk_token or "")
        self._unknown = next((index for index, old in self._original_id.items() if old == unknown), unknown)
        self.unknown_id = -1 if unknown is None else unknown
        self.end_ids = [controls[token] for token in template.stop]
        adds_bos = tokenizer("", add_special_tokens=True)["input_ids"][:1] == [tokenizer.bos_token_id]
        self._start = [tokenizer.bos_token_id] if template.bos == "tokenizer" and adds_bos else []
        self._bos = tokenizer.bos_token or ""
        self._left = lru_cache(maxsize=1024)(self._plain)
        self._latest: tuple[tuple[str, list[int]], _Pieces] | None = None

    def encode(self, conversation: Conversation) -> TokenizedConversation:
        """Token ids and loss weights of a whole conversation."""
        spans, texts = self._written(conversation)
        return self._tokens(spans, texts, self._tokenise(spans, texts))

    def encode_all(
        self, conversations: Iterable[Conversation]
    ) -> Iterator[tuple[Conversation, TokenizedConversation | UserError]]:
        """Each conversation with what `encode` returns or raises, on all cores: the tokenizer's own threads."""
        source = iter(conversations)
        while batch := list(islice(source, BATCH)):
            written = [self._written_or_refused(conversation) for conversation in batch]
            writable = [one for one in written if not isinstance(one, UserError)]
            found = iter(self._tokenizer.encode_batch(["".join(one[1]) for one in writable], add_special_tokens=False))
            for conversation, one in zip(batch, written, strict=True):
                if isinstance(one, UserError):
                    yield conversation, one
                else:
                    yield conversation, self._tokens(*one, self._tokenise(*one, next(found)))

    def fit_tools(self, conversation: Conversation) -> FittedTools:
        """The conversation without the exchanges whose tools the template cannot write; see `fit_tools`."""
        return fit_tools(self._with_thinking(conversation), self.template)

    def documents(self, conversation: Conversation) -> list[Conversation]:
        """What is encoded of it in one piece each, so that every answer has the prompt it will have; see
        `answer_documents`.
        """
        return answer_documents(self._with_thinking(conversation), self.template)

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """Token ids of a chat up to where the model shall go on; `tools` is what it may call."""
        spans = self.template.prompt(_without_thinking(messages) if self._thinking == "drop" else messages, tools)
        return self._start + self._ids(self._tokenise(spans, [self._spell(span) for span in spans]))

    def encode_open_answer(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat up to the end of what its last turn, the assistant's, says so far."""
        spans = list(self.template.spans(Conversation("prompt", tuple(messages))))
        last = max(index for index, span in enumerate(spans) if span.typed)
        opened = spans[: last + 1]
        return self._start + self._ids(self._tokenise(opened, [self._spell(span) for span in opened]))

    def encode_open_turn(self, messages: Sequence[Message]) -> tuple[list[int], str]:
        """Token ids of a chat up to where the user would begin to speak again, and the text that would end that turn.

        A blank before the turn is left out: it is part of the turn's first token.
        """
        spans = list(self.template.prompt((*messages, Message("user", "x"))))
        place = max(index for index, span in enumerate(spans) if span.typed)
        closing = "".join(span.text for span in spans[place + 1 :])
        opened = [*spans[: place - 1], replace(spans[place - 1], text=spans[place - 1].text.rstrip(" "))]
        return self._start + self._ids(self._tokenise(opened, [self._spell(span) for span in opened])), closing

    def length(self, conversation: Conversation) -> int:
        """Number of tokens of a whole conversation."""
        return len(self._start) + len(self._tokenise(*self._written(conversation)).ids)

    def trained_answers(self, conversation: Conversation) -> int:
        """Number of answers that count for the loss."""
        spans, _ = self._written(conversation)
        return sum(
            any(span.weight for span in run) for answer, run in groupby(spans, key=lambda span: span.answer) if answer
        )

    def explain(self, conversation: Conversation) -> list[ShownToken]:
        """What `encode` returns, for the eye: the texts of all tokens, joined, are the prompt after the BOS token."""
        spans, texts = self._written(conversation)
        pieces, text = self._tokenise(spans, texts), "".join(texts)
        weights = self._weights(spans, texts, pieces).tolist()
        shown, done = [ShownToken(index, 0.0, self._bos, True) for index in self._start], 0
        for number, end, original, weight in zip(pieces.ids, pieces.ends, self._ids(pieces), weights, strict=True):
            part = self._as_written(text[done : max(done, end)])
            control = number in self._control and self._control[number] in part
            shown.append(ShownToken(original, weight, part, control))
            done = max(done, end)
        return shown

    def stretches(self, conversation: Conversation) -> list[tuple[float, str]]:
        """The weights and texts of `explain`, texts joined where tokens in a row have one weight."""
        spans, texts = self._written(conversation)
        pieces, text = self._tokenise(spans, texts), "".join(texts)
        weights = np.concatenate([np.zeros(len(self._start)), self._weights(spans, texts, pieces)])
        begins = [0, *np.flatnonzero(np.diff(weights)) + 1] if weights.size else []
        ends = np.maximum.accumulate([0] * (len(self._start) + 1) + pieces.ends)  # [at]: characters before a token
        shown = [
            (float(weights[begin]), self._as_written(text[ends[begin] : ends[end]]))
            for begin, end in pairwise([*begins, weights.size])
        ]
        if self._start:
            shown[0] = shown[0][0], self._bos * len(self._start) + shown[0][1]
        return shown

    def _as_written(self, text: str) -> str:
        """The text with its control tokens as they are, not as the tokenizer's copy has them."""
        return self._respelled.sub(lambda match: self._names[match[0]], text)

    def _written_or_refused(self, conversation: Conversation) -> tuple[list[Span], list[str]] | UserError:
        try:
            return self._written(conversation)
        except UserError as error:
            return error

    def _written(self, conversation: Conversation) -> tuple[list[Span], list[str]]:
        """The spans as they are trained, and their spelling."""
        spans = self.template.spans(self._with_thinking(conversation))
        if self._thinking == "mask":
            spans = [replace(span, weight=0.0) if span.thought else span for span in spans]
        if self._last_turn_only:
            spans = _last_answer_only(spans)
        if conversation.meta.get("truncated"):
            spans = _without_last_close(spans)
        return spans, [self._spell(span) for span in spans]

    def _with_thinking(self, conversation: Conversation) -> Conversation:
        """The conversation with its thinking, unless that is left out."""
        if self._thinking != "drop" or not any(message.reasoning for message in conversation.messages):
            return conversation
        return replace(conversation, messages=_without_thinking(conversation.messages))

    def _spell(self, span: Span) -> str:
        if span.typed:
            return span.text
        return self._pattern.sub(lambda match: self._spelled[match[0]], span.text)

    def _tokens(self, spans: Sequence[Span], texts: Sequence[str], pieces: _Pieces) -> TokenizedConversation:
        weights = self._weights(spans, texts, pieces)
        return TokenizedConversation(
            ids=np.array(self._start + self._ids(pieces), dtype=np.int32),
            weights=np.concatenate([np.zeros(len(self._start), dtype=np.float32), weights]),
        )

    def _ids(self, pieces: _Pieces) -> list[int]:
        original = self._original_id
        return [original.get(index, index) for index in pieces.ids]

    def _weights(self, spans: Sequence[Span], texts: Sequence[str], pieces: _Pieces) -> npt.NDArray[np.float32]:
        """(tokens,) the weight of the character each token ends with."""
        lengths = [len(text) for text in texts]
        weight_of_char = np.repeat(np.array([span.weight for span in spans], dtype=np.float32), lengths)
        ends = np.array(pieces.ends, dtype=np.int64)
        weights: npt.NDArray[np.float32] = weight_of_char[np.maximum(ends, 1) - 1]
        return weights

    def _plain(self, text: str) -> _Pieces:
        """One tokenisation; as a batch, since `encode` alone keeps all other threads waiting (2.7 s for a megabyte)."""
        return self._pieces(text, self._tokenizer.encode_batch([text], add_special_tokens=False)[0])

    def _pieces(self, text: str, encoding: Encoding) -> _Pieces:
        ids, offsets = encoding.ids, encoding.offsets
        pieces = _Pieces(ids, [start for start, _ in offsets], [end for _, end in offsets])
        if not self._swallowing:
            return pieces
        for index, number in enumerate(ids):
            if number in self._swallowing:  # offsets of the control token itself, not of the blanks it swallowed
                spelling = self._swallowing[number]
                pieces.starts[index] = text.index(spelling, pieces.starts[index])
                pieces.ends[index] = pieces.starts[index] + len(spelling)
        return pieces

    def _tokenise(self, spans: Sequence[Span], texts: Sequence[str], encoding: Encoding | None = None) -> _Pieces:
        """One tokenisation of the whole, in which everything before an answer has the ids it has alone.

        `encoding` is that tokenisation if it is there already. The latest result is remembered: who measures a
        conversation often encodes it next.
        """
        text, places = "".join(texts), _answer_starts(spans, texts)
        if self._latest is None or self._latest[0] != (text, places):
            pieces = self._pieces(text, encoding) if encoding else self._plain(text)
            for place in reversed(places):
                self._part(text, pieces, place)
            self._latest = (text, places), pieces
        return self._latest[1]

    def _part(self, text: str, pieces: _Pieces, place: int) -> None:
        """Make the tokens before `place` those of the text before it."""
        if place == 0:
            return
        first = bisect_right(pieces.ends, place)  # the first token that ends behind the place
        straddles = first < len(pieces.ids) and pieces.starts[first] < place
        # Two things tie a tokenisation to what follows: a token that reaches across, and a pre-tokenizer that
        # looks ahead, which those in use do at blanks alone.
        if not straddles and not text[place - 1].isspace():
            return
        # A control token splits the text for the tokenizer, and one stands behind every earlier answer.
        begin = max(text.rfind(self._mark, 0, place), 0)
        since = bisect_left(pieces.starts, begin)
        left = self._left(text[begin:place])
        if not straddles and left.ids == pieces.ids[since:first]:
            return
        ids, starts, ends = list(left.ids), [begin + at for at in left.starts], [begin + at for at in left.ends]
        if straddles:
            end = pieces.ends[first]
            fragment = self._cut(pieces.ids[first], text[pieces.starts[first] : end], text[place:end])
            ids += fragment
            starts += [place] * len(fragment)
            ends += [end] * len(fragment)
        old = slice(since, first + straddles)
        pieces.ids[old], pieces.starts[old], pieces.ends[old] = ids, starts, ends

    def _cut(self, index: int, text: str, right: str) -> list[int]:
        """Ids of the part `right` (its last characters) of a token whose characters are `text`."""
        if index == self._unknown:
            return [index]
        piece = self._tokenizer.id_to_token(index)
        assert piece is not None, index
        if piece.endswith(right.replace(" ", "▁")):  # SentencePiece: a letter of the piece is a character
            part = right.replace(" ", "▁")
        elif len(piece) == len(text.encode()):  # byte-level: a letter of the piece is a byte
            part = piece[-len(right.encode()) :]
        else:  # a normalizer has rewritten it
            return list(self._tokenizer.encode(right, add_special_tokens=False).ids)
        return [token.id for token in self._tokenizer.model.tokenize(part)]


def _without_thinking(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(replace(message, reasoning=None) if message.reasoning else message for message in messages)


def _answer_starts(spans: Sequence[Span], texts: Sequence[str]) -> list[int]:
    """Where in the text the model begins to speak."""
    starts, place, answering = [], 0, False
    for span, text in zip(spans, texts, strict=True):
        if span.answer and not answering:
            starts.append(place)
        answering = span.answer
        place += len(text)
    return starts


def _last_answer_only(spans: Sequence[Span]) -> list[Span]:
    """Train nothing but the last answer."""
    begin = len(spans)
    while begin and not spans[begin - 1].answer:
        begin -= 1
    while begin and spans[begin - 1].answer:
        begin -= 1
    return [replace(span, weight=0.0) for span in spans[:begin]] + list(spans[begin:])


def _without_last_close(spans: Sequence[Span]) -> list[Span]:
    """Do not train the end of turn behind an answer that was cut off: the model would learn to stop there."""
    last = max((index for index, span in enumerate(spans) if span.typed), default=-1)
    return [*spans[: last + 1], *(replace(span, weight=0.0) for span in spans[last + 1 :])]
