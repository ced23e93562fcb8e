"""Source code: headers, licences and filters."""

from pathlib import Path

import pytest

from camelid.files.write import write_jsonl
from corpus.code.headers import strip_header
from corpus.code.licences import licence_of_text
from tests.corpus.conftest import CorpusCommand, ledger, records, texts

LEGAL = "Copyright (c) 2020 Someone. Licensed under the MIT license."
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of"


# Name of the file, its text, what must stay of it. The first five are what RedPajama's cleaner and its copies break.
HEADERS = [
    ("a.c", "#include <stdio.h>\n#define X 1\nint main() {}\n", None),
    ("run.sh", "#!/bin/sh\n# does things\necho hi\n", None),
    ("q.sql", "-- all users\nselect * from users;\n", None),
    ("g.py", 'pattern = "src/*.py"\nnote = "copyright"\nother = "*/x"\n', None),
    ("a.py", "# explains the module\nimport os\n", None),
    ("b.c", f"/*\n * {LEGAL}\n */\n#include <stdio.h>\nint x;\n", "#include <stdio.h>\nint x;\n"),
    ("b.py", f"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# {LEGAL}\n\nimport os\n",
     "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nimport os\n"),
    ("b.go", f"// {LEGAL}\n\n// Package b does things.\npackage b\n", "// Package b does things.\npackage b\n"),
    ("b.html", f"<!-- {LEGAL} -->\n<p>x</p>\n", "<p>x</p>\n"),
    ("b.lua", f"-- {LEGAL}\nlocal x = 1\n", "local x = 1\n"),
    ("b.php", f"<?php\n/** {LEGAL} */\necho 1;\n", "<?php\necho 1;\n"),
    ("Makefile", f"# {LEGAL}\nall:\n\ttrue\n", "all:\n\ttrue\n"),
    ("c.c", f"/* {LEGAL} */ int x;\n", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "wanted"), HEADERS)
def test_headers(name: str, text: str, wanted: str | None) -> None:
    assert strip_header(text, name) == (wanted or text, wanted is not None)


def test_licences_by_their_texts() -> None:
    bsd = "Redistribution and use in source and binary forms, with or without modification,"
    assert licence_of_text(MIT) == "MIT"
    assert licence_of_text(bsd) == "BSD-2-Clause"
    assert licence_of_text(f"{bsd} ... Neither the name of") == "BSD-3-Clause"
    assert licence_of_text("                 Apache License\n           Version 2.0, January 2004") == "Apache-2.0"
    assert licence_of_text("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3") == "AGPL-3.0"
    assert licence_of_text("All rights reserved.") == "unknown"
    assert licence_of_text((Path(__file__).parents[2] / "LICENSE").read_text()) == "Apache-2.0"


def test_a_checkout(tmp_path: Path, corpus: CorpusCommand) -> None:
    good = "def add(a, b):\n    return a + b\n"
    files = {
        "LICENSE": MIT,
        "src/good.py": good,
        "src/wide.py": f"x = '{'a' * 1001}'\n",
        "src/dense.py": f"{'x = 1;' * 30}\n" * 5,
        "src/signs.py": "+-*/(){};;;;\n" * 9,
        "src/empty.py": "\n",
        "src/gpl.py": f"# SPDX-License-Identifier: GPL-3.0-only\n{good}",
        "src/logo.png": "x",
        "vendor/LICENSE": "GNU GENERAL PUBLIC LICENSE Version 2",
        "vendor/theirs.c": "int main() { return 0; }\n",
        "src/binary.py": "a\0b",
        ".git/config": "[core]",
    }
    for name, content in files.items():
        path = tmp_path / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    status, _, _ = corpus("read", "code", tmp_path / "repo", "--output", tmp_path / "out", "--quiet")
    [record] = records(tmp_path / "out")
    meta = {"repository": "repo", "path": "src/good.py", "licence": "MIT", "suffix": "py"}
    assert status == 0 and record == {"text": good, "source": "code", "meta": meta}
    assert ledger(tmp_path / "out").dropped == {
        "a line of more than 1000 characters": 1,
        "lines of more than 100 characters on average": 1,
        "fewer than 0.25 letters and digits a character": 1,
        "no text in it": 1,
        "licence: GPL-3.0": 1,
        "licence: GPL-2.0": 1,
        "binary, or larger than 8 MiB": 1,
        "not source code: .png": 1,
        "not source code: .no suffix": 2,
    }


def test_rows_with_a_licence(tmp_path: Path, corpus: CorpusCommand) -> None:
    """As of BigQuery's table of GitHub, and of The Stack."""
    rows = [
        {"content": "print('one line of it')\n", "path": "a/x.py", "license": "mit", "repo_name": "a"},
        {
            "content": "print('another line')\n",
            "max_stars_repo_path": "y.py",
            "max_stars_repo_licenses": ["Apache-2.0"],
        },
        {"content": "print('a third line')\n", "path": "z.py", "license": "gpl-3.0"},
        {"path": "w.py"},
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    corpus("read", "code", tmp_path / "rows.jsonl", "--output", tmp_path / "out", "--quiet")
    assert [record["meta"]["licence"] for record in records(tmp_path / "out")] == ["MIT", "Apache-2.0"]
    assert ledger(tmp_path / "out").dropped == {"licence: GPL-3.0": 1, "unreadable record": 1}


def test_ones_own_code_under_any_licence(tmp_path: Path, corpus: CorpusCommand) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.py").write_text("print('mine')\n")
    command = ("read", "code", tmp_path / "own", "--quiet", "--output")
    assert corpus(*command, tmp_path / "none")[0] == 1
    assert corpus(*command, tmp_path / "all", "--set", "licences=[]")[0] == 0
    assert texts(tmp_path / "all") == ["print('mine')\n"]
