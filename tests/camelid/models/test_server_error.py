"""How long a server asks to wait, in each form of saying so."""

import time
from email.utils import formatdate

from camelid.models.server_error import retry_after


def test_retry_after_forms() -> None:
    assert retry_after({"retry-after": "3"}) == 3.0
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({}) == 0.0
    assert retry_after({"retry-after": "soon"}) == 0.0
    assert 5 < retry_after({"retry-after": formatdate(time.time() + 10, usegmt=True)}) <= 10
