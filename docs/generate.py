"""Writes what the code already says: `python docs/generate.py`.

`reference/commands.md` comes from the command line's parser, `reference/recipe.md` from the recipe's dataclasses and
their docstrings, the tables in `conversations.md` and `preference.md` from the formats that are read, that in
`finetune.md` from what is refused together, the pictures of layers from the import contracts in pyproject.toml and the
packages' first lines.
"""

import argparse
import ast
import dataclasses
import inspect
import json
import re
import textwrap
import types
from html import escape
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from importlinter.api import read_configuration

from camelid.app.cli import build_parser
from camelid.app.command_line import leaves
from conversations.formats.preferences.table import PREFERENCE_FORMATS
from conversations.formats.table import FORMATS
from finetune.combinations import exclusions
from finetune.recipe import DEFAULT_KIND, KINDS

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by docs/generate.py from {}; edit that instead. -->\n"


def main() -> None:
    """Write the files."""
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def generated() -> dict[Path, str]:
    """Every generated file with its text."""
    docs = ROOT / "docs"
    return {
        docs / "reference" / "commands.md": commands_page(),
        docs / "reference" / "recipe.md": recipe_page(),
        docs / "conversations.md": with_formats((docs / "conversations.md").read_text(encoding="utf-8")),
        docs / "preference.md": with_preference_formats((docs / "preference.md").read_text(encoding="utf-8")),
        docs / "finetune.md": with_exclusions((docs / "finetune.md").read_text(encoding="utf-8")),
        docs / "layers.svg": layers_picture("Imports run one way"),
        docs / "layers-finetune.svg": layers_picture("Inside finetune"),
    }


def commands_page() -> str:
    """Every command with its arguments."""
    text = NOTE.format("camelid/app/cli.py and the rooms' command.py") + (
        "# Commands\n\nWhat `camelid COMMAND --help` says, on one page. Exit status: 0, or 1 if something asked "
        "for is missing from the\noutput, or 2 for a mistake in the command or a file, which is named in one line.\n"
    )
    for parser, about in leaves(build_parser()):
        text += f"\n## {parser.prog}\n\n{about[:1].upper()}{about[1:]}.\n\n| argument | meaning |\n|---|---|\n"
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                text += f"| {_argument(action)} | {_cell(_meaning(action))} |\n"
    return text


def _argument(action: argparse.Action) -> str:
    """As one writes it: `FILE ...`, or `--option VALUE`."""
    value = action.metavar or action.dest
    if action.choices:
        value = "|".join(map(str, action.choices))
    elif action.option_strings and not action.metavar:
        value = value.upper()
    more = {"*": f"[{value} ...]", "+": f"{value} ...", "?": f"[{value}]", 0: ""}
    values = more.get(action.nargs, value)  # type: ignore[arg-type]
    written = " ".join(filter(None, [" / ".join(action.option_strings), values]))
    return f"`{written}`".replace("|", "\\|") + (" (required)" if action.option_strings and action.required else "")


def _meaning(action: argparse.Action) -> str:
    """Its help, and the default where the help does not name one."""
    text, default = action.help or "", action.default
    if default in (None, False, "", [], argparse.SUPPRESS) or "default" in text or action.nargs == 0:
        return text
    return f"{text} (default {default})"


def recipe_page() -> str:
    """Every field of every kind of recipe; a section that several kinds share stands once."""
    text = NOTE.format("finetune/recipe.py") + (
        "# Recipe fields\n\nA recipe is a YAML file of a `kind` and that kind's sections. On the command line\n"
        "`key=value` changes a field (`optim.lr=1e-5`). A name that does not exist is an error with a suggestion,\n"
        "and so is a value out of range.\n"
        "\n| kind | sections | what it trains |\n|---|---|---|\n"
    )
    kinds_of: dict[tuple[str, Any], list[str]] = {}  # by name and type of a section
    for kind, recipe in KINDS.items():
        own = {name: hint for name, hint in get_type_hints(recipe).items() if dataclasses.is_dataclass(hint)}
        for section in own.items():
            kinds_of.setdefault(section, []).append(kind)
        default = " (the default)" if kind == DEFAULT_KIND else ""
        text += f"| `{kind}`{default} | {', '.join(f'`{name}`' for name in own)} | {_cell(_summary(recipe))} |\n"
    names = [name for name, _ in kinds_of]
    for (name, section), kinds in sorted(kinds_of.items(), key=lambda item: names.index(item[0][0])):
        shared = names.count(name) == 1
        text += f"\n## {name}{'' if shared else ' of ' + ', '.join(kinds)}\n\n{_summary(section)}\n\n" + _fields(
            section
        )
        for hint in get_type_hints(section).values():
            inner = get_args(hint)[:1]
            if inner and dataclasses.is_dataclass(inner[0]):
                text += f"\nEach entry of `{name}.train`:\n\n" + _fields(inner[0])
    return text


def with_formats(page: str) -> str:
    """The page with its table of formats, which stands behind the note, as it should be."""
    rows = "| format | looks like | notes |\n|---|---|---|\n"
    for format in FORMATS.values():
        tree = f"a tree: every branch, or with `--branches last` the {format.last_branch}" if format.last_branch else ""
        harmless = ", ".join(f"`{name}`" for name in sorted(format.fields.harmless))
        notes = "; ".join(filter(None, [format.notes, tree, harmless and f"left out: {harmless}"]))
        rows += f"| `{format.name}` | {_cell(format.looks_like)} | {_cell(notes)} |\n"
    return _with_table(page, NOTE.format("conversations/formats"), rows)


def with_preference_formats(page: str) -> str:
    """The page with its table of formats of preferences, which stands behind the note."""
    rows = "| format | of | looks like | notes |\n|---|---|---|---|\n"
    for format in PREFERENCE_FORMATS.values():
        called = format.called[:1].upper() + format.called[1:]
        rows += f"| `{format.name}` | {called} | {_cell(format.looks_like)} | {_cell(format.notes)} |\n"
    return _with_table(page, NOTE.format("conversations/formats/preferences"), rows)


def with_exclusions(page: str) -> str:
    """The page with its table of what does not go together, which stands behind the note."""
    rows = "| | does not go with | because | instead |\n|---|---|---|---|\n"
    for each in exclusions():
        first, *others = (
            f"`{axis}` " + ", ".join(value if value.startswith(">") else f"`{value}`" for value in values)
            for axis, values in each.choices.items()
        )
        rows += f"| {first} | {'; '.join(others)} | {_cell(each.why)} | {_cell(each.instead)} |\n"
    return _with_table(page, NOTE.format("finetune/combinations.py"), rows)


def _with_table(page: str, note: str, rows: str) -> str:
    """The page with the table behind the note replaced."""
    before, found, after = page.partition(note)
    assert found, note
    _, _, rest = after.lstrip().partition("\n\n")
    return f"{before}{note}\n{rows}\n{rest}"


def _summary(kind: Any) -> str:
    """The first paragraph of a docstring."""
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def _fields(kind: Any) -> str:
    """One section's fields as a table."""
    about: dict[str, str] = {}
    for part in reversed(kind.__mro__[:-1]):
        about |= _attributes(inspect.getdoc(part) or "")
    text = "| field | values | default | meaning |\n|---|---|---|---|\n"
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        meaning = _cell(about[field.name]).replace("None", "`null`")
        names = field.metadata.get("names")  # of a table, where they may grow
        values = ", ".join(f"`{name}`" for name in names) if names else _values(hints[field.name])
        text += f"| `{field.name}` | {values} | {_default(field)} | {meaning} |\n"
    return text


def _attributes(doc: str) -> dict[str, str]:
    """The entries of a docstring's `Attributes` section, each on one line."""
    entries = doc.split("Attributes:\n")[1]
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", entries, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def _values(hint: Any) -> str:
    """What a field may hold, in words."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        return ", ".join(f"`{option}`" for option in options)
    if get_origin(hint) is tuple:
        return "list" if dataclasses.is_dataclass(options[0]) else f"list of {_values(options[0])}"
    if get_origin(hint) is dict:
        return f"{_values(options[1])} by name"
    if isinstance(hint, types.UnionType) or type(None) in options:
        return " or ".join("`null`" if option is type(None) else _values(option) for option in options)
    return {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}[hint]


def _default(field: Any) -> str:
    """As YAML has it."""
    if field.default is dataclasses.MISSING:
        return "required"
    return f"`{json.dumps(field.default)}`".replace('"', "")


def _cell(text: str) -> str:
    """Markdown that a table cell can hold; code between backticks stays."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = [re.sub(r"([*_<\[\]])", r"\\\1", part) if not part.startswith("`") else part for part in parts]
    return "".join(plain).replace("|", "\\|")


def layers(name: str) -> list[list[str]]:
    """The layers of an import contract, the highest first; modules side by side never import each other."""
    [contract] = [
        one for one in read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"] if one["name"] == name
    ]
    prefix = "".join(f"{package}." for package in contract.get("containers", ()))
    return [[prefix + module.strip() for module in layer.split("|")] for layer in contract["layers"]]


def _first_line(name: str) -> str:
    """What a package or module says it is."""
    path = ROOT / name.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split("\n")[0]


def layers_picture(contract: str) -> str:
    """A contract's layers as an SVG of its own background, so that it can be read on light and dark pages."""
    width, height, gap, left, top = 900, 76, 10, 70, 20
    rows = layers(contract)
    total = top + len(rows) * (height + gap) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" font-family="sans-serif" role="img">',
        "<title>Import layers: a module imports from the rows below its own, never from its own or those above</title>",
        f'<rect width="{width}" height="{total}" rx="12" fill="#faf7f5"/>',
        f'<path d="M35 {top} V{total - 32}" stroke="#bf4416" stroke-width="3"/>',
        f'<path d="M27 {total - 36} L35 {total - 16} L43 {total - 36} Z" fill="#bf4416"/>',
        f'<text transform="translate(26 {total // 2}) rotate(-90)" text-anchor="middle" font-size="15" fill="#bf4416">'
        "imports go this way only</text>",
    ]
    for number, names in enumerate(rows):
        each = (width - left - top - gap * (len(names) - 1)) / len(names)
        for place, name in enumerate(names):
            parts += _box(
                name, left + place * (each + gap), top + number * (height + gap), each, height, len(names) <= 4
            )
    return "\n".join([*parts, "</svg>", ""])


def _box(name: str, x: float, y: float, width: float, height: float, roomy: bool) -> list[str]:
    """One package or module; where there is room with what it says it is."""
    package = (ROOT / name.replace(".", "/")).is_dir() and not name.startswith("camelid")
    middle, fill = x + width / 2, "#ffd9c7" if package else "#ffffff"
    about = textwrap.wrap(_first_line(name).replace("`", ""), int(width / 6.2))[:3] if roomy else []
    lines = [f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="6" fill="{fill}" stroke="#8a6d5f"/>']
    first = y + height / 2 + 5 - 8 * len(about)
    lines.append(
        f'<text x="{middle:.1f}" y="{first:.0f}" text-anchor="middle" font-weight="bold" '
        f'font-size="{15 if roomy else 13}" fill="#2b211c">{escape(name)}</text>'
    )
    for number, line in enumerate(about, start=1):
        lines.append(
            f'<text x="{middle:.1f}" y="{first + 16 * number:.0f}" text-anchor="middle" font-size="12" '
            f'fill="#4a3c35">{escape(line)}</text>'
        )
    return lines


if __name__ == "__main__":
    main()
