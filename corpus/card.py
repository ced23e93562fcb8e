"""A page about a corpus: what is in it, what was left out and why, samples to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import read_json
from camelid.files.write import atomic_write
from corpus.facts import Facts
from corpus.mix import count_tokens
from corpus.record import TextRecord, read_texts, text_files
from corpus.source_run import LEDGER

DATA = Path(__file__).parent / "data"
SAMPLES, SAMPLE = 3, 800  # of a source; characters shown of each


@dataclass(frozen=True)
class SourceCard:
    """What the page says of one source."""

    name: str
    facts: Facts
    tokens: float
    estimated: bool
    ledgers: list[Ledger]
    asked: dict[str, Any]
    samples: list[TextRecord]


def source_folders(folder: Path) -> list[Path]:
    """The folders of sources in a corpus, by name; a source's folder is itself.

    Raises:
        UserError: there are none.
    """
    if (folder / LEDGER).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{LEDGER}"))
    if not found:
        raise UserError(f"{folder}: no {LEDGER} in it or in its folders; expected what `camelid corpus` wrote")
    return found


def read_card(folder: Path) -> SourceCard:
    """What is known of a source, with samples from the begin of its first files."""
    content = read_json(folder / LEDGER)
    ledgers = [Ledger.from_json(one) for one in content["ledgers"]]
    facts, (tokens, estimated) = Facts.from_json(content["facts"]), count_tokens(folder)
    files = text_files(folder) if facts.documents else []
    each = -(-SAMPLES // len(files)) if files else 0
    shown = [record for path in files[:SAMPLES] for _, record in islice(read_texts(path), each)][:SAMPLES]
    return SourceCard(folder.name, facts, tokens, estimated, ledgers, content["asked"], shown)


def write_card(folders: Sequence[Path], path: Path, title: str) -> list[SourceCard]:
    """Write the page; it loads nothing from elsewhere. Returns what it says."""
    from jinja2 import Environment, StrictUndefined

    cards = [read_card(folder) for folder in folders]
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    environment.globals.update(named=_named, characters=SAMPLE)
    template = environment.from_string((DATA / "card.html").read_text(encoding="utf-8"))
    total = sum(card.tokens for card in cards)
    with atomic_write(path) as file:
        file.write(template.render(title=title, cards=cards, total=total))
    return cards


def _named(record: TextRecord) -> str:
    """What tells a sample from others: a title, an address or a path, where there is one."""
    found = next((record.meta[name] for name in ("title", "url", "path", "id") if record.meta.get(name)), "")
    return f": {found}" if found else ""
