"""Every kind of sandbox by its name, in the order of `--sandbox`; the first is the default."""

from camelid.sandbox.bubblewrap import BUBBLEWRAP
from camelid.sandbox.docker import DOCKER
from camelid.sandbox.launch import Sandbox
from camelid.sandbox.unprotected import UNPROTECTED

SANDBOXES: dict[str, Sandbox] = {sandbox.name: sandbox for sandbox in (BUBBLEWRAP, DOCKER, UNPROTECTED)}
DEFAULT = BUBBLEWRAP.name
