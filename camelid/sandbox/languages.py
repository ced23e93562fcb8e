"""The languages that programs are in: what runs them, and how their end is known."""

import os
import site
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from camelid.sandbox import python_launcher

# Where the loader finds a C library on Linux, merged or not; what is not there is left out.
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


@dataclass(frozen=True, slots=True)
class Language:
    """What the sandbox needs to know of a language.

    Attributes:
        name: in records.
        fences: what opens a block of it in Markdown, in small letters.
        interpreter: the program that runs it.
        arguments: of the interpreter.
        folders: what the interpreter needs to see; read-only.
        image: the Docker image that has it, and `image_command`, which starts it there.
        stdin: from a program with its tests and a nonce to what the interpreter reads.
        ending: from the nonce to the last line of a program that ran to its end.
    """

    name: str
    fences: tuple[str, ...]
    interpreter: str
    arguments: tuple[str, ...]
    folders: tuple[str, ...]
    image: str
    image_command: tuple[str, ...]
    stdin: Callable[[str, str], bytes]
    ending: Callable[[str], str]


def _python_stdin(program: str, nonce: str) -> bytes:
    source = program.encode("utf-8", "replace")
    return f"{len(source):0{python_launcher.DIGITS}}".encode() + source + nonce.encode()


@cache
def python() -> Language:
    """The Python that runs Camelid, with its packages, but without Camelid where that is not installed among them."""
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    packages = [folder for folder in site.getsitepackages() if Path(folder).is_dir()]
    code = Path(python_launcher.__file__).read_text(encoding="utf-8")
    # No user site, no folder of the script, no .pth files; text is UTF-8 without a locale.
    command = ("-s", "-P", "-S", "-B", "-X", "utf8", "-c", code)
    paths = sysconfig.get_paths()
    libraries = (sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib")  # where libpython is
    own = {interpreter, paths["stdlib"], paths["platstdlib"], *libraries, *packages}
    image = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    return Language(
        name="python",
        fences=("python", "python3", "py"),
        interpreter=interpreter,
        arguments=(*command, *packages),
        folders=(*LIBRARIES, *sorted(own - {""})),
        image=image,
        image_command=("python3", *command),
        stdin=_python_stdin,
        ending=lambda nonce: nonce[::-1],
    )


LANGUAGES: dict[str, Callable[[], Language]] = {"python": python}
