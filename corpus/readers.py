"""The kinds of raw files, by the names that recipes and the command line give them."""

from corpus.books import Books
from corpus.code.checkout import SourceFiles
from corpus.plain import PlainTexts
from corpus.reader import Reader
from corpus.stack_exchange import StackExchange
from corpus.tex.paper import LatexPapers
from corpus.web.c4 import C4Pages
from corpus.web.wet import CrawledPages
from corpus.wiki.dump import WikiDump

# A reader's first docstring line says what it reads: the command line's help shows it.
READERS: dict[str, type[Reader]] = {
    "wet": CrawledPages,
    "c4": C4Pages,
    "code": SourceFiles,
    "wikipedia": WikiDump,
    "gutenberg": Books,
    "arxiv": LatexPapers,
    "stackexchange": StackExchange,
    "text": PlainTexts,
}
