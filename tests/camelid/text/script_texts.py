"""Made-up texts in eight scripts, four of which write no spaces between words."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from camelid.files.read import read_json


@dataclass(frozen=True)
class Script:
    """Everyday words of a language, and how its texts are put together.

    Attributes:
        words: some fifty, the commonest first.
        between: what stands between two words.
        please: what a polite question begins with.
    """

    words: tuple[str, ...]
    between: str
    please: str

    def text(self, rng: Random, length: int) -> list[str]:
        """That many words, the first of the list more often than the last."""
        weights = [1 / (place + 3) for place in range(len(self.words))]
        return rng.choices(self.words, weights, k=length)

    def join(self, words: list[str]) -> str:
        return self.between.join(words)


SCRIPTS = {
    name: Script(tuple(value["words"].split()), " " if value["spaces"] else "", value["please"])
    for name, value in read_json(Path(__file__).with_name("script_words.json")).items()
}
