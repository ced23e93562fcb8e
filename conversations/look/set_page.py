"""A set of conversations as one page: searched, filtered, and each with what of it is trained in colour.

The page is as safe as the evaluation's report, in the same way (`camelid.page`). Its index has a few numbers for each
conversation, in columns; the texts lie in blocks that the page unpacks when someone looks. What its script,
`data/set.js` and what all such pages share, finds:

- `ids`, `texts` (the beginning of what the user says first), `lengths` (in `unit`), and `sources`, `languages` and
  `shapes`: each [names, most frequent first; the place of each conversation's among them];
- `scores`: by name, each conversation's or null; `starts`: the first conversation of each block;
- `rendered`: how the model is written to, null without a tokenizer;
- in a block, of each conversation: its messages, each with `trained` (its share of the loss, 0 for none); `tools` and
  `meta`; and `runs`: of each document that is trained, [weight, text] of what the model reads, or why the template
  cannot write it, or null without a tokenizer.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from camelid.errors import UserError
from camelid.message import Conversation, Message
from camelid.page import browsing_script, content_hash, fill_template, pack_value
from camelid.text.language import detect_language
from camelid.text.words import count_words
from conversations.scores.score import held_scores
from conversations.tokens.tokenize import Encoder

BLOCK = 500_000  # characters of text in a block: unpacked in about 10 ms
SNIPPET = 160  # characters in the list: more than its two lines show
COLUMNS = ("ids", "texts", "lengths", "sources", "languages", "shapes")

Sourced = Iterable[tuple[str, Conversation]]
"""Conversations, each with the name of the file that it is from."""


@dataclass
class PageSet:
    """A set, as the page holds it.

    Attributes:
        encoder: writes what the model reads; None shows the turns alone.
        last_turn_only: whether the last answer alone is trained.
        blocks: the texts, packed.
        starts: the first conversation of each block.
        columns: of the index, one value for each conversation.
        scores: by name, values by place.
    """

    encoder: Encoder | None = None
    last_turn_only: bool = False
    blocks: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    scores: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.columns["ids"])

    def add_all(self, conversations: Sourced) -> None:
        """Take in a set; once."""
        block, size = list[Any](), 0
        for file, conversation in conversations:
            if size > BLOCK:
                self._close(block)
                block, size = [], 0
            detail = self._detail(conversation)
            block.append(detail)
            self._index(file, conversation, detail)
            size += sum(len(message.content) for message in conversation.messages) * (2 if self.encoder else 1)
        if block:
            self._close(block)

    def _close(self, block: list[Any]) -> None:
        self.starts.append(self.count - len(block))
        self.blocks.append(pack_value(block))

    def _detail(self, conversation: Conversation) -> dict[str, Any]:
        last = max((at for at, one in enumerate(conversation.messages) if one.role == "assistant"), default=-1)
        messages = [
            {**one.to_json(), "trained": 0 if self.last_turn_only and at != last else trained_weight(one)}
            for at, one in enumerate(conversation.messages)
        ]
        beside = {"tools": list(conversation.tools), "meta": conversation.meta}
        return {"messages": messages, **beside, "runs": self._runs(conversation)}

    def _runs(self, conversation: Conversation) -> list[list[tuple[float, str]]] | str | None:
        """What the model reads, document by document, in stretches of equal weight."""
        if not self.encoder:
            return None
        try:
            documents = [self.encoder.stretches(document) for document in self.encoder.documents(conversation)]
        except UserError as error:
            return str(error)
        return [[(round(weight, 4), text) for weight, text in stretches] for stretches in documents]

    def _index(self, file: str, conversation: Conversation, detail: dict[str, Any]) -> None:
        source = conversation.meta.get("source")
        first = next((one.content for one in conversation.messages if one.role == "user"), "")
        values = {
            "ids": conversation.id,
            "texts": " ".join(first[: 2 * SNIPPET].split())[:SNIPPET],
            "lengths": sum(count_words(one.content) for one in conversation.messages),
            "sources": source if isinstance(source, str) and source else file,
            "languages": detect_language(conversation),
            "shapes": role_shape(conversation),
        }
        for name, score in held_scores(conversation).items():
            self.scores.setdefault(name, {})[self.count] = score
        for name, value in values.items():
            self.columns[name].append(value)

    def to_page(self, title: str, rendered: str | None) -> str:
        """The page.

        Args:
            title: of the page.
            rendered: how the model is written to; None without an encoder.
        """
        from markupsafe import Markup

        named = {name: _by_frequency(self.columns[name]) for name in ("sources", "languages", "shapes")}
        places = range(self.count)
        index = {
            **self.columns,
            **named,
            "scores": {name: [held.get(place) for place in places] for name, held in sorted(self.scores.items())},
            "starts": self.starts,
            "rendered": rendered,
        }
        script = browsing_script(_data_file("set.js"))
        return fill_template(
            "set.html",
            _data_file,
            _data_file("set.css"),
            title=title,
            count=self.count,
            rendered=rendered,
            script=Markup(script),
            script_hash=content_hash(script),
            index=pack_value(index),
            blocks=self.blocks,
        )


def trained_weight(message: Message) -> float:
    """A turn's share of the loss: 1 for an answer that says nothing of it."""
    if message.role != "assistant":
        return 0.0
    return 1.0 if message.weight is None else message.weight


def role_shape(conversation: Conversation) -> str:
    """Who speaks in which order, a pattern that goes on written once: `system, (user, assistant) x 3`."""
    roles = [message.role for message in conversation.messages]
    parts, at = list[str](), 0
    while at < len(roles):
        best, repeats = 1, 1  # the pattern that covers most from here, and how often it stands there
        for size in range(1, min(4, len(roles) - at) + 1):
            count = 1
            while roles[at + size * count : at + size * (count + 1)] == roles[at : at + size]:
                count += 1
            if count > 1 and size * count > best * repeats:
                best, repeats = size, count
        pattern = ", ".join(roles[at : at + best])
        parts.append(pattern if repeats == 1 else f"({pattern}) x {repeats}" if best > 1 else f"{pattern} x {repeats}")
        at += best * repeats
    return ", ".join(parts)


def _by_frequency(values: list[str]) -> tuple[list[str], list[int]]:
    """The names, most frequent first, and the place of each value's among them."""
    names = [name for name, _ in Counter(values).most_common()]
    places = {name: place for place, name in enumerate(names)}
    return names, [places[value] for value in values]


def _data_file(name: str) -> str:
    """The text of a file of `conversations/data`."""
    return files("conversations").joinpath("data", name).read_text(encoding="utf-8")
