"""`arxiv`: papers in LaTeX, from arXiv's archives or any folder, as LLaMA has them (Touvron et al. 2023, 2.1).

All before the first section, comments and the bibliography are out, macros are written out: after Minerva (Lewkowycz et
al. 2022).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import missing_file_error
from corpus.reader import RawPart, ReadCounts, one_part_a_file, parts_of
from corpus.record import TextRecord
from corpus.tex.comments import Verbatim
from corpus.tex.files import ENDINGS, PaperFiles, papers_at
from corpus.tex.flatten import find_mains, flatten
from corpus.tex.macros import MacroExpander

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".gz")
_PAPERS = 256  # small papers that one part holds
_HEADING = re.compile(
    r"\\(?:part|chapter|section|subsection|subsubsection|paragraph|subparagraph)\s*\*?\s*(?:\[[^\]]*\]\s*)?\{"
)
_DOCUMENT = re.compile(r"\\begin\s*\{document\}(.*?)(?:\\end\s*\{document\}|\Z)", re.DOTALL)
_BIBLIOGRAPHY = re.compile(
    r"\\begin\{(thebibliography|references|REFERENCES|biblist|bibdiv|chapthebibliography)\}.*?(?:\\end\{\1\}|\Z)"
    r"|\\(?:bibliography|bibliographystyle|nobibliography|addbibresource|putbib|bibliographyunit)\*?\s*(?:\[[^\]]*\])?"
    r"\s*\{[^{}]*\}|\\(?:printbibliography|printbib|putbib|newrefsection)\b\s*(?:\[[^\]]*\])?",
    re.DOTALL,
)
_FRONT = re.compile(r"\\maketitle\b|\\end\{abstract\}")
_EMPTY = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")
NO_SECTION = "no section"


@dataclass(frozen=True)
class LatexPapers:
    """The settings.

    Attributes:
        without_sections: what becomes of a paper that has no section: it is dropped, or kept from behind its title on.
    """

    without_sections: bool = False

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        papers = [paper for path in inputs for paper in _find(path)]
        if not papers:
            raise UserError(f"{', '.join(map(str, inputs))}: no TeX in it; expected .tex files or arXiv's archives")
        large = [paper for paper in papers if paper.suffix == ".tar"]
        small = [paper for paper in papers if paper.suffix != ".tar"]
        return parts_of(small, _PAPERS) + one_part_a_file(large)

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for path in map(Path, part.paths):
            for paper in papers_at(path, counts):
                mains = find_mains(paper.texts)[:1] if path.suffix in ENDINGS else find_mains(paper.texts)
                if path.suffix in ENDINGS:
                    mains = [next(iter(paper.texts))]
                if not mains:
                    counts.documents.drop("no TeX in it", example=paper.name)
                for main in mains:
                    text = self.clean(paper, main, counts)
                    if text is not None:
                        yield TextRecord(text, source, {"id": paper.name, "file": main})

    def clean(self, paper: PaperFiles, main: str, counts: ReadCounts) -> str | None:
        """The text of a paper; None, and counted, if nothing of it stays."""
        verbatim, expander = Verbatim(), MacroExpander()
        flat, missing = flatten(main, paper.texts, verbatim)
        text = expander.expand(flat)
        if missing:
            counts.documents.repair("\\input of a file that is not there", len(missing))
        if expander.endless:
            counts.documents.note("a macro that defines itself")
        body = _DOCUMENT.search(text)
        text = body[1] if body else text
        text = _BIBLIOGRAPHY.sub("", text)
        first = _HEADING.search(text)
        if first is None and not self.without_sections:
            counts.documents.drop(NO_SECTION, example=f"{paper.name}: {main}")
            return None
        start = first.start() if first else max((found.end() for found in _FRONT.finditer(text)), default=0)
        text = verbatim.restore(_EMPTY.sub("\n\n", text[start:])).strip()
        if not text:
            counts.documents.drop("no text in it", example=f"{paper.name}: {main}")
            return None
        return text + "\n"


def _find(path: Path) -> list[Path]:
    """The papers at a path: itself if it is a file or has TeX in it, else those in its folders and archives."""
    if not path.exists():
        raise missing_file_error(path)
    if path.is_file():
        return [path]
    entries = sorted(path.iterdir())
    if any(entry.suffix.lower() in ENDINGS for entry in entries if entry.is_file()):
        return [path]
    archives = [entry for entry in entries if entry.is_file() and entry.name.lower().endswith(_ARCHIVES)]
    return archives + [paper for entry in entries if entry.is_dir() for paper in _find(entry)]
