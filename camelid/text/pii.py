"""Replaces personal data by typed placeholders: `[EMAIL]`, `[PHONE]`, `[CARD]`, `[IP]`, `[KEY]`."""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from camelid.files.ledger import Ledger
from camelid.message import Conversation, ToolCall

PersonalDataKind = Literal["key", "email", "card", "ip", "phone"]
KINDS: tuple[PersonalDataKind, ...] = get_args(PersonalDataKind)

_PATTERNS: dict[PersonalDataKind, re.Pattern[str]] = {
    # Formats as their issuers document them: OpenAI and Anthropic, AWS access key ids, GitHub, GitLab, Google, Slack,
    # Stripe, Hugging Face, JSON web tokens (RFC 7519), PEM private keys (RFC 7468).
    "key": re.compile(
        r"\b(?:sk-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|"
        r"glpat-[\w-]{20,}|AIza[\w-]{35}|xox[abeprs]-[\w-]{10,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|"
        r"hf_[A-Za-z0-9]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})"
        r"|-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----(?:(?!-----).)*-----END \1-----",
        re.DOTALL,
    ),
    # The dot-atom form of RFC 5322 with a domain that ends in letters; not the login of a URL, or of a path on another
    # machine (user@host:path/file, as scp and git have it).
    "email": re.compile(
        r"(?<![\w.+%-])(?<!://)[\w.+%-]{1,64}@(?>(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b)(?!@|:[\w.~-]*/)"
    ),
    # 13 to 19 digits (ISO/IEC 7812), bare or in groups of four to seven; the check digit decides.
    "card": re.compile(
        r"(?<![\w.-])[2-6](?:\d{12,18}|\d{3}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4})?|\d{3}[ -]\d{6}[ -]\d{5})(?![\w-])"
    ),
    "ip": re.compile(
        r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)|(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])"
    ),
    # E.164 numbers with their plus (at most 15 digits), and the North American plan with separators.
    "phone": re.compile(
        r"(?<![\w+.-])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}"
        r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4})(?![\w-]|\.\d)"
    ),
}


@dataclass(frozen=True)
class ScrubPersonalData:
    """The scrubbing step; the only one that changes what a user typed."""

    kinds: tuple[PersonalDataKind, ...] = KINDS

    def __call__(self, conversation: Conversation, turns: Ledger) -> Conversation | str:
        messages = []
        for message in conversation.messages:
            text, counts = scrub(message.content, self.kinds)
            for found in (counts, *(scrub(call.arguments, self.kinds)[1] for call in message.tool_calls)):
                for kind, count in found.items():
                    turns.repair(f"[{kind.upper()}] put for personal data", count)
            if counts or message.reasoning or message.meta or message.tool_calls:
                thought = message.reasoning and scrub(message.reasoning, self.kinds)[0]
                calls = tuple(self._scrubbed_call(call) for call in message.tool_calls)
                meta = self._scrubbed(message.meta)
                message = replace(message, content=text, reasoning=thought, meta=meta, tool_calls=calls)
            messages.append(message)
        return replace(conversation, messages=tuple(messages), meta=self._scrubbed(conversation.meta))

    def _scrubbed_call(self, call: ToolCall) -> ToolCall:
        held = json.loads(call.arguments)
        scrubbed = self._scrubbed(held)
        return call if scrubbed == held else replace(call, arguments=json.dumps(scrubbed, ensure_ascii=False))

    def _scrubbed(self, value: Any) -> Any:
        """`meta`, which repeats an Alpaca record's texts and holds a chat's title; the name of a tree is no text."""
        if isinstance(value, dict):
            return {key: item if key == "tree" else self._scrubbed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._scrubbed(item) for item in value]
        return scrub(value, self.kinds)[0] if isinstance(value, str) else value


def scrub(text: str, kinds: tuple[PersonalDataKind, ...] = KINDS) -> tuple[str, dict[PersonalDataKind, int]]:
    """Return the text with placeholders, and how many there are of each kind."""
    counts: dict[PersonalDataKind, int] = {}
    for kind in KINDS:  # in this order, so that the digits of a key or card are not taken for a phone
        if kind not in kinds:
            continue
        count = 0

        def put(match: re.Match[str], kind: PersonalDataKind = kind) -> str:
            nonlocal count
            check = _CHECKS.get(kind)
            if check and not check(match[0]):
                return match[0]
            count += 1
            return f"[{kind.upper()}]"

        text = _PATTERNS[kind].sub(put, text)
        if count:
            counts[kind] = count
    return text, counts


def luhn(number: str) -> bool:
    """Whether the digits of a number end in their Luhn check digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    return sum(digits[::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10


def _is_card(number: str) -> bool:
    return len(set(number) - set(" -")) > 1 and luhn(number)


def _is_public(address: str) -> bool:
    """Private, loopback and documentation addresses name nobody, and teaching texts are full of them."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _is_somebody(address: str) -> bool:
    """The example domains of RFC 2606 belong to nobody, and `git` is whoever has a key."""
    name, _, domain = address.lower().rpartition("@")
    return name != "git" and not re.search(r"(?:^|\.)(?:example\.(?:com|net|org)|example|invalid|test)$", domain)


def _is_phone(number: str) -> bool:
    return 8 <= sum(character.isdigit() for character in number) <= 15


_CHECKS: dict[PersonalDataKind, Callable[[str], bool]] = {
    "card": _is_card,
    "ip": _is_public,
    "email": _is_somebody,
    "phone": _is_phone,
}
