"""One conversation as the model sees it: every token, and which of them it learns to write."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from rich.text import Text

from camelid.errors import UserError
from camelid.message import Conversation
from camelid.terminal import printable
from conversations.tokens.tokenize import ShownToken

NEWLINE, RETURN = "↵", "←"
# Two shades of each, by turns, so that a token's end is seen: (trained, not trained).
SHADES = (("black on green3", "black on dark_sea_green2"), ("default", "bright_black"))
CONTROL = "bold magenta"
BAR = "│"  # no letter of any chat format


def pick_conversation(conversations: Iterator[Conversation], source: str, name: str | None, index: int) -> Conversation:
    """The conversation with this id, or the one at this place (from 0).

    Raises:
        UserError: there is none.
    """
    count = 0
    for count, conversation in enumerate(conversations, start=1):
        if conversation.id == name or (name is None and count == index + 1):
            return conversation
    if name is not None:
        raise UserError(f"{source}: none of its {count} conversations has the id {name!r}")
    raise UserError(f"{source}: --index {index}: it has {count} conversations, numbered from 0")


def to_terminal(tokens: Sequence[ShownToken]) -> Text:
    """A stretch of equal weight per paragraph, its weight in the margin, a bar between tokens.

    So the mask is plain to see without colour, too.
    """
    out, number = Text(), 0
    for weight, run in groupby(tokens, key=lambda token: token.weight):
        out.append(_margin(weight), style="bold green" if weight else "bright_black")
        fresh = True
        for token in run:
            if not fresh:
                out.append(BAR, style="bright_black")
            fresh = False
            text = printable(_visible(token))
            style = SHADES[0 if weight else 1][number % 2] + (f" {CONTROL}" if token.control and not weight else "")
            for line, part in enumerate(text.split("\n")):
                if line:
                    out.append("\n" + " " * len(_margin(weight)))
                out.append(part, style=style + (" bold" if token.control else ""))
            number += 1
        out.append("\n")
    return out


def summary_line(tokens: Sequence[ShownToken]) -> str:
    """The counts, in a line."""
    trained = sum(token.weight > 0 for token in tokens)
    controls = sum(token.control for token in tokens)
    share = trained / len(tokens) if tokens else 0
    return f"{len(tokens)} tokens, {trained} trained ({share:.0%}), {controls} control tokens"


def to_html(conversation: Conversation, documents: Sequence[Sequence[ShownToken]], facts: str) -> str:
    """The same as a page that needs nothing but itself; a token's id and weight show under the pointer."""
    return PAGE.format(
        title=escape(f"{conversation.id}: tokens"),
        id=escape(conversation.id),
        facts=escape(facts),
        tokens="</pre>\n<hr>\n<pre>".join(map(_cells, documents)),
    )


def _cells(tokens: Sequence[ShownToken]) -> str:
    cells = []
    for number, token in enumerate(tokens):
        kind = ("trained" if token.weight else "plain") + " control" * token.control + " odd" * (number % 2)
        weight = "" if token.weight in (0, 1) else f' style="--share:{token.weight:.0%}"'
        text = escape(_visible(token))
        cells.append(f'<span class="{kind}" title="id {token.id}, weight {token.weight:g}"{weight}>{text}</span>')
    return "".join(cells)


def _visible(token: ShownToken) -> str:
    """The text with its line ends visible; something for a token that adds no character of its own."""
    if not token.text:
        return "·"
    return token.text.replace("\r", RETURN).replace("\n", f"{NEWLINE}\n")


def _margin(weight: float) -> str:
    return f"{weight:4.2g} + " if weight else "   0   "


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1d2329; --page: #fff; --faint: #6b727b; --odd: #eef0f2;
  --on: #b9ebc5; --on-odd: #93dba6; --control: #a0259b; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #d7dce2; --page: #10141a; --faint: #8d96a0; --odd: #1d232b;
  --on: #17512a; --on-odd: #226b3a; --control: #ec8ee6; }} }}
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; }}
p {{ color: var(--faint); margin: .3rem 0 1rem; }}
pre {{ font: 14px/1.7 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
span {{ border-radius: 3px; }}
.odd {{ background: var(--odd); }}
.trained {{ background: color-mix(in srgb, var(--on) var(--share, 100%), var(--page)); }}
.trained.odd {{ background: color-mix(in srgb, var(--on-odd) var(--share, 100%), var(--page)); }}
p span {{ color: var(--ink); padding: 0 .2em; }}
.control {{ color: var(--control); font-weight: bold; }}
</style></head><body>
<h1>{id}</h1>
<p>{facts}</p>
<p><span class="trained">trained</span> (paler where the weight is less than 1), <span class="plain">not trained</span>,
<span class="control">control token</span>; two shades tell neighbours apart. <span>·</span> stands for a token that
completes the character before it, <span>↵</span> for a line end, <span>←</span> for a carriage return.</p>
<pre>{tokens}</pre>
</body></html>
"""
