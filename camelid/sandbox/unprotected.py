"""No sandbox: limits alone, for whoever is inside a container or a machine of no other use already."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from camelid.sandbox.languages import Language
from camelid.sandbox.launch import ENVIRONMENT, Launch, Sandbox, limited
from camelid.sandbox.limits import Limits


@contextmanager
def _launch(language: Language, limits: Limits) -> Iterator[Launch]:
    with tempfile.TemporaryDirectory(prefix="camelid-", ignore_cleanup_errors=True) as folder:
        command = (*limited(limits), language.interpreter, *language.arguments)
        yield Launch(command, {**ENVIRONMENT, "HOME": folder, "TMPDIR": folder}, folder=folder)


UNPROTECTED = Sandbox("none", "nothing but limits: programs can read and write what you can", _launch)
