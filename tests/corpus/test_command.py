"""The command line of the room: names, mistakes, resuming, memory, and what a reader needs to be added."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

from camelid.config import from_tree
from camelid.files.write import write_jsonl
from corpus import readers
from corpus.command import SOURCES
from corpus.command import WAYS as WAY_NAMES
from corpus.dedup.ways import WAYS
from corpus.readers import READERS
from corpus.recipe import read_corpus_recipe
from tests.corpus.conftest import CorpusCommand, ledger, numbered, texts, tree
from tests.corpus.test_web import warc_record

ROOT = Path(__file__).parents[2]


def test_names_of_the_command_line_are_those_of_the_tables() -> None:
    assert tuple(READERS) == SOURCES and tuple(WAYS) == WAY_NAMES
    for kind in (*READERS.values(), *WAYS.values()):
        from_tree(kind, {}, "defaults")


def test_the_shipped_recipe_is_llamas_table() -> None:
    recipe = read_corpus_recipe(ROOT / "recipes" / "corpus" / "llama1.yaml")
    shares = {name: section.share for name, section in recipe.sources.items()}
    assert shares == {
        "commoncrawl": 67, "c4": 15, "github": 4.5, "wikipedia": 4.5, "books": 4.5, "arxiv": 2.5, "stackexchange": 2,
    }  # fmt: skip
    assert sum(shares.values()) == 100 and recipe.tokens == 1.4e12


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("read", "text", "nowhere"), "nowhere: no such file"),
        (("read", "wikipedia", "."), "no dump of a wiki (expected names like x-pages-articles.xml.bz2) there"),
        (("read", "text", "a.txt", "--set", "feild=x"), "--set: unknown key 'feild'; did you mean 'field'?"),
        (("read", "text", "a.txt", "--set", "field"), "--set field: expected KEY=VALUE"),
        (
            ("read", "text", "a.txt", "--keep", "buckets=[best]"),
            "buckets: best unknown; there are head, middle, tail, all",
        ),
        (("read", "text", "a.txt", "--tasks", "0"), "--tasks and --workers must be at least 1"),
        (("read", "text", "a.txt", "--keep", "references=no.npz"), "no.npz: no such file"),
        (("dedup", "a.txt", "--by", "book", "--similarity", "1"), "--by book: unknown key 'similarity'"),
        (("dedup", "empty", "--by", "line"), "empty: no files of records in it"),
        (("card", "empty"), "empty: no ledger.json in it or in its folders"),
    ],
)
def test_mistakes(
    words: tuple[str, ...], error: str, tmp_path: Path, corpus: CorpusCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    output = () if words[0] == "card" else ("--output", "out")
    status, _, printed = corpus(*words, *output)
    assert status == 2 and error in printed, printed


def test_a_finished_folder_is_left_as_it_is(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "a.txt").write_text("one")
    command = ("read", "text", tmp_path / "a.txt", "--output", tmp_path / "out", "--quiet")
    assert corpus(*command)[0] == 0
    before = tree(tmp_path / "out")
    status, out, _ = corpus(*command)
    assert status == 0 and "read 1 documents: kept 1, dropped 0" in out and tree(tmp_path / "out") == before
    status, _, error = corpus(*command, "--keep", "min_characters=2")
    assert status == 2 and "was begun with other options" in error


def test_rules_of_what_stays(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "raw").mkdir()
    for name, text in {
        "a.txt": "The river carried the old bridge away in the night, and nobody saw it go.",
        "b.txt": "Der Fluss hat die alte Br\u00fccke in der Nacht fortgetragen, und niemand sah es.",
        "c.txt": "Short.",
        "d.txt": "Who wrote it? Compose an engaging travel blog post about a recent trip to Hawaii, highlighting "
        "cultural experiences and must-see attractions.",
        "e.txt": "line one of the text\nline two of the text\nand the third line of it",
    }.items():
        (tmp_path / "raw" / name).write_text(text)
    questions = tmp_path / "questions.jsonl"
    asked = "Compose an engaging travel blog post about a recent trip to Hawaii, highlighting cultural experiences."
    write_jsonl(questions, [{"question_id": 1, "turns": [asked]}])
    rules = ("--keep", "languages=[en]", "--keep", "min_characters=10", "--decontaminate", questions)
    corpus("read", "text", tmp_path / "raw", "--output", tmp_path / "out", "--quiet", *rules)
    assert [text[:8] for text in texts(tmp_path / "out")] == ["The rive", "line one"]
    assert ledger(tmp_path / "out").dropped == {
        "language: de": 1, "fewer than 10 characters": 1, "contains an evaluation question": 1,
    }  # fmt: skip


def test_a_reader_is_a_file(tmp_path: Path, corpus: CorpusCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of CONTRIBUTING.md, in the place of `text`."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    [code] = [
        block for block in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if "class Paragraphs" in block
    ]
    space: dict[str, object] = {"__name__": "paragraphs"}
    monkeypatch.setitem(sys.modules, "paragraphs", sys)  # where `dataclass` looks for the module of a class
    exec(code, space)
    monkeypatch.setitem(readers.READERS, "text", space["Paragraphs"])  # type: ignore[arg-type]
    (tmp_path / "a.txt").write_text("one two three\n\nfour\n\nfive six seven eight")
    corpus("read", "text", tmp_path / "a.txt", "--output", tmp_path / "out", "--set", "min_words=3", "--quiet")
    assert texts(tmp_path / "out") == ["one two three", "five six seven eight"]
    assert ledger(tmp_path / "out").dropped == {"fewer than 3 words": 1}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["wet", "c4", "wikipedia", "text"])
def test_memory_does_not_grow_with_the_input(source: str, tmp_path: Path) -> None:
    """At most 200 MB at ten times the input: a file of 20 MB and more."""
    from tests.corpus.test_wiki import dump, page

    bodies = list(numbered(200, 600))
    for times in (1, 10):
        folder = tmp_path / str(times)
        folder.mkdir()
        many = [f"{body}. {number}." for number in range(2 * times) for body in bodies]
        if source == "wikipedia":
            (folder / "x.xml").write_text(dump(*(page(f"P {at}", text) for at, text in enumerate(many))))
        elif source == "text":
            (folder / "x.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in many))
        else:
            records = (warc_record("conversion", f"Title\n{text}\n{text}\n{text}".encode()) for text in many)
            (folder / "x.warc.wet.gz").write_bytes(gzip.compress(b"".join(records), compresslevel=1))
    code = (  # the kernel's high-water mark: `ru_maxrss` remembers the process that started this one
        "import sys; from camelid.app.cli import main; main(['corpus', *sys.argv[1:]]);"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    peaks = []
    for times in (1, 10):
        words = ["read", source, tmp_path / str(times), "--output", tmp_path / f"out{times}", "--quiet"]
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)
    assert peaks[1] <= 200 and peaks[1] <= peaks[0] * 1.2, peaks
