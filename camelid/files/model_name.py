"""What people call a model that lies in a folder."""

from pathlib import Path

from camelid.files.read import read_text

PLACES = ("model", "adapter")  # of a run's folder: they name what is in it, not which one it is


def model_name(folder: str | Path) -> str:
    """The title of the card that training or merging wrote; else the folder's own name, or its run's.

    Args:
        folder: of a model or an adapter.
    """
    path = Path(folder).resolve()
    title = _card_title(path / "README.md")
    if title and title not in PLACES:
        return title
    return path.parent.name if path.name in PLACES and path.parent.name else path.name


def _card_title(card: Path) -> str | None:
    """The title of a card of ours; others call themselves all kinds of things."""
    if not card.is_file():
        return None
    head, _, body = read_text(card).removeprefix("---\n").partition("\n---\n")
    if "tags: [camelid," not in head:
        return None
    return next((line[2:].strip() for line in body.splitlines() if line.startswith("# ")), None)
