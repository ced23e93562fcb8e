"""README, CONTRIBUTING and CHANGELOG as pages of the site, with links that work there as they do in the repository."""

import re
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add the files of the repository's top folder."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write for Python-Markdown what GitHub reads otherwise.

    Links into docs/, seen from the top folder, and links out of docs/ to the three files lead to pages of the site.
    Code in a table cell may hold `\\|`; only GitHub takes the backslash away.
    """
    name = page.file.src_uri
    markdown = re.sub(r"\]\(docs/", "](", markdown) if name in PAGES.values() else markdown
    files = "|".join(map(re.escape, PAGES))
    markdown = re.sub(
        rf"\]\((?:\.\./)*({files})(?=[)#])", lambda link: f"]({'../' * name.count('/')}{PAGES[link[1]]}", markdown
    )
    return re.sub(r"(?m)^\|.*\|$", lambda row: re.sub(r"`([^`]*\\\|[^`]*)`", _code, row[0]), markdown)


def _code(found: re.Match[str]) -> str:
    return f"<code>{escape(found[1].replace(chr(92) + '|', '|')).replace('|', '&#124;')}</code>"
