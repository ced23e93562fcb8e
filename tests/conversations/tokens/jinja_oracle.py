"""What a tokenizer's own chat template makes of a chat, by transformers alone: where answers stand, what is whose.

The oracle knows neither marks nor derived shapes. It renders the chat a second time with every `<` and `[` that
somebody typed put otherwise, so the control tokens that are left are the template's; answers begin where the prompt
that asks for them ends, and end with the first token that ends a turn.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from camelid.message import Conversation, Message
from conversations.tokens.span import Span
from tests.conversations.conftest import Family, with_controls
from tests.conversations.tokens.tool_chats import as_transformers

DATE = date(2024, 7, 26)
_CONTROL = re.compile(r"<[|\uff5c][^<>\s'\"{}]+?[|\uff5c]>|\[/?[A-Z_]{3,}\]|<(?:start|end)_of_turn>|</?s>")
TYPED = str.maketrans("<[", "\u2039\u2045")


@dataclass(frozen=True)
class Published:
    """A published template, and what is known of it from reading it.

    Attributes:
        source: its Jinja.
        ends: the tokens that end a turn of the model's.
        reasoning: the field it takes thinking in; None if that stands in the text.
        opened: whether the prompt itself begins the thinking, and the template leaves it out.
        closing: what stands between thinking and answer.
        system: whether it takes a system message.
        calls: how many calls at once; 0 if it has no tools.
        beside: whether text and thinking may stand beside calls.
    """

    source: str
    ends: tuple[str, ...]
    reasoning: str | None = None
    opened: bool = False
    closing: str = "</think>"
    system: bool = True
    calls: int = 0
    beside: bool = False
    _rendered: dict[str, str] = field(default_factory=dict)

    def family(self) -> Family:
        """A byte-level tokenizer that knows its control tokens, and a twin that knows none."""
        control = list(dict.fromkeys(["<s>", "</s>", "<unk>", *self.ends, *_CONTROL.findall(self.source)]))
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
        backend.train_from_iterator(["user assistant system Hello\n\n\n\nthe quick brown fox <think>\n"] * 5, trainer)
        bare = Tokenizer.from_str(backend.to_str())
        tokenizer = with_controls(backend, control)
        tokenizer.eos_token = self.ends[0] if self.ends[0] not in ("<end_of_turn>",) else "</s>"
        tokenizer.chat_template = self.source
        return Family(lambda text, begins: bare.encode(text), tokenizer)

    def render(self, tokenizer: Any, messages: Sequence[Message], tools: Sequence[Any], ask: bool = False) -> str:
        """By transformers, on the fixed day."""
        said = as_transformers(messages, self.reasoning, thinks=not self.opened)
        key = json.dumps([said, tools, ask])
        if key not in self._rendered:
            self._rendered[key] = self._render(tokenizer, said, tools, ask)
        return self._rendered[key]

    def _render(self, tokenizer: Any, said: list[Any], tools: Sequence[Any], ask: bool) -> str:
        text = tokenizer.apply_chat_template(said, tools=list(tools) or None, tokenize=False, add_generation_prompt=ask)
        assert isinstance(text, str)
        for form in re.findall(r'strftime_now\("(.*?)"\)', self.source):
            text = text.replace(datetime.now().strftime(form), DATE.strftime(form))
        return text

    def spans(self, tokenizer: Any, one: Conversation, thinking: str) -> tuple[list[Span], frozenset[int]]:
        """A document, cut at who wrote what, and the answers that stand in it as the model writes them."""
        neat = replace(one, messages=tuple(map(_neat, one.messages)), tools=_neat_tools(one.tools))
        text, marked = (self._whole(tokenizer, each) for each in (one, neat))
        assert len(text) == len(marked)
        weight, answer = [0.0] * len(text), [False] * len(text)
        standing = set()
        for index, message in enumerate(one.messages):
            if message.role != "assistant":
                continue
            prompt = self.render(tokenizer, neat.messages[:index], neat.tools, True)
            alone = self._whole(tokenizer, replace(neat, messages=neat.messages[: index + 1]))
            end = min(
                (at + len(token) for token in self.ends if (at := alone.find(token, len(prompt))) >= 0),
                default=None,
            )
            assert alone.startswith(prompt) and end is not None, (prompt, alone)
            if marked[:end] != alone[:end]:
                continue
            standing.add(index)
            share = 1.0 if message.weight is None else message.weight
            said = len(prompt)
            if message.reasoning and thinking == "mask":
                over = re.compile(re.escape(self.closing) + r"\n{0,2}").search(marked, said)
                assert over is not None
                said = over.end()
            for at in range(len(prompt), end):
                weight[at], answer[at] = share * (at >= said), True
        control = "|".join(map(re.escape, sorted(_specials(tokenizer), key=len, reverse=True)))
        tokens = {match.start(): match.end() for match in re.finditer(control, marked)}
        spans, at = [], 0
        while at < len(text):
            end = tokens.get(at, at + 1)
            while at not in tokens and end < len(text) and end not in tokens:
                if (weight[end], answer[end]) != (weight[at], answer[at]):
                    break
                end += 1
            spans.append(Span(text[at:end], weight[at], at not in tokens, answer[at]))
            at = end
        return spans, frozenset(standing)

    def _whole(self, tokenizer: Any, one: Conversation) -> str:
        text = self.render(tokenizer, one.messages, one.tools)
        last = one.messages[-1]
        if not self.opened or last.role != "assistant":
            return text
        prompt = self.render(tokenizer, one.messages[:-1], one.tools, True)
        shown = prompt.removesuffix("<think>\n")
        assert text.startswith(shown) and shown != prompt
        return f"{prompt}{last.reasoning or ''}\n{self.closing}\n\n{text[len(shown) :]}"


def _specials(tokenizer: Any) -> list[str]:
    return [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]


def _neat(message: Message) -> Message:
    calls = tuple(
        replace(call, name=call.name.translate(TYPED), arguments=call.arguments.translate(_ARGUMENTS))
        for call in message.tool_calls
    )
    return replace(
        message,
        content=message.content.translate(TYPED),
        reasoning=message.reasoning and message.reasoning.translate(TYPED),
        tool_calls=calls,
    )


_ARGUMENTS = str.maketrans("<", "\u2039")  # the brackets of JSON's own lists stay


def _neat_tools(tools: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(json.loads(json.dumps(tool, ensure_ascii=False).translate(_ARGUMENTS)) for tool in tools)
