"""Prompt templates as data: a conversation becomes spans of text, each with its share of the loss.

The text of the spans, joined, is the prompt. Text that a person or a model typed is marked as such, so
that the tokeniser can read a control token in it as plain text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from camelid.errors import UserError, suggest_name
from camelid.message import Conversation, Message, Role, Tool
from conversations.tokens.inline_thinking import thought_spans
from conversations.tokens.jinja_literal import quote
from conversations.tokens.jinja_template import JinjaTemplate
from conversations.tokens.span import ChatFormat, Span, end_weight, loss_weight
from conversations.tokens.tool_form import HERMES, LLAMA_3_1, ToolForm
from conversations.tokens.with_input import InputForm, split_input


@dataclass(frozen=True)
class Template:
    """A chat format. In the `*_open`/`*_close` pairs the message stands between the two.

    Attributes:
        name: what recipes call it.
        source: where the exact string was published.
        bos: who begins the sequence: the `tokenizer` with its BOS token (if it adds one), the template's own
            `text`, or nobody (`none`).
        start: text before everything.
        default_system: the system message of a conversation that has none; None = leave it out.
        with_input: how an instruction that came with an input is written; None = as any other message.
        system_open, system_close: around the system message.
        system_in_user: whether the system message stands inside the first user turn, after `user_open`.
        user_open, user_close: around what the user says.
        assistant_open: what makes the model speak; never trained.
        assistant_space: between that and the answer, trained with it, since it is part of the first token.
        assistant_close: the end-of-turn token, trained: a model that never sees it never stops.
        assistant_after: separator after the turn, not trained.
        strip: whether messages lose the blanks around them (with `system_in_user`, the two as one).
        control: tokens of the template that the tokenizer must know as special tokens.
        tools: how tools are written; None if they are not.
    """

    name: str
    source: str
    bos: Literal["tokenizer", "text", "none"]
    start: str = ""
    default_system: str | None = None
    with_input: InputForm | None = None
    system_open: str = ""
    system_close: str = ""
    system_in_user: bool = False
    user_open: str = ""
    user_close: str = ""
    assistant_open: str = ""
    assistant_space: str = ""
    assistant_close: str = "</s>"
    assistant_after: str = ""
    strip: bool = False
    control: tuple[str, ...] = ("</s>",)
    tools: ToolForm | None = None

    @property
    def fingerprint(self) -> str:
        """Its Jinja as up to version 0.2, which wrote no tools: models and caches of that time are known by it."""
        return replace(self, tools=None).jinja

    @property
    def date(self) -> None:
        """See `ChatFormat.date`."""
        return

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer."""
        return (self.assistant_close.strip(),)

    def spans(self, conversation: Conversation) -> list[Span]:
        """See `ChatFormat.spans`.

        Raises:
            UserError: the turns do not alternate user, assistant after an optional system message; or there are tools,
                which the template does not write, or not so.
        """
        parts = split_input(conversation) if self.with_input else None
        if self.with_input is None or parts is None:
            return self._spans(conversation.messages, conversation.id, self.default_system, conversation.tools)
        instruction, text = parts
        asked = [Span(instruction, 0.0, True), Span(self.with_input.input_open, 0.0, False), Span(text, 0.0, True)]
        return self._spans(conversation.messages, conversation.id, self.with_input.default_system, asked=asked)

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[Span]:
        """The chat so far, ending with what makes the model speak."""
        spans = self._spans(messages, "prompt", self.default_system, tools)
        return [*spans, Span(self.assistant_open, 0.0, False)]

    def standing(self, conversation: Conversation) -> frozenset[int]:
        """All answers: nothing here is written in another way when more is said after it."""
        return frozenset(index for index, one in enumerate(conversation.messages) if one.role == "assistant")

    def _spans(
        self,
        messages: Sequence[Message],
        name: str,
        default_system: str | None,
        tools: Sequence[Tool] = (),
        asked: Sequence[Span] = (),
    ) -> list[Span]:
        """The turns as text; `asked`, if given, stands for what the only user turn says."""
        system, turns = _split_system(messages, name)
        self._check_tools(turns, tools, name)
        spans, head, schemas = self._beginning(default_system if system is None else system, tools)
        for speaker, group in groupby(turns, key=lambda turn: turn.role):
            if speaker == "tool":
                assert self.tools is not None
                spans += self.tools.results(list(group))
                continue
            for turn in group:
                if speaker == "user":
                    said = [*head, *(asked or [Span(turn.content, 0.0, True)])]
                    spans += [Span(self.user_open, 0.0, False), *schemas]
                    spans += _strip_span_ends(said) if self.strip else said
                    spans.append(Span(self.user_close, 0.0, False))
                    head, schemas = [], []
                else:
                    spans += self._answer(turn)
        if head or schemas:
            raise UserError(f"conversation {name!r}: no user turn holds its {'system message' if head else 'tools'}")
        return [span for span in spans if span.text]

    def _beginning(self, system: str | None, tools: Sequence[Tool]) -> tuple[list[Span], list[Span], list[Span]]:
        """What stands before all turns; of the first user's, the system message, and the schemas."""
        strip = self.strip and not self.system_in_user
        said = [] if system is None else [Span(system.strip() if strip else system, 0.0, True)]
        schemas = self.tools.schemas(tools) if self.tools and tools else []
        if schemas and self.tools and self.tools.place == "system":
            said += [Span(self.tools.between if said else "", 0.0, False), *schemas]
            schemas = []
        head = [Span(self.system_open, 0.0, False), *said, Span(self.system_close, 0.0, False)] if said else []
        start = [Span(self.start, 0.0, False)]
        return (start, head, schemas) if self.system_in_user else ([*start, *head], [], schemas)

    def _answer(self, turn: Message) -> list[Span]:
        weight = loss_weight(turn)
        said = [*thought_spans(turn.reasoning, weight), Span(turn.content, weight, True, answer=True)]
        return [
            Span(self.assistant_open, 0.0, False),
            Span(self.assistant_space, weight, False, answer=True),
            *(_strip_span_ends(said) if self.strip else said),
            *(self.tools.calls(turn) if self.tools else ()),
            Span(self.assistant_close, end_weight(turn), False, answer=True),
            Span(self.assistant_after, 0.0, False),
        ]

    def _check_tools(self, turns: Sequence[Message], tools: Sequence[Tool], name: str) -> None:
        called = [turn for turn in turns if turn.tool_calls]
        if self.tools is None and (tools or called or any(turn.role == "tool" for turn in turns)):
            raise UserError(f"conversation {name!r}: template {self.name!r} writes no tools")
        if self.tools is not None and self.tools.call_between is None:
            if any(len(turn.tool_calls) > 1 for turn in called):
                raise UserError(f"conversation {name!r}: template {self.name!r} writes one call at a time")
            if any(turn.content.strip() or turn.reasoning for turn in called):
                raise UserError(f"conversation {name!r}: template {self.name!r} writes no text beside a call")

    @property
    def jinja(self) -> str:
        """The same format as a Jinja chat template, to be saved with a tokenizer."""
        strip = " | trim" if self.strip else ""
        bos = "{{ bos_token or '' }}" if self.bos == "tokenizer" else ""
        default = "" if self.default_system is None else self.system_open + self.default_system + self.system_close
        system, first = f"messages[0]['content']{strip}", "{{ ns.head }}{% set ns.head = '' %}"
        if self.system_in_user:
            system, first = "messages[0]['content']", ""
        told, elsewhere, schemas = self._jinja_schemas(system)
        return (
            f"{bos}{{{{ {quote(self.start)} }}}}"
            f"{{% set ns = namespace(head={quote(default)}) %}}{schemas}"
            "{% if messages and messages[0]['role'] == 'system' %}"
            f"{{% set ns.head = {quote(self.system_open)} + {told} + {quote(self.system_close)} %}}"
            f"{{% set messages = messages[1:] %}}{elsewhere}{{% endif %}}"
            f"{first}"
            "{% for message in messages %}{% if message['role'] == 'user' %}"
            f"{self._jinja_user(strip)}{self._jinja_answer(strip)}"
            "{% else %}{{ raise_exception('a system message must come first') }}{% endif %}{% endfor %}"
            f"{{% if add_generation_prompt %}}{{{{ {quote(self.assistant_open)} }}}}{{% endif %}}"
        )

    def _jinja_user(self, strip: str) -> str:
        said = f"(ns.head + message['content']){strip}"
        used = "{% set ns.head = '' %}"
        if self._schemas_in_user:
            said, used = f"ns.schemas + {said}", used + "{% set ns.schemas = '' %}"
        return f"{{{{ {quote(self.user_open)} + {said} + {quote(self.user_close)} }}}}{used}"

    def _jinja_answer(self, strip: str) -> str:
        """The branches of what the assistant says and, where there are tools, of what they gave."""
        opened, ends = (
            quote(self.assistant_open + self.assistant_space),
            quote(self.assistant_close + self.assistant_after),
        )
        branch = "{% elif message['role'] == 'assistant' %}"
        if self.tools is None:
            return f"{branch}{{{{ {opened} + message['content']{strip} + {ends} }}}}"
        said = f"{{{{ {opened} + (message['content'] or ''){strip} }}}}"
        results = f"{{% elif message['role'] == 'tool' %}}{self.tools.jinja_results}"
        return f"{branch}{said}{self.tools.jinja_calls}{{{{ {ends} }}}}{results}"

    @property
    def _schemas_in_user(self) -> bool:
        return self.tools is not None and self.tools.place == "user"

    def _jinja_schemas(self, system: str) -> tuple[str, str, str]:
        """Jinja of what a system message says, of the branch where there is none, and what comes before both."""
        if self.tools is None:
            return system, "", ""
        schemas = f"{{% set ns.schemas = '' %}}{{% if tools %}}{self.tools.jinja_schemas}{{% endif %}}"
        if self._schemas_in_user:
            return system, "", schemas
        between = quote(self.tools.between)
        default = "" if self.default_system is None else f"{quote(self.default_system)} + {between} + "
        alone = f"{quote(self.system_open)} + {default}ns.schemas + {quote(self.system_close)}"
        told = f"{system} + ({between} + ns.schemas if tools else '')"
        return told, f"{{% elif tools %}}{{% set ns.head = {alone} %}}", schemas


def get_template(name: str) -> Template:
    """Find a template by name.

    Raises:
        UserError: there is none of that name; the error suggests the nearest.
    """
    if name not in TEMPLATES:
        raise UserError(f"template {name!r} is unknown{suggest_name(name, TEMPLATES)}")
    return TEMPLATES[name]


def template_from_tokenizer(tokenizer: Any) -> ChatFormat:
    """The template that a tokenizer carries as its chat template: one of `TEMPLATES`, or any other in Jinja.

    Raises:
        UserError: it carries none, or one whose answers cannot be told from the rest.
    """
    for template in TEMPLATES.values():
        if tokenizer.chat_template in (template.jinja, template.fingerprint):
            return template
    return JinjaTemplate(tokenizer)


def template_for(name: str, tokenizer: Any) -> ChatFormat:
    """A template by name; `tokenizer` is the one the tokenizer carries."""
    return template_from_tokenizer(tokenizer) if name == "tokenizer" else get_template(name)


def _split_system(messages: Sequence[Message], name: str) -> tuple[str | None, Sequence[Message]]:
    """Split off the system message and check that user and assistant take turns."""
    system = messages[0].content if messages and messages[0].role == "system" else None
    turns = messages[1:] if system is not None else messages
    expected: tuple[Role, ...] = ("user",)
    for index, turn in enumerate(turns):
        if turn.role not in expected:
            wanted = " or ".join(map(repr, expected))
            raise UserError(f"conversation {name!r}: turn {index + 1} is {turn.role!r}, expected {wanted}")
        if turn.role == "assistant":
            expected = ("tool",) if turn.tool_calls else ("user",)
        else:
            expected = ("assistant",) if turn.role == "user" else ("assistant", "tool")
    return system, turns


def _strip_span_ends(spans: Sequence[Span]) -> list[Span]:
    """Spans without the blanks at both ends of their joined text."""
    kept = list(spans)
    while kept and not kept[0].text.strip():
        del kept[0]
    while kept and not kept[-1].text.strip():
        del kept[-1]
    if kept:
        kept[0] = replace(kept[0], text=kept[0].text.lstrip())
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip())
    return kept


# The published strings, to the letter.
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
ALPACA_NO_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)

TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (
        Template(
            name="vicuna_v1.1",
            source="github.com/lm-sys/FastChat, fastchat/conversation.py, vicuna_v1.1",
            bos="tokenizer",
            default_system=VICUNA_SYSTEM,
            system_close=" ",
            user_open="USER: ",
            user_close=" ",
            assistant_open="ASSISTANT:",
            assistant_space=" ",
        ),
        Template(
            name="alpaca",
            source="github.com/tatsu-lab/stanford_alpaca, train.py, PROMPT_DICT",
            bos="tokenizer",
            default_system=ALPACA_NO_INPUT,
            with_input=InputForm(default_system=ALPACA_WITH_INPUT, input_open="\n\n### Input:\n"),
            user_open="\n\n### Instruction:\n",
            assistant_open="\n\n### Response:",
        ),
        Template(
            name="llama-2",
            source="github.com/meta-llama/llama, llama/generation.py, chat_completion",
            bos="text",
            system_open="<<SYS>>\n",
            system_close="\n<</SYS>>\n\n",
            system_in_user=True,
            user_open="<s>[INST] ",
            user_close=" [/INST]",
            assistant_space=" ",
            assistant_close=" </s>",
            strip=True,
            control=("<s>", "</s>"),
        ),
        Template(
            name="llama-3",
            source="github.com/meta-llama/llama3, llama/tokenizer.py, ChatFormat",
            bos="text",
            start="<|begin_of_text|>",
            system_open="<|start_header_id|>system<|end_header_id|>\n\n",
            system_close="<|eot_id|>",
            user_open="<|start_header_id|>user<|end_header_id|>\n\n",
            user_close="<|eot_id|>",
            assistant_open="<|start_header_id|>assistant<|end_header_id|>\n\n",
            assistant_close="<|eot_id|>",
            strip=True,
            tools=LLAMA_3_1,
            control=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        ),
        Template(
            name="mistral",
            # The system message in the first turn, not in the last as there: so a chat begins as it did a turn before.
            source="huggingface.co/mistralai/Mistral-7B-Instruct-v0.3, tokenizer_config.json",
            bos="text",
            start="<s>",
            system_close="\n\n",
            system_in_user=True,
            user_open="[INST] ",
            user_close="[/INST]",
            assistant_space=" ",
            strip=True,
            control=("<s>", "</s>"),
        ),
        Template(
            name="chatml",
            source="github.com/openai/openai-python, chatml.md (v0)",
            bos="none",
            system_open="<|im_start|>system\n",
            system_close="<|im_end|>\n",
            user_open="<|im_start|>user\n",
            user_close="<|im_end|>\n",
            assistant_open="<|im_start|>assistant\n",
            assistant_close="<|im_end|>",
            assistant_after="\n",
            control=("<|im_start|>", "<|im_end|>"),
            tools=HERMES,
        ),
    )
}
