"""Near-duplicates, evaluation questions and blocked phrases in every script, through `convert`."""

import json
from pathlib import Path
from random import Random

import pytest

from camelid.app.cli import main
from tests.camelid.text.script_texts import SCRIPTS

CASES = Path(__file__).parent / "cases"


def convert(source: Path, folder: Path, *options: str) -> list[str]:
    """The ids that are left."""
    output = folder / "out.jsonl"
    main(["conversations", "convert", str(source), "--output", str(output), "--quiet", *options])
    return [json.loads(line)["id"] for line in output.read_text().splitlines()]


def write(path: Path, texts: dict[str, str]) -> Path:
    turns = [
        {"id": name, "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": name}]}
        for name, text in texts.items()
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in turns))
    return path


def test_a_changed_character_in_300_is_a_near_duplicate_in_chinese_as_in_english(tmp_path: Path) -> None:
    left = convert(CASES / "near_zh.jsonl", tmp_path, "--near-duplicates", "0.8")
    assert {"zh0", "en0"} <= set(left) and not {"zh1", "zh3", "en1", "en3"} & set(left)


def test_a_question_behind_a_polite_word_is_found(tmp_path: Path) -> None:
    first = json.loads((CASES / "decon_zh.jsonl").read_text().splitlines()[0])["messages"][0]["content"]
    (tmp_path / "questions.jsonl").write_text(json.dumps({"turns": [first]}))
    assert convert(CASES / "decon_zh.jsonl", tmp_path, "--decontaminate", str(tmp_path / "questions.jsonl")) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_planted_changes_are_found_and_other_texts_are_not(tmp_path: Path, name: str) -> None:
    script, rng = SCRIPTS[name], Random(0)
    first, other = script.text(rng, 150), script.text(rng, 150)
    one_changed = [*first[:70], next(word for word in script.words if word != first[70]), *first[71:]]
    texts = {"first": first, "one changed": one_changed, "other": other}
    source = write(tmp_path / "near.jsonl", {key: script.join(words) for key, words in texts.items()})
    assert convert(source, tmp_path, "--near-duplicates", "0.8") == ["first", "other"]

    question = script.text(rng, 24)
    (tmp_path / "questions.jsonl").write_text(json.dumps({"text": script.join(question)}))
    texts = {
        "asked": [script.please, *question],
        "inside": [*other[:20], *question, *other[20:40]],
        "same beginning": [*question[:6], *other[:30]],
        "other": other,
    }
    source = write(tmp_path / "asked.jsonl", {key: script.join(words) for key, words in texts.items()})
    asked = convert(source, tmp_path, "--decontaminate", str(tmp_path / "questions.jsonl"))
    assert asked == ["same beginning", "other"]


def test_texts_without_words_are_not_alike(tmp_path: Path) -> None:
    source = tmp_path / "signs.jsonl"
    chats = [
        {"id": f"{number}", "messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": said}]}
        for number, (ask, said) in enumerate([("?", "!"), ("+", "-"), ("😀", "🎉")])
    ]
    source.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    assert convert(source, tmp_path, "--near-duplicates", "0.8") == ["0", "1", "2"]


def test_a_blocked_phrase_is_found_in_any_spacing_and_width(tmp_path: Path) -> None:
    (tmp_path / "phrases.txt").write_text("as an AI language model\n人工智能ABC\n")
    texts = {"line end": "As an AI\nlanguage  model", "wide": "我是人工智能ＡＢＣ", "other": "As an adult"}
    source = write(tmp_path / "chats.jsonl", texts)
    assert convert(source, tmp_path, "--block", str(tmp_path / "phrases.txt")) == ["other"]
