"""A page about a data set: how many turns, how long, who speaks; of scores how they lie, and what is at both ends."""

from bisect import insort
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
from conversations.scores.score import held_scores
from conversations.tokens.tokenize import Encoder

EXAMPLES = 3  # conversations shown at each end of a score
SHOWN = 400  # characters of a question and of an answer that are shown


@dataclass(frozen=True, order=True, slots=True)
class ScoreExample:
    """A conversation at an end of a score.

    Attributes:
        value: of the score.
        place: in the set, from 0.
        id, question, answer: what it is called, what is asked and answered first, not all of it.
    """

    value: float
    place: int
    id: str
    question: str
    answer: str


@dataclass
class ScoreStats:
    """A score in a set.

    Attributes:
        values: of all conversations that have it.
        lowest, highest: the conversations at both ends, from the lowest on.
    """

    values: list[float] = field(default_factory=list)
    lowest: list[ScoreExample] = field(default_factory=list)
    highest: list[ScoreExample] = field(default_factory=list)

    def add(self, value: float, place: int, conversation: Conversation) -> None:
        """Take in the next conversation that has it."""
        self.values.append(value)
        low = len(self.lowest) < EXAMPLES or value < self.lowest[-1].value
        high = len(self.highest) < EXAMPLES or value > self.highest[0].value
        if not (low or high):
            return
        said = [next((one.content for one in conversation.messages if one.role == role), "") for role in SIDES]
        example = ScoreExample(value, place, conversation.id, *(_cut(text) for text in said))
        if low:
            insort(self.lowest, example)
            del self.lowest[EXAMPLES:]
        if high:
            insort(self.highest, example)
            del self.highest[:-EXAMPLES]


SIDES = ("user", "assistant")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


@dataclass
class Stats:
    """What was counted.

    Attributes:
        turns: messages of each conversation, the system message not counted.
        characters: length of each message, by role.
        tokens: length of each conversation as it is rendered; empty without a tokenizer.
        trained: trained tokens of each conversation.
        refused: conversations the template cannot write, by reason; they have no tokens.
        scores: those that conversations have in `meta.scores`, by name.
    """

    turns: list[int] = field(default_factory=list)
    characters: dict[str, list[int]] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    scores: dict[str, ScoreStats] = field(default_factory=dict)


def count_stats(conversations: Iterable[Conversation], encoder: Encoder | None) -> Stats:
    """Count all conversations; their tokens, too, if there is an encoder."""
    stats = Stats()
    encoded = encoder.encode_all(conversations) if encoder else zip(conversations, repeat(None))
    for place, (conversation, tokens) in enumerate(encoded):
        for name, value in held_scores(conversation).items():
            stats.scores.setdefault(name, ScoreStats()).add(value, place, conversation)
        stats.turns.append(sum(message.role != "system" for message in conversation.messages))
        for message in conversation.messages:
            stats.characters.setdefault(message.role, []).append(len(message.content))
        if isinstance(tokens, UserError):
            stats.refused[str(tokens)] += 1
        elif tokens:
            stats.tokens.append(len(tokens.ids))
            stats.trained.append(int(np.count_nonzero(tokens.weights)))
    return stats


def write_page(stats: Stats, folder: Path, page: Path, title: str) -> None:
    """Draw the charts into `folder` and write the page, which holds them all itself."""
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
    scores = "".join(
        _score_section(name, stats.scores[name], folder / f"score-{number}")
        for number, name in enumerate(sorted(stats.scores))
    )
    with atomic_write(page) as file:
        count = f"{len(stats.turns):,}"
        file.write(PAGE.format(title=escape(title), count=count, head=head, rows=rows, charts=svgs, scores=scores))


def _score_section(name: str, score: ScoreStats, chart: Path) -> str:
    """How a score lies, and the conversations at both ends of it."""
    plain = name.replace("$", r"\$")  # no formula for the chart
    median = float(np.median(score.values))
    histogram(chart, score.values, plain, plain, "conversations", marks={"median": median})
    ends = "".join(
        f"<h3>{words}</h3>" + "".join(map(_example, examples))
        for words, examples in (("Lowest", score.lowest), ("Highest", score.highest[::-1]))
    )
    figure = f"<figure>{_inline(chart.with_suffix('.svg'))}</figure>"
    return f"<h2>{escape(name)}</h2><p>{len(score.values):,} have it, median {median:,.4g}</p>{figure}{ends}"


def _example(example: ScoreExample) -> str:
    said = zip(SIDES, (example.question, example.answer), strict=True)
    texts = "".join(f"<dt>{role}</dt><dd>{escape(text)}</dd>" for role, text in said)
    return f"<section><p><b>{example.value:,.4g}</b> {escape(example.id)}</p><dl>{texts}</dl></section>"


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
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1d2329; --page: #fff; --faint: #66625a; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #d7dce2; --page: #10141a; --faint: #a6a095; }} }}
body {{ background: var(--page); color: var(--ink);
  margin: 2rem auto; max-width: 48rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.3rem; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th {{ text-align: left; font-weight: normal; }}
td, thead th + th {{ text-align: right; }}
th, td {{ padding: .25rem .5rem; border-bottom: 1px solid #73788055; }}
thead th {{ color: var(--faint); }}
.table {{ overflow-x: auto; }}
figure {{ margin: 2rem 0 0; }}
svg {{ width: 100%; height: auto; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 0; overflow-wrap: anywhere; }}
h3 {{ font-size: 1rem; margin: 1.2rem 0 0; }}
h2 + p, dt {{ color: var(--faint); }}
h2 + p, section p, dl {{ margin: .2rem 0; }}
section {{ border-left: 3px solid #73788055; padding-left: .8rem; margin: .8rem 0; overflow-wrap: anywhere; }}
dt {{ font-size: .85rem; }}
dd {{ margin: 0 0 .4rem; white-space: pre-wrap; }}
</style></head><body><main>
<h1>{title}</h1>
<p>{count} conversations</p>
<div class="table" tabindex="0"><table><thead><tr><td></td>{head}</tr></thead>
<tbody>{rows}</tbody></table></div>
{charts}
{scores}
</main></body></html>
"""
