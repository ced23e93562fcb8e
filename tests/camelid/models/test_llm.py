"""Requests that differ in anything have different keys."""

from camelid.message import Message
from camelid.models.llm import Request


def request(text: str, sample: int = 0) -> Request:
    return Request((Message("user", text),), sample=sample)


def test_keys_tell_requests_apart() -> None:
    base = request("a")
    others = [
        request("b"),
        request("a", sample=1),
        Request(base.messages, temperature=0.5),
        Request(base.messages, stop=("x",)),
    ]
    keys = [other.key("m") for other in (base, *others)] + [base.key("other model")]
    assert len(set(keys)) == len(keys)
    assert base.key("m") == request("a").key("m")
