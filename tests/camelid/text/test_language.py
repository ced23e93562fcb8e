"""Languages are told apart, code blocks aside, and kept or skipped."""

import pytest

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.message import Conversation, Message
from camelid.text.language import KeepLanguages, detect_language


def talk(question: str, answer: str = "yes", name: str = "c") -> Conversation:
    return Conversation(name, (Message("user", question), Message("assistant", answer)))


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
