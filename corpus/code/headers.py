"""Licence headers out of source files: the comment that a file begins with, if it speaks of a licence, and no more.

A comment is what the file's language takes for one. So `#include` stays in C, `"*/"` in a Python string is no end of a
comment, and a shebang or a first comment that explains the file stays.
"""

import re

_LEGAL = re.compile(
    r"copyright|\(c\)\s*\d{4}|©|licen[cs]e|spdx-|all rights reserved|redistribution and use|permission is hereby",
    re.IGNORECASE,
)
_HASH = (
    "py pyx pxd pyi rb pl pm sh bash zsh fish ksh r jl tcl yaml yml toml cmake mk make ex exs nim cr coffee awk sed "
    "gd ps1"
)
_SLASH = (
    "c h cc cpp cxx c++ hh hpp hxx h++ cu cuh m mm java js jsx mjs cjs ts tsx go rs swift kt kts scala groovy gradle "
    "cs php dart d v sv vala glsl vert frag hlsl css scss less sass proto thrift zig sol as pas fs fsx"
)
_DASH = "sql lua hs lhs elm adb ads vhd vhdl"
_MARKS = {
    **dict.fromkeys(_HASH.split(), ("#",)),
    **dict.fromkeys(_SLASH.split(), ("//",)),
    **dict.fromkeys(_DASH.split(), ("--",)),
    **dict.fromkeys("tex sty cls erl hrl matlab prolog".split(), ("%",)),
    **dict.fromkeys("lisp lsp cl el clj cljs cljc edn scm ss rkt asm s".split(), (";", "//")),
    **dict.fromkeys("f90 f95 f03 f08".split(), ("!",)),
    **dict.fromkeys("vb bas vbs".split(), ("'",)),
    "php": ("//", "#"),
}
_BLOCKS = {
    **dict.fromkeys([*_SLASH.split(), "sql"], ("/*", "*/")),
    **dict.fromkeys(("html", "xml", "vue", "svelte", "md", "xhtml", "svg"), ("<!--", "-->")),
    **dict.fromkeys(("hs", "elm"), ("{-", "-}")),
    **dict.fromkeys(("lua",), ("--[[", "]]")),
    **dict.fromkeys(("ml", "mli", "pas"), ("(*", "*)")),
    **dict.fromkeys(("ps1",), ("<#", "#>")),
}
_WHOLE = {"makefile": "mk", "dockerfile": "sh", "cmakelists.txt": "cmake", "rakefile": "rb", "gemfile": "rb"}
# Lines before the header that are none of it: a shebang, Emacs' and PEP 263's, PHP's and XML's beginnings.
_FIRST = re.compile(r"#!.*|#.*-\*-.*-\*-.*|#.*coding[:=].*|<\?php.*|<\?xml.*|<!doctype.*", re.IGNORECASE)


def language_of(name: str) -> str:
    """What tells the language of a file: its suffix in small letters, or that of files like it (`Makefile`: `mk`)."""
    base = name.rpartition("/")[2].lower()
    return _WHOLE.get(base) or (base.rpartition(".")[2] if "." in base.lstrip(".") else "")


def strip_header(text: str, name: str) -> tuple[str, bool]:
    """The text of a file without its licence header, and whether it had one.

    Args:
        text: of the file.
        name: of the file, for its language.
    """
    language = language_of(name)
    lines = text.split("\n")
    start = 0
    while start < len(lines) and (not lines[start].strip() or (start < 3 and _FIRST.fullmatch(lines[start].strip()))):
        start += 1
    end = _comment_end(lines, start, _MARKS.get(language, ()), _BLOCKS.get(language))
    if end == start or not _LEGAL.search("\n".join(lines[start:end])):
        return text, False
    while end < len(lines) and not lines[end].strip():
        end += 1
    before = lines[:start]
    while before and not before[-1].strip():
        before.pop()
    return "\n".join([*before, *lines[end:]]), True


def _comment_end(lines: list[str], start: int, marks: tuple[str, ...], block: tuple[str, str] | None) -> int:
    """The line behind the comment that begins at a line; that line itself if none does."""
    if start >= len(lines):
        return start
    first = lines[start].strip()
    if block and first.startswith(block[0]):
        for at in range(start, len(lines)):
            line = lines[at].strip()
            inside = line.removeprefix(block[0]) if at == start else line
            if block[1] in inside:
                return at + 1 if inside.partition(block[1])[2].strip() == "" else start
        return start
    at = start
    while at < len(lines) and marks and lines[at].strip().startswith(marks):
        at += 1
    return at
