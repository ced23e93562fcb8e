"""Papers: the known faults of the cleaner that everybody copied, each right here; `test_peers.py` runs the copies."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from corpus.reader import ReadCounts
from corpus.tex.files import PaperFiles
from corpus.tex.paper import LatexPapers
from tests.corpus.conftest import CorpusCommand, ledger, records, texts

HEAD, BEGIN, END = "\\documentclass{article}\n", "\\begin{document}\n", "\n\\end{document}\n"


def paper(body: str, preamble: str = "") -> str:
    return f"{HEAD}{preamble}{BEGIN}{body}{END}"


# Name of the fault: the paper, what must come of it.
FAULTS = {
    "a comment takes the letter before it": (
        paper("\\section{A}\nalpha % note\nbeta\n"),
        "\\section{A}\nalpha \nbeta\n",
    ),
    "a percent sign alone stays": (paper("\\section{A}\nalpha\n%\nbeta {%\n  x}\n"), "\\section{A}\nalpha\nbeta {x}\n"),
    "a comment behind a line break stays": (paper("\\section{A}\na \\\\% note\nb\n"), "\\section{A}\na \\\\b\n"),
    "a section that is commented out counts": (
        paper("%\\section{Old}\nfront\n\\section{A} text"),
        "\\section{A} text\n",
    ),
    "a macro with arguments stays": (
        paper("\\section{A} $\\norm{x}$ \\by{a}{b} \\opt{q} \\opt[w]{q}",
              "\\newcommand{\\norm}[1]{\\lVert #1 \\rVert}\n"
              "\\newcommand{\\opt}[2][z]{<#1,#2>}\\def\\by#1#2{#2 by #1}\n"),
        "\\section{A} $\\lVert x \\rVert$ b by a <z,q> <w,q>\n",
    ),
    "a macro with an accent loses the paper": (
        paper("\\section{A} \\nom{} et \\nom.", "\\newcommand{\\nom}{Poincaré}\n"),
        "\\section{A} Poincaré{} et Poincaré.\n",
    ),
    "two definitions on a line": (
        paper("\\section{A} $\\a + \\b$", "\\def\\a{\\alpha}\\def\\b{\\beta}\n"),
        "\\section{A} $\\alpha + \\beta$\n",
    ),
    "a paper with paragraphs alone is lost": (paper("\\paragraph{P} text"), "\\paragraph{P} text\n"),
    "verbatim is cut at a percent sign": (
        paper("\\section{A}\n\\begin{verbatim}\nprintf(\"%d\\n\"); /* \\section{} */\n\\end{verbatim}\n\\verb|5% x|"),
        "\\section{A}\n\\begin{verbatim}\nprintf(\"%d\\n\"); /* \\section{} */\n\\end{verbatim}\n\\verb|5% x|\n",
    ),
    "biblatex stays": (
        paper("\\section{A} text\n\\printbibliography[heading=none]\n", "\\addbibresource{x.bib}\n"),
        "\\section{A} text\n",
    ),
    "the preamble goes before its macros are read": (
        paper("\\section{A} in \\R", "\\newcommand{\\R}{\\mathbb{R}}\n"),
        "\\section{A} in \\mathbb{R}\n",
    ),
}  # fmt: skip


def clean(texts: dict[str, str] | str, main: str = "main.tex") -> tuple[str | None, ReadCounts]:
    counts = ReadCounts()
    files = {main: texts} if isinstance(texts, str) else texts
    return LatexPapers().clean(PaperFiles("p", files), main, counts), counts


@pytest.mark.parametrize("fault", FAULTS)
def test_known_faults(fault: str) -> None:
    text, wanted = FAULTS[fault]
    assert clean(text)[0] == wanted


def test_files_come_in_the_order_of_input(tmp_path: Path, corpus: CorpusCommand) -> None:
    folder = tmp_path / "raw" / "paper"
    folder.mkdir(parents=True)
    (folder / "a_last.tex").write_text("\\section{Last} omega")
    (folder / "b_first.tex").write_text("\\section{First} alpha \\input{c_inner}")
    (folder / "c_inner.tex").write_text("inner % gone")
    (folder / "main.tex").write_text(paper("title\n\\input{b_first}\n\\include{a_last}\n\\input{not-there}\n"))
    status, _, _ = corpus("read", "arxiv", tmp_path / "raw", "--output", tmp_path / "out", "--quiet")
    assert status == 0 and texts(tmp_path / "out") == ["\\section{First} alpha inner \n\\section{Last} omega\n"]
    assert ledger(tmp_path / "out").repaired == {"\\input of a file that is not there": 1}


def test_a_file_that_is_not_utf8_loses_nothing(tmp_path: Path, corpus: CorpusCommand) -> None:
    folder = tmp_path / "paper"
    folder.mkdir()
    (folder / "main.tex").write_bytes(paper("\\section{A} na\u00efve \\input{b}").encode())
    (folder / "b.tex").write_bytes("caf\u00e9".encode("cp1252"))
    corpus("read", "arxiv", folder, "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == ["\\section{A} na\u00efve caf\u00e9\n"]
    assert ledger(tmp_path / "out").repaired == {"text that was cp1252, not UTF-8": 1}


def test_archives_of_arxiv(tmp_path: Path, corpus: CorpusCommand) -> None:
    """A bulk archive holds papers that are one packed file, a packed tar, or no TeX at all."""

    def tar(files: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    whole = tar({"x/z.tex": b"zed", "x/ms.tex": paper("\\section{S} \\input{z}").encode(), "x/f.png": b"\x89PNG"})
    members = {
        "0001/1.gz": gzip.compress(paper("\\section{One} text").encode()),
        "0001/2.gz": gzip.compress(whole),
        "0001/3.pdf": b"%PDF-1.4",
        "0001/4.gz": gzip.compress(paper("no heading").encode()),
    }
    (tmp_path / "arXiv_src_0001_001.tar").write_bytes(tar(members))
    corpus("read", "arxiv", tmp_path / "arXiv_src_0001_001.tar", "--output", tmp_path / "out", "--quiet")
    assert texts(tmp_path / "out") == ["\\section{One} text\n", "\\section{S} zed\n"]
    assert [record["meta"]["id"] for record in records(tmp_path / "out")] == ["1", "2"]
    assert ledger(tmp_path / "out").dropped == {"no TeX in it": 1, "no section": 1}


@pytest.mark.parametrize(
    ("preamble", "body", "wanted"),
    [
        ("\\newcommand\\eg{e.g.\\xspace}", "\\eg this, \\eg, \\eg", "e.g. this, e.g., e.g."),
        ("\\let\\old\\vec\\renewcommand{\\vec}[1]{\\old{#1}'}", "\\vec{x}", "\\vec{x}'"),
        ("\\def\\at(#1,#2){#1/#2}", "\\at(1,2)", "1/2"),
        ("\\newcommand{\\be}{\\begin{equation}}\\newcommand{\\ee}{\\end{equation}}", "\\be x\\ee",
         "\\begin{equation}x\\end{equation}"),
        ("\\DeclareMathOperator*{\\argmax}{arg\\,max}", "$\\argmax_x$", "$\\operatorname*{arg\\,max}_x$"),
        ("\\newenvironment{pf}[1]{Proof of #1. }{ QED}", "\\begin{pf}{T}so\\end{pf}", "Proof of T. so QED"),
        ("\\newcommand{\\x}{\\y}\\newcommand{\\y}{\\alpha}", "$\\x y$", "$\\alpha y$"),
        ("\\NewDocumentCommand{\\set}{s O{1} m}{(#2:#3)}", "\\set{a} \\set*[2]{b}", "(1:a) (2:b)"),
        ("\\newcommand{\\pair}[2]{\\{#1, #2\\}}", "\\pair{a}{\\pair b c}", "\\{a, \\{b, c\\}\\}"),
        ("\\providecommand{\\half}{\\frac 1 2}", "\\half{} \\halfway", "\\frac 1 2{} \\halfway"),
        ("\\def\\loop{\\loop x}", "z \\undefined", "z \\undefined"),
        ("\\renewcommand{\\section}{\\never}", "z", "z"),
    ],
)  # fmt: skip
def test_macros(preamble: str, body: str, wanted: str) -> None:
    assert clean(paper(f"\\section{{A}} {body}", preamble))[0] == f"\\section{{A}} {wanted}\n"


def test_a_macro_that_defines_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus.tex.macros._MOST", 50)
    text, counts = clean(paper("\\section{A} \\self end", "\\def\\self{a\\self}"))
    assert text is not None and text.startswith("\\section{A} aaaa") and text.endswith("end\n")
    assert counts.documents.noted == {"a macro that defines itself": 1}


def test_a_comment_that_joins_a_command_to_a_word() -> None:
    assert clean(paper("\\section{A} $\\alpha%\nx$ a%\n b\nc%\n\nd"))[0] == "\\section{A} $\\alpha\nx$ ab\nc\n\nd\n"


def test_what_never_is_typeset() -> None:
    body = "\\section{A} a\\iffalse no \\ifx x y \\fi no \\fi b\n"
    body += "\\begin{comment}\nno\n\\end{comment}\nc \\iffalse no % \\fi\n\\fi d"
    assert clean(paper(body))[0] == "\\section{A} a b\nc  d\n"


def test_appendices_stay_and_the_bibliography_goes() -> None:
    body = "\\section{A} a\n\\begin{thebibliography}{9}\\bibitem{x} X\\end{thebibliography}\n\\appendix\n\\section{B} b"
    text, _ = clean(paper(body))
    assert text == "\\section{A} a\n\n\\appendix\n\\section{B} b\n"


def test_a_style_of_the_author_defines_macros() -> None:
    files = {"main.tex": paper("\\section{A} \\R", "\\usepackage{amsmath, own}\n"), "own.sty": "\\newcommand{\\R}{RR}"}
    assert clean(files)[0] == "\\section{A} RR\n"


def test_papers_without_sections_can_be_kept(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "letter.tex").write_text(paper("\\title{T}\\maketitle A letter."))
    command = ("read", "arxiv", tmp_path / "letter.tex", "--quiet", "--output")
    assert corpus(*command, tmp_path / "none")[0] == 1 and ledger(tmp_path / "none").dropped == {"no section": 1}
    assert corpus(*command, tmp_path / "all", "--set", "without_sections=true")[0] == 0
    assert texts(tmp_path / "all") == ["A letter.\n"]
