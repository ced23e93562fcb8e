"""A paper's files as one text, in the order in which its main file takes them in."""

import posixpath
import re

from corpus.tex.comments import Verbatim, strip_comments

_INPUT = re.compile(
    r"\\(?:input|include|subfile|loadsection)\s*\{\s*\"?([^{}\"]+?)\"?\s*\}"
    r"|\\(?:import|subimport|subinputfrom|inputfrom)\*?\{([^{}]*)\}\{([^{}]+)\}"
    r"|\\input\s+\"?([^\s{}\\\"]+)\"?"
)
_CLASS = re.compile(r"\\document(?:class|style)\b")
_BEGIN = re.compile(r"\\begin\s*\{document\}")
_DEPTH = 20


def find_mains(texts: dict[str, str]) -> list[str]:
    """The files that are papers of their own, in the order given; if none says so, those that no other takes in."""
    mains = [name for name, text in texts.items() if _CLASS.search(text) and _BEGIN.search(text)]
    mains = mains or [name for name, text in texts.items() if _BEGIN.search(text)]
    sources = {
        name: text for name, text in texts.items() if not name.lower().endswith((".sty", ".cls", ".def", ".txt"))
    }
    taken = {part for name, text in sources.items() for part in _names_in(name, text, texts)}
    free = [name for name in sources if name not in taken]
    return [name for name in mains if name not in taken] or mains or free


def flatten(main: str, texts: dict[str, str], verbatim: Verbatim) -> tuple[str, list[str]]:
    """The text of a paper without comments, and the files that it asks for and that are not there."""
    missing: list[str] = []

    def take_in(name: str, above: tuple[str, ...]) -> str:
        text = strip_comments(verbatim.hold(texts[name]))

        def replace(found: re.Match[str]) -> str:
            part = _resolve(found, name, main, texts)
            if part is None:
                wanted = found[1] or found[3] or found[4]
                missing.extend([wanted] if not wanted.endswith(".bbl") else [])  # a bibliography: out in any case
                return ""
            if part in above or len(above) > _DEPTH:
                return ""
            inner = take_in(part, (*above, part))
            body = _BEGIN.search(inner) if _CLASS.search(inner) else None  # of the package `subfiles`
            return inner[body.end() :].partition("\\end{document}")[0] if body else inner

        return _INPUT.sub(replace, text)

    text = take_in(main, (main,))
    styles = re.findall(r"\\(?:usepackage|RequirePackage)\s*(?:\[[^\]]*\])?\s*\{([^{}]*)\}", text)
    own = [f"{style.strip()}.sty" for names in styles for style in names.split(",")]
    before = [strip_comments(verbatim.hold(texts[name])) for name in own if name in texts]
    return "\n".join([*before, text]), missing


def _names_in(name: str, text: str, texts: dict[str, str]) -> set[str]:
    found = {_resolve(one, name, name, texts) for one in _INPUT.finditer(strip_comments(Verbatim().hold(text)))}
    return {part for part in found if part is not None and part != name}


def _resolve(found: re.Match[str], name: str, main: str, texts: dict[str, str]) -> str | None:
    """The file that a command names: as it is or with `.tex`, seen from the main file's folder or the own one."""
    wanted = found[1] or found[4] or posixpath.join(found[2] or "", found[3] or "")
    for folder in (posixpath.dirname(main), posixpath.dirname(name), ""):
        path = posixpath.normpath(posixpath.join(folder, wanted.strip()))
        for candidate in (path, f"{path}.tex", f"{path}.ltx", f"{path}.latex"):
            if candidate in texts:
                return candidate
    return None
