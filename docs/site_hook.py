"""README, CONTRIBUTING and CHANGELOG as pages of the site, with links that work there as they do in the repository."""

import re
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
    """Turn links into docs/, seen from the top folder, and links out of docs/ to the three files, into the site's."""
    markdown = re.sub(r"\]\(docs/", "](", markdown) if page.file.src_uri in PAGES.values() else markdown
    return re.sub(
        rf"\]\((?:(?:\.\./)+)?({'|'.join(map(re.escape, PAGES))})(?=[)#])",
        lambda found: f"]({'../' * page.file.src_uri.count('/')}{PAGES[found[1]]}",
        markdown,
    )
