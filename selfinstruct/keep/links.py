"""Links in tasks: those that a model made up, and those that it would have to follow."""

import re
from urllib.parse import urlsplit

from selfinstruct.seeds import Task

_URL = re.compile(r"(?:https?://|www\.)[^\s)>\]}\"'“”`]+")
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"[=(\[,:]\s*[\"'`]$")  # before a link that is a value in code
# Names that stand for no site (RFC 2606, section 3; RFC 6761, section 6.3), and namespaces that are names, not pages.
_NO_SITE = re.compile(
    r"(?:^|\.)(?:localhost|example\.(?:com|org|net))$|^(?:127|10|192\.168|0)\.[\d.]+$|^www\.w3\.org$|^schema\.org$"
)
_ABOUT_LINKS = re.compile(r"\b(?:urls?|uris?|hyperlinks?|links?|domains?|web ?address(?:es)?)\b", re.IGNORECASE)
_ABOUT_CONTENT = re.compile(
    r"\b(?:articles?|web ?pages?|pages?|web ?sites?|contents?|summari[sz]e|videos?|images?|pictures?|photos?|posts?"
    r"|blogs?|stor(?:y|ies)|documents?|reviews?)\b",
    re.IGNORECASE,
)
_ONLY_LINK = re.compile(rf"\W*(?:\w+\s*:\s*)?<?{_URL.pattern}>?\W*")


def has_invented_link(task: Task) -> bool:
    """Whether the output sends its reader to an address that the task does not give.

    Addresses in code, those that stand for none, and sites that the task names (numpy's for a task about numpy) are no
    invention.
    """
    given = {_clean(url) for url in _URL.findall(f"{task.instruction} {task.input}")}
    prose = _FENCED.sub(" ", task.output)
    named = set(re.findall(r"[a-z0-9]{3,}", f"{task.instruction} {task.input}".lower()))
    return any(
        _clean(found[0]) not in given
        and not _QUOTED.search(prose[: found.start()])
        and not _is_known(_host(found[0]), named)
        for found in _URL.finditer(prose)
    )


def is_only_link(task: Task) -> bool:
    """Whether all that the task is given is a link, whose page it would need: one about the address itself does not."""
    about_address = _ABOUT_LINKS.search(task.instruction) and not _ABOUT_CONTENT.search(task.instruction)
    return bool(_ONLY_LINK.fullmatch(task.input.strip()) and not about_address)


def _clean(url: str) -> str:
    return url.rstrip(".,;:!?")


def _host(url: str) -> str:
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _is_known(host: str, named: set[str]) -> bool:
    """Whether a host stands for none, or is that of something named: docs.python.org where Python is spoken of."""
    return bool(_NO_SITE.search(host)) or not named.isdisjoint(host.removeprefix("www.").split(".")[:-1])
