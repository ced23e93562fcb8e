"""A page about a data set: how many turns, how long, who speaks."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import repeat
from pathlib import Path

import numpy as np

from camelid.charts import bar_chart, histogram
from camelid.errors import UserError
from camelid.files.write import atomic_write
from camelid.message import Conversation
from conversations.tokens.tokenize import Encoder


@dataclass
class Stats:
    """What was counted.

    Attributes:
        turns: messages of each conversation, the system message not counted.
        characters: length of each message, by role.
        tokens: length of each conversation as it is rendered; empty without a tokenizer.
        trained: trained tokens of each conversation.
        refused: conversations the template cannot write, by reason; they have no tokens.
    """

    turns: list[int] = field(default_factory=list)
    characters: dict[str, list[int]] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def count_stats(conversations: Iterable[Conversation], encoder: Encoder | None) -> Stats:
    """Count all conversations; their tokens, too, if there is an encoder."""
    stats = Stats()
    encoded = encoder.encode_all(conversations) if encoder else zip(conversations, repeat(None))
    for conversation, tokens in encoded:
        stats.turns.append(sum(message.role != "system" for message in conversation.messages))
        for message in conversation.messages:
            stats.characters.setdefault(message.role, []).append(len(message.content))
        if isinstance(tokens, UserError):
            stats.refused[str(tokens)] += 1
        elif tokens:
            stats.tokens.append(len(tokens.ids))
            stats.trained.append(int(np.count_nonzero(tokens.weights)))
    return stats


def write_page(stats: Stats, folder: Path, title: str) -> Path:
    """Draw the charts into `folder` and write `index.html`, which holds them all itself; return its path."""
    charts = [folder / "turns", folder / "roles"]
    histogram(charts[0], stats.turns, "Turns of a conversation", "turns", ylabel="conversations")
    bar_chart(charts[1], {role: len(sizes) for role, sizes in stats.characters.items()}, "Messages by role", "messages")
    for role, sizes in stats.characters.items():
        if role != "system":
            charts.append(folder / f"characters-{role}")
            _lengths(charts[-1], sizes, f"Length of a message, {role}", "characters", "messages")
    if stats.tokens:
        charts.append(folder / "tokens")
        _lengths(charts[-1], stats.tokens, "Length of a conversation", "tokens", "conversations")
    rows = "".join(
        f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for name, cells in stats_table(stats)
    )
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    svgs = "".join(f"<figure>{_inline(chart.with_suffix('.svg'))}</figure>" for chart in charts)
    page = folder / "index.html"
    with atomic_write(page) as file:
        count = f"{len(stats.turns):,}"
        file.write(PAGE.format(title=escape(title), count=count, head=head, rows=rows, charts=svgs))
    return page


COLUMNS = ("total", "mean", "median", "95 %", "longest")


def stats_table(stats: Stats) -> list[tuple[str, list[str]]]:
    """(what, one text for each of `COLUMNS`)."""
    series: list[tuple[str, Sequence[int]]] = [("turns", stats.turns)]
    series += [(f"characters, {role}", sizes) for role, sizes in stats.characters.items()]
    if stats.tokens:
        series += [("tokens", stats.tokens), ("trained tokens", stats.trained)]
    return [
        (
            name,
            [
                f"{sum(values):,}",
                f"{np.mean(values):,.1f}",
                f"{np.median(values):,.0f}",
                f"{np.percentile(values, 95):,.0f}",
                f"{max(values):,}",
            ],
        )
        for name, values in series
        if values
    ]


def _lengths(path: Path, values: Sequence[int], title: str, unit: str, ylabel: str) -> None:
    """A histogram up to the 99th percentile: the longest few would squeeze all others into one bar."""
    most = float(np.percentile(values, 99))
    shown = [value for value in values if value <= most]
    cut = len(values) - len(shown)
    note = f" ({cut:,} longer not shown)" if cut else ""
    histogram(path, shown, title, unit + note, ylabel, marks={"median": float(np.median(values))})


def _inline(path: Path) -> str:
    """An SVG for use inside a page: without the XML prologue."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("<svg") :]


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 2rem auto; max-width: 48rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.3rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th {{ text-align: left; font-weight: normal; }}
td, thead th + th {{ text-align: right; }}
th, td {{ padding: .25rem .5rem; border-bottom: 1px solid #73788055; }}
thead th {{ color: #737880; }}
figure {{ margin: 2rem 0 0; }}
svg {{ width: 100%; height: auto; }}
</style></head><body>
<h1>{title}</h1>
<p>{count} conversations</p>
<table><thead><tr><th></th>{head}</tr></thead>
<tbody>{rows}</tbody></table>
{charts}
</body></html>
"""
