"""Turn by turn: only what is bad goes, with its reason; every turn is counted."""

from random import Random

import pytest

from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message, Role
from conversations.cleaning.clean import Clean

ROLES: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant"}


def run(*turns: str, clean: Clean = Clean()) -> tuple[list[str], Ledger]:  # noqa: B008
    """Clean turns written as `u: text`; give back the same and the ledger."""
    messages = tuple(Message(ROLES[turn[0]], turn[3:]) for turn in turns)
    ledger = Ledger("turns")
    cleaned = clean(Conversation("c", messages), ledger, page=True)
    assert ledger.read == len(turns)
    if isinstance(cleaned, str):
        assert ledger.kept == 0
        return [], ledger
    return [f"{m.role[0]}: {m.content}" for m in cleaned.messages], ledger


def test_a_good_conversation_stays_as_it_is() -> None:
    turns = ["s: Be kind.", "u: <b>hi</b>  \n1 / 2", "a: Hello *you*", "u: bye", "a: Bye"]
    assert run(*turns) == (turns, Ledger("turns", kept=5))


@pytest.mark.parametrize(
    ("turns", "kept", "reason"),
    [
        (["a: Hello!", "u: hi", "a: yes"], ["u: hi", "a: yes"], "assistant turn before any user turn"),
        (["u: hi", "a: yes", "u: and?"], ["u: hi", "a: yes"], "user turn without an answer"),
        (["u:  ", "a: x", "u: hi", "a: yes"], ["u: hi", "a: yes"], "exchange with an empty question"),
        (
            ["u: hi", "a: ", "u: ho", "a: yes"],
            ["u: ho", "a: yes"],
            "exchange with an empty answer or a page error for one",
        ),
        (["u: hi", "u: hi", "a: yes"], ["u: hi", "a: yes"], "repeated turn"),
        (["u: hi", "u: ", "a: yes"], ["u: hi", "a: yes"], "empty turn beside another of the same role"),
        (["u: hi", "s: x", "a: yes"], ["u: hi", "a: yes"], "system message that is empty or not first"),
        (["s: ", "u: hi", "a: yes"], ["u: hi", "a: yes"], "system message that is empty or not first"),
        (
            ["u: hi", "a: Too many requests in 1 hour. Try again later.", "u: ho", "a: yes"],
            ["u: ho", "a: yes"],
            "exchange with an empty answer or a page error for one",
        ),
        (["s: x", "u: hi"], [], "system message of a conversation without an exchange"),
    ],
)
def test_bad_turns(turns: list[str], kept: list[str], reason: str) -> None:
    cleaned, ledger = run(*turns)
    assert cleaned == kept
    assert ledger.dropped[reason] > 0 and ledger.kept == len(kept)


def test_turns_of_one_role_are_joined() -> None:
    cleaned, ledger = run("u: hi", "u: there", "a: yes", "a: no")
    assert cleaned == ["u: hi\n\nthere", "a: yes\n\nno"]
    assert ledger.kept == 4 and ledger.repaired["turns of one role in a row joined"] == 2


def test_joined_turns_have_the_smallest_weight_and_the_last_turn_its_own() -> None:
    talk = Conversation("c", (Message("user", "hi"), Message("assistant", "a", 0.0), Message("assistant", "b")))
    joined = Clean()(talk, Ledger("turns"), page=True)
    assert isinstance(joined, Conversation) and joined.messages[1] == Message("assistant", "a\n\nb", 0.0)
    last = Clean(in_a_row="last")(talk, Ledger("turns"), page=True)
    assert isinstance(last, Conversation) and last.messages[1] == Message("assistant", "b")


@pytest.mark.parametrize(
    "text",
    [
        "1 / 2<p>Yes.</p>",
        "<p>Yes.</p>\n2 / 2",
        "Yes.\n\nRegenerate response",
        "Yes.\nCopied 12 chars / 1 words",
        "1 / 2\n\nYes.",
        "Yes.\n\nCopy code\n1 / 1\n",
        "1 / 2<p>Yes.</p><p>Copied 12 chars / 1 words</p>",
        "Yes.\nThis content may violate our content policy. If you believe this to be in error, please submit your "
        "feedback — your input will aid our research in this area.",
    ],
)
def test_page_captions_go(text: str) -> None:
    assert run("u: hi", f"a: {text}")[0] == ["u: hi", "a: Yes."]


@pytest.mark.parametrize("text", ["Half is\n1 / 2\nof it.", "10 / 2 = 5", "10 / 2\nis 5", "It is\n10 / 2", "see 1 / 2"])
def test_fractions_in_a_text_stay(text: str) -> None:
    assert run("u: hi", f"a: {text}")[0][1] == f"a: {text}"


def test_counts_always_add_up() -> None:
    rng = Random(0)
    texts = ["", " ", "x", "y", "1 / 2", "<p>z</p>", "network error"]
    for _ in range(500):
        turns = [f"{rng.choice('suuaaa')}: {rng.choice(texts)}" for _ in range(rng.randint(1, 9))]
        cleaned, _ = run(*turns)  # checks kept + dropped = read
        body = [turn for turn in cleaned if turn[0] != "s"]
        assert [turn[0] for turn in body] == ["u", "a"] * (len(body) // 2)
        assert all(turn[3:].strip() for turn in cleaned)


def test_a_users_text_is_never_touched() -> None:
    for text in ["<div><p>my_var</p></div>", "1 / 2", "Copy code", "10 / 2 = 5", " \n<pre>x</pre>\n", "network error"]:
        assert run(f"u: {text}", "a: ok")[0] == [f"u: {text}", "a: ok"]


def test_page_errors() -> None:
    limit = "You've reached our limit of messages per hour. Please try again later."
    for text in [limit, "network error", "<p>Load failed</p>"]:
        assert run("u: hi", f"a: {text}", "u: ho", "a: yes")[0] == ["u: ho", "a: yes"]
    assert run("u: hi", "a: A network error is a failure to connect.")[0] != []


def test_options() -> None:
    html, captioned = "<p>x <b>y</b></p>", "1 / 2\nx"
    assert run("u: hi", f"a: {html}", clean=Clean(html=False))[0][1] == f"a: {html}"
    assert run("u: hi", f"a: {captioned}", clean=Clean(captions=False))[0][1] == f"a: {captioned}"
    cleaned, ledger = run("u: hi", "u: there", "a: yes", clean=Clean(in_a_row="last"))
    assert cleaned == ["u: there", "a: yes"] and ledger.dropped == {"turn before another of the same role": 1}
    cleaned, ledger = run("u: hi", "a: " + "x" * 11, "u: ho", "a: yes", clean=Clean(max_turn_chars=10))
    assert cleaned == ["u: ho", "a: yes"] and ledger.dropped == {"exchange with an overlong turn": 2}


def test_half_a_surrogate_pair_is_replaced_and_counted() -> None:
    cleaned, ledger = run("u: a\ud800b 😀", "a: yes")
    assert cleaned[0] == "u: a\ufffdb 😀" and ledger.repaired == {"half a surrogate pair replaced": 1}
