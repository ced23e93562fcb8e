"""Each cleaning step by itself: what it changes, what it drops, and what it leaves alone."""

import random
import time
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from camelid.text.language import KeepLanguages, detect_language
from camelid.text.minhash import NearDuplicates, minhash_signature
from camelid.text.pii import ScrubPersonalData, luhn, scrub
from conversations.cleaning.blocked import BlockPhrases, read_phrases
from conversations.cleaning.sampling import Sample, is_in_sample
from conversations.formats.alpaca import from_alpaca
from conversations.identity import identity_conversations


def talk(question: str, answer: str = "yes", name: str = "c") -> Conversation:
    return Conversation(name, (Message("user", question), Message("assistant", answer)))


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("write to jo.doe+x@mail.co.uk.", "write to [EMAIL]."),
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


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I write a letter to my landlord about the broken heating?", "en"),
        ("Wie schreibe ich meinem Vermieter einen Brief über die kaputte Heizung?", "de"),
        ("如何给房东写一封关于暖气坏了的信", "zh"),
        ("¿Cómo escribo una carta a mi casero sobre la calefacción rota?", "es"),
        (
            "```python\nfor the in and of to is that: pass\n```\nMerci beaucoup pour votre aide, c'est très gentil.",
            "fr",
        ),
        ("", "unknown"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert detect_language(talk(text, "")) == language


def test_language_choice() -> None:
    german = talk("Wie schreibe ich einen Brief über die kaputte Heizung?", "Schreiben Sie freundlich und klar.")
    turns = Ledger("turns")
    assert KeepLanguages(keep=("de", "en"))(german, turns) is german
    assert KeepLanguages(keep=("en",))(german, turns) == "language: de"
    assert KeepLanguages(skip=("de",))(german, turns) == "language: de"
    with pytest.raises(UserError, match="'english' must be a code"):
        KeepLanguages(keep=("english",))


def test_blocked_phrases(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# mine\nAs an AI  language model\n\n")
    phrases = read_phrases([str(tmp_path / "list.txt"), "fastchat"])
    assert phrases == ("as an ai language model", "openai", "chatgpt")
    block, turns = BlockPhrases(phrases), Ledger("turns")
    assert block(talk("hi", "As an AI language model, no"), turns) == "blocked phrase: as an ai language model"
    assert block(talk("Are you ChatGPT?"), turns) == "blocked phrase: chatgpt"
    assert isinstance(block(talk("hi"), turns), Conversation)
    with pytest.raises(UserError, match="--block fastchatt: no such file or preset; did you mean 'fastchat'"):
        read_phrases(["fastchatt"])


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def test_near_duplicates_agree_with_the_true_similarity() -> None:
    """Against the Jaccard similarity computed outright: clear cases are decided right."""
    rng = random.Random(0)
    near = NearDuplicates(0.8)
    wrong = 0
    for _ in range(150):
        words = [f"w{rng.randrange(10_000)}" for _ in range(300)]
        changed = list(words)
        for at in rng.sample(range(300), rng.choice([1, 2, 60])):
            changed[at] = "other"
        first, second = " ".join(words), " ".join(changed)
        assert not near.is_near_duplicate(minhash_signature(talk(first, "")))
        one, two = shingles(first), shingles(second)
        similarity = len(one & two) / len(one | two)
        wrong += near.is_near_duplicate(minhash_signature(talk(second, ""))) != (similarity >= 0.8)
    assert wrong <= 1
    assert near.is_near_duplicate(minhash_signature(talk(first, ""))) and not near.is_near_duplicate(
        minhash_signature(talk("short", ""))
    )
    with pytest.raises(UserError, match="above 0 and at most 1"):
        NearDuplicates(1.5)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.8, 0.9])
def test_near_duplicates_are_found_at_any_similarity(similarity: float) -> None:
    """Pairs a little more similar than asked for, by the share of shingles they truly have in common."""
    rng, near, found = random.Random(0), NearDuplicates(similarity), 0
    share = similarity + 0.4 * (1 - similarity)
    common = round(600 * 2 * share / (1 + share))  # words at the start that both have: common / (2 * 600 - common)
    for number in range(60):
        words = [f"w{rng.randrange(10**9)}" for _ in range(600)]
        other = words[:common] + [f"x{rng.randrange(10**9)}" for _ in range(600 - common)]
        assert not near.is_near_duplicate(minhash_signature(talk(" ".join(words), f"a{number}")))
        found += near.is_near_duplicate(minhash_signature(talk(" ".join(other), f"b{number}")))
    assert found >= 0.85 * 60


def test_sampling_depends_on_the_id_alone() -> None:
    talks = [talk("hi", name=f"id{number}") for number in range(4000)]
    first = {one.id for one in talks if is_in_sample(one, 0.25, "test 0")}
    assert 900 < len(first) < 1100
    assert first == {one.id for one in reversed(talks) if is_in_sample(one, 0.25, "test 0")}
    assert first < {one.id for one in talks if is_in_sample(one, 0.5, "test 0")}
    assert first != {one.id for one in talks if is_in_sample(one, 0.25, "test 1")}
    sample, turns = Sample(0.5), Ledger("turns")
    assert {sample(one, turns) if isinstance(sample(one, turns), str) else "" for one in talks} == {
        "",
        "not in the sample",
    }


def test_branches_of_a_tree_stay_together() -> None:
    for number in range(50):
        branches = [Conversation(f"t{number}/{branch}", (), {"tree": f"t{number}"}) for branch in range(3)]
        assert len({is_in_sample(branch, 0.5, "test 0") for branch in branches}) == 1


def test_identity() -> None:
    named = list(identity_conversations("Cami"))
    made = list(identity_conversations("Cami", "Camelid Labs"))
    assert len(named) > 50 and len(made) > len(named)
    assert all("Cami" in one.messages[1].content for one in named)
    assert any("Camelid Labs" in one.messages[1].content for one in made)
    assert not any("{" in message.content for one in named + made for message in one.messages)
    assert len({one.id for one in made}) == len(made) == len({one.messages for one in made})
    with pytest.raises(UserError, match="needs the model's name"):
        list(identity_conversations(" "))
