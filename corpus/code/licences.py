"""Which licence a repository or a file is under, by SPDX's names: from SPDX lines and licence files."""

import re

# LLaMA took projects under the Apache, BSD and MIT licences (Touvron et al. 2023, 2.1).
PERMISSIVE = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT")
UNKNOWN = "unknown"
LICENCE_FILE = re.compile(r"(?:un)?licen[sc]e(?:[-_.].*)?|copying(?:\..*)?|mit-license.*", re.IGNORECASE)
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+)")
# What stands in a licence's text, blanks and small letters aside; the first that matches. SPDX's license-list-data.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AGPL-3.0", ("gnu affero general public license",)),
    ("LGPL", ("gnu lesser general public license", "version")),
    ("LGPL", ("gnu library general public license",)),
    ("GPL-3.0", ("gnu general public license", "version 3")),
    ("GPL-2.0", ("gnu general public license", "version 2")),
    ("MPL-2.0", ("mozilla public license",)),
    ("EPL", ("eclipse public license",)),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("BSD-4-Clause", ("redistribution and use in source and binary forms", "all advertising materials")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "may be used to endorse")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("MIT", ("permission is hereby granted, free of charge, to any person obtaining a copy",)),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("Unlicense", ("free and unencumbered software released into the public domain",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
)
# BigQuery's table of GitHub and the like write them in small letters.
_SHORT = {name.lower(): name for name in (*PERMISSIVE, "ISC", "MPL-2.0", "GPL-2.0", "GPL-3.0", "AGPL-3.0", "CC0-1.0")}


def licence_of_text(text: str) -> str:
    """The licence whose text this is."""
    folded = " ".join(text[:20_000].lower().split())
    return next((name for name, phrases in _PHRASES if all(one in folded for one in phrases)), UNKNOWN)


def licence_of_file(text: str) -> str | None:
    """What a file's SPDX line says; None if it has none."""
    found = _SPDX.search(text[:4096])
    return spdx_name(found[1]) if found else None


def spdx_name(name: str) -> str:
    """A licence's name as SPDX writes it, where it is one of those known here."""
    name = name.removesuffix("-only").removesuffix("-or-later")
    return _SHORT.get(name.lower(), name)
