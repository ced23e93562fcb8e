"""An author's own macros written out, as TeX would: definitions from where they stand, arguments, macros in macros."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\\(?:[a-zA-Z@]+|.)|[{}]|[^\\{}]+", re.DOTALL)
_WORD = re.compile(r"\\[a-zA-Z@]+")
_ENDS_IN_WORD = re.compile(r"(?<!\\)(?:\\\\)*\\(?!xspace)[a-zA-Z@]+$")
_PARAMETER = re.compile(r"#(#?\d)")
_BLANKS = re.compile(r"[ \t]*(?:\n[ \t]*)?(?!\n)")  # up to the end of a line
_NO_SPACE_BEFORE = tuple(".,'/?;:!~-)]}")  # of the package xspace
_MOST = 300_000  # macros written out in a paper: beyond that one defines itself

# What stays as it is, however an author defines it anew: headings must be found, environments must close.
_KEPT = frozenset(
    "part chapter section subsection subsubsection paragraph subparagraph begin end document item label ref cite "
    "caption footnote includegraphics title author date maketitle left right bibliography printbibliography "
    "appendix".split()
)
_DEFINE = frozenset("newcommand renewcommand providecommand DeclareRobustCommand newrobustcmd renewrobustcmd".split())
_PRIMITIVE = frozenset(("def", "gdef", "edef", "xdef"))
_PREFIX = frozenset(("long", "global", "protected", "outer"))
_XPARSE = frozenset(("NewDocumentCommand", "RenewDocumentCommand", "ProvideDocumentCommand", "DeclareDocumentCommand"))


@dataclass(frozen=True)
class _Macro:
    """What a macro stands for.

    Attributes:
        pattern: what follows it: an argument a digit, text that must stand there in between (`\\def\\at(#1){...}`).
        default: of the first argument, which is then in brackets if it is there at all; None if there is none such.
        body: with `#1` and so on.
        literal: a command it is another name of, which is not an author's.
    """

    pattern: tuple[str, ...] = ()
    default: str | None = None
    body: str = ""
    literal: str | None = None


class MacroExpander:
    """Writes out the macros of one paper.

    Attributes:
        expanded: how many were.
        endless: whether it gave up, for one defines itself.
    """

    def __init__(self) -> None:
        self.expanded = 0
        self.endless = False
        self._macros: dict[str, _Macro] = {}
        self._environments: dict[str, tuple[_Macro, str]] = {}
        self._rest: list[str] = []  # tokens to come, the next one last
        self._out: list[str] = []

    def expand(self, text: str) -> str:
        """The text with its own macros written out and their definitions gone."""
        self._push(text)
        self._out = []
        while self._rest:
            token = self._rest.pop()
            if len(token) > 1 and token[0] == "\\":
                self._command(token)
            else:
                self._write(token)
        return "".join(self._out)

    def _push(self, text: str) -> None:
        self._rest.extend(reversed(_TOKEN.findall(text)))

    def _write(self, token: str) -> None:
        if token[:1].isalpha() and self._out and _WORD.fullmatch(self._out[-1]):
            self._out.append(" ")
        self._out.append(token)

    def _command(self, token: str) -> None:
        name = token[1:]
        if name in _DEFINE:
            self._newcommand()
        elif name in _PRIMITIVE:
            self._define()
        elif name in _PREFIX and self._rest and self._rest[-1][1:] in _PRIMITIVE | _PREFIX | {"let"}:
            return
        elif name == "let":
            self._let()
        elif name in ("DeclareMathOperator", "newenvironment", "renewenvironment") or name in _XPARSE:
            self._declare(name)
        elif name == "xspace":
            after = self._rest[-1] if self._rest else ""
            self._write("" if not after or after.startswith((*_NO_SPACE_BEFORE, " ", "\n", "}")) else " ")
        elif name in ("begin", "end"):
            self._environment(token)
        elif name in self._macros:
            self._use(token, self._macros[name])
        else:
            self._write(token)

    def _use(self, token: str, macro: _Macro) -> None:
        if self.expanded >= _MOST:
            self.endless = True
            self._write(token)
            return
        if macro.literal is not None:
            self._write(macro.literal)
            return
        if _WORD.fullmatch(token) and (macro.pattern or not _ENDS_IN_WORD.search(macro.body)):
            self._skip_blanks()  # else the command at its end takes them, and they may as well stay
        arguments = self._arguments(macro)
        if arguments is None:  # used as TeX would refuse it
            self._write(token)
            return
        self.expanded += 1
        self._push(_fill(macro.body, arguments))

    def _arguments(self, macro: _Macro) -> list[str] | None:
        arguments: list[str] = []
        for at, piece in enumerate(macro.pattern):
            if piece == "*":
                star = self._rest and self._rest[-1].startswith("*")
                if star:
                    self._rest[-1] = self._rest[-1][1:]
                arguments.append("*" if star else "")
            elif piece == "[":
                found = self._bracket()
                default = macro.default if at == 0 or macro.default is not None else ""
                arguments.append(found if found is not None else default or "")
            elif piece == "#":
                closing = macro.pattern[at + 1] if at + 1 < len(macro.pattern) else "#"
                taken = self._argument() if closing in ("#", "[", "*") else self._until(closing)
                if taken is None:
                    return None
                arguments.append(taken)
            elif at == 0 or macro.pattern[at - 1] != "#":
                self._until(piece)
        return arguments

    def _skip_blanks(self) -> None:
        if self._rest and self._rest[-1][0] in " \t\n":
            rest = self._rest.pop()
            rest = rest[_BLANKS.match(rest).end() :]  # type: ignore[union-attr]
            if rest:
                self._rest.append(rest)

    def _argument(self) -> str | None:
        """A group without its braces, a command, or a letter."""
        while self._rest and not self._rest[-1].strip():
            if "\n\n" in self._rest[-1]:
                return None
            self._rest.pop()
        if not self._rest:
            return None
        token = self._rest.pop()
        if token == "{":
            return self._group()
        if token == "}":
            self._rest.append(token)
            return None
        if token[0] == "\\":
            return token
        text = token.lstrip()
        if text[1:]:
            self._rest.append(text[1:])
        return text[0]

    def _group(self) -> str:
        """What stands up to the brace that closes."""
        depth, taken = 1, list[str]()
        while self._rest:
            token = self._rest.pop()
            depth += {"{": 1, "}": -1}.get(token, 0)
            if depth == 0:
                break
            taken.append(token)
        return "".join(taken)

    def _bracket(self) -> str | None:
        """What stands in brackets, if they come next."""
        at = next((one for one in reversed(self._rest) if one.strip()), "")
        if not at.lstrip().startswith("["):
            return None
        while not self._rest[-1].strip():
            self._rest.pop()
        self._rest[-1] = self._rest[-1].lstrip()[1:]
        return self._until("]")

    def _until(self, closing: str) -> str | None:
        """What stands up to a text, which goes; that text does not count inside of braces."""
        taken: list[str] = []
        depth = 0
        while self._rest:
            token = self._rest.pop()
            if depth == 0 and token == closing:
                return "".join(taken)
            if depth == 0 and token[0] not in "\\{}" and closing in token:
                before, _, after = token.partition(closing)
                if after:
                    self._rest.append(after)
                return "".join([*taken, before])
            depth += {"{": 1, "}": -1}.get(token, 0)
            taken.append(token)
        self._push("".join(taken))
        return None

    def _name(self) -> str:
        """The command that is defined, with or without braces."""
        token = (self._argument() or "").strip()
        return token[1:] if token.startswith("\\") else ""

    def _starred(self) -> None:
        if self._rest and self._rest[-1].lstrip().startswith("*"):
            self._rest[-1] = self._rest[-1].lstrip()[1:]
            if not self._rest[-1]:
                self._rest.pop()

    def _counted(self) -> tuple[tuple[str, ...], str | None]:
        """`[2][default]`"""
        count = (self._bracket() or "0").strip()
        default = self._bracket()
        number = int(count) if count.isdigit() else 0
        pattern = ["#"] * number
        if default is not None and pattern:
            pattern[0] = "["
        return tuple(pattern), default

    def _newcommand(self) -> None:
        self._starred()
        name = self._name()
        pattern, default = self._counted()
        self._remember(name, _Macro(pattern, default, self._argument() or ""))

    def _define(self) -> None:
        """`\\def\\name#1 and #2{...}`"""
        name, head = self._name(), ""
        while self._rest and self._rest[-1] != "{":
            head += self._rest.pop()
        pattern: list[str] = []
        for piece in re.split(r"(#\d)", head):
            if re.fullmatch(r"#\d", piece):
                pattern.append("#")
            elif piece.strip():
                pattern.append(piece)
        self._remember(name, _Macro(tuple(pattern), None, self._argument() or ""))

    def _let(self) -> None:
        name = self._name()
        if self._rest and self._rest[-1].lstrip(" ").startswith("="):
            self._rest[-1] = self._rest[-1].lstrip(" ")[1:]
            if not self._rest[-1]:
                self._rest.pop()
        target = self._argument() or ""
        if target.startswith("\\"):
            self._remember(name, self._macros.get(target[1:], _Macro(literal=target)))
        else:
            self._remember(name, _Macro(literal=target))

    def _declare(self, kind: str) -> None:
        if kind == "DeclareMathOperator":
            star = bool(self._rest) and self._rest[-1].startswith("*")
            self._starred()
            name = self._name()
            self._remember(name, _Macro(body=f"\\operatorname{'*' if star else ''}{{{self._argument() or ''}}}"))
        elif kind in _XPARSE:
            name, letters = self._name(), self._argument() or ""
            optional = re.search(r"O\{([^{}]*)\}", letters)
            kinds = {"m": "#", "o": "[", "O": "[", "s": "*"}
            pattern = tuple(kinds[one] for one in re.sub(r"\{[^{}]*\}", "", letters) if one in kinds)
            self._remember(name, _Macro(pattern, optional[1] if optional else None, self._argument() or ""))
        else:
            self._starred()
            name = (self._argument() or "").strip()
            pattern, default = self._counted()
            begin, end = self._argument() or "", self._argument() or ""
            self._environments[name] = _Macro(pattern, default, begin), end

    def _environment(self, token: str) -> None:
        """`\\begin` and `\\end` of an author's own environment; those of others stay."""
        if not (self._rest and self._rest[-1] == "{" and self._environments):
            self._write(token)
            return
        name = self._argument() or ""
        if name.strip() not in self._environments or self.expanded >= _MOST:
            self._out += [token, "{", name, "}"]
            return
        begin, end = self._environments[name.strip()]
        self.expanded += 1
        if token == "\\begin":
            self._push(_fill(begin.body, self._arguments(begin) or []))
        else:
            self._push(end)

    def _remember(self, name: str, macro: _Macro) -> None:
        if name and name not in _KEPT:
            self._macros[name] = macro


def _fill(body: str, arguments: list[str]) -> str:
    """The body with arguments in place of `#1`; `##1` of a definition inside becomes `#1`."""

    def fill(found: re.Match[str]) -> str:
        if found[1].startswith("#"):
            return found[1]
        number = int(found[1])
        return arguments[number - 1] if 0 < number <= len(arguments) else ""

    return _PARAMETER.sub(fill, body) if "#" in body else body
