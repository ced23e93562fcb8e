"""Personal data becomes placeholders, and what only looks like it stays."""

import time

import pytest

from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from camelid.text.pii import ScrubPersonalData, luhn, scrub
from conversations.formats.alpaca import from_alpaca


def talk(question: str, answer: str = "yes", name: str = "c") -> Conversation:
    return Conversation(name, (Message("user", question), Message("assistant", answer)))


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("write to jo.doe+x@mail.co.uk.", "write to [EMAIL]."),
        (
            "bob@firm.com: hello, ann@a.b.firm.com:thanks, mailto:jo@firm.com/",
            "[EMAIL]: hello, [EMAIL]:thanks, mailto:[EMAIL]/",
        ),
        ("call +49 30 1234567 or (415) 555-2671 or 415-555-2671!", "call [PHONE] or [PHONE] or [PHONE]!"),
        ("card 4111 1111 1111 1111, 378282246310005.", "card [CARD], [CARD]."),
        ("amex 3782 822463 10005", "amex [CARD]"),
        ("host 8.8.8.8:80 and 2606:4700:4700::1111", "host [IP]:80 and [IP]"),
        ("key sk-abcdefghijklmnopqrstuvwx1234", "key [KEY]"),
        ("AKIAIOSFODNN7EXAMPLE ghp_" + "a1" * 18, "[KEY] [KEY]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[KEY]"),
    ],
)
def test_personal_data_becomes_placeholders(text: str, scrubbed: str) -> None:
    assert scrub(text)[0] == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 fails the check digit",
        "0000 0000 0000 0000",
        "1234567890123456789012345",
        "127.0.0.1, 192.168.1.10, 10.0.0.1, 300.1.1.1, version 1.2.3.4.5, ::1, 12:30:45",
        "2023-01-15, 3.14159265358979, 1,234,567.89, 555-1234, 10 / 2 = 5, pi=3.1415926535",
        "git@github.com:org/repo.git, git@git.firm.co.uk:repo.git, ssh -T git@gitlab.com, ssh://me@host.com:22/x",
        "scp a.txt deploy@web.firm.com:/srv/app/ ci@firm.com:~/x https://ann@firm.com/repo",
        "user@example.com, a @mention, x@y, foo@bar@baz",
        "std::vector<int>::iterator, a::b::c, dead:beef",
        "sk-short, skeleton, AKIA",
        "tel 12345 678, ISBN 978-3-16-148410-0, 1 000 000 000 000",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert scrub(text) == (text, {})


@pytest.mark.parametrize("piece", ["1", "+1 ", "a@", "a:", "a.", "-----BEGIN PRIVATE KEY-----\n", "1.", "sk-"])
def test_scrubbing_takes_time_in_proportion_to_the_text(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    started = time.process_time()
    scrub(text)
    assert time.process_time() - started < 5  # what looks back for each match would take minutes


def test_scrubbing_counts_and_can_be_narrowed() -> None:
    turns = Ledger("turns")
    scrubbed = ScrubPersonalData(("email",))(talk("a@b.org c@d.org 8.8.8.8"), turns)
    assert isinstance(scrubbed, Conversation) and scrubbed.messages[0].content == "[EMAIL] [EMAIL] 8.8.8.8"
    assert turns.repaired == {"[EMAIL] put for personal data": 2}


def test_what_a_record_keeps_beside_its_turns_is_scrubbed_too() -> None:
    record = {"instruction": "Write to a@b.org", "input": "from 8.8.8.8", "output": "Hi"}
    scrubbed = ScrubPersonalData()(from_alpaca(record, "x"), Ledger("turns"))
    assert isinstance(scrubbed, Conversation) and scrubbed.messages[0].content == "Write to [EMAIL]\n\nfrom [IP]"
    assert scrubbed.meta == {"instruction": "Write to [EMAIL]", "input": "from [IP]"}
    chat = Conversation("c", (), {"tree": "a@b.org", "deep": [{"title": "a@b.org", "turns": 2}]})
    scrubbed = ScrubPersonalData()(chat, Ledger("turns"))
    assert isinstance(scrubbed, Conversation)
    assert scrubbed.meta == {"tree": "a@b.org", "deep": [{"title": "[EMAIL]", "turns": 2}]}


def test_luhn_finds_every_single_wrong_digit() -> None:
    """The property the check digit was made for, on the example of ISO/IEC 7812-1."""
    number = "79927398713"
    assert luhn(number)
    for place in range(len(number)):
        for digit in "0123456789":
            assert luhn(number[:place] + digit + number[place + 1 :]) == (digit == number[place])
