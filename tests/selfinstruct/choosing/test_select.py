"""`camelid selfinstruct select`: the best of all rounds, LLaMA-2's two rewards, pairs, context distillation."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.files.write import write_jsonl
from conversations.formats.readers import read_conversations
from conversations.preference import read_pairs

ASKED = [{"role": "user", "content": "Why?"}]


def answer(content: str, finish_reason: str = "stop", context: str = "", **scores: float) -> dict[str, Any]:
    more = {"context": context} if context else {}
    return {
        "content": content,
        "model": "m",
        "temperature": 1.2,
        "finish_reason": finish_reason,
        **more,
        "scores": scores,
    }


def candidates(name: str, *answers: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {"id": name, "prompt": [{"role": "user", "content": f"{name}?"}], "answers": list(answers), "meta": meta}


def select(
    tmp_path: Path, rule: str, *rounds: list[dict[str, Any]], more: tuple[str, ...] = ()
) -> tuple[Path, list[Any]]:
    """The output, and the ledgers."""
    paths = [tmp_path / f"round-{number}.jsonl" for number in range(len(rounds))]
    for path, records in zip(paths, rounds, strict=True):
        write_jsonl(path, records)
    output = tmp_path / "chosen.jsonl"
    assert main(["selfinstruct", "select", *map(str, paths), "--by", rule, "--output", str(output), *more]) == 0
    return output, json.loads((tmp_path / "chosen.ledger.json").read_text())["ledgers"]


def contents(path: Path) -> dict[str, str]:
    return {line["id"]: line["messages"][-1]["content"] for _, line in read_jsonl(path)}


def test_the_best_of_all_rounds_is_trained(tmp_path: Path) -> None:
    newest = [
        candidates("a", answer("x", helpful=0.1), answer("y", helpful=0.5)),
        candidates("b", answer("z", helpful=0)),
    ]
    earlier = [candidates("b", answer("old", helpful=2)), candidates("a", answer("same", helpful=0.5))]
    path, _ = select(tmp_path, "helpful", newest, earlier)
    assert contents(path) == {"a": "y", "b": "old"}
    [first, _] = list(read_conversations(path))
    assert first.meta["answers"] == 3 and first.meta["scores"] == {"helpful": 0.5} and first.meta["model"] == "m"


def test_rounds_that_number_their_prompts_alike_are_told_apart(tmp_path: Path) -> None:
    other = {**candidates("else", answer("there", helpful=2)), "id": "a"}
    path, _ = select(tmp_path, "helpful", [candidates("a", answer("here", helpful=1))], [other])
    assert contents(path) == {"a": "here", "a#2": "there"}


def test_two_rewards_are_one_rule(tmp_path: Path) -> None:
    """An answer below the threshold is worth its safety, and so is every answer to a safety prompt."""
    answers = (
        answer("blunt", helpful=3, safe=-2),
        answer("kind", helpful=1, safe=1),
        answer("dull", helpful=0, safe=5),
    )
    path, _ = select(tmp_path, "llama2", [candidates("plain", *answers), candidates("risky", *answers, is_safety=True)])
    assert contents(path) == {"plain": "kind", "risky": "dull"}


def test_rewards_are_whitened_over_all_answers(tmp_path: Path) -> None:
    records = [candidates("a", answer("x", helpful=1), answer("y", helpful=3)), candidates("b", answer("z", helpful=5))]
    path, _ = select(tmp_path, "helpful", records)
    assert [one.meta["reward"] for one in read_conversations(path)] == pytest.approx([0.0, 1.5**0.5])


def test_the_best_and_the_worst_are_a_preference(tmp_path: Path) -> None:
    records = [
        candidates("a", answer("x", helpful=1), answer("y", helpful=3), answer("z", helpful=2)),
        candidates("alike", answer("x", helpful=1), answer("y", helpful=1)),
        candidates("equal", answer("x", helpful=1), answer("x", helpful=2)),
        candidates("alone", answer("x", helpful=1)),
    ]
    path, ledgers = select(tmp_path, "helpful", records, more=("--preferences",))
    [made] = list(read_pairs(path))
    assert (made.chosen.content, made.rejected.content, made.chosen.model) == ("y", "x", "m")
    rewards = [1, 3, 2, 1, 1, 1, 2, 1]
    mean = sum(rewards) / 8
    deviation = (sum((one - mean) ** 2 for one in rewards) / 8) ** 0.5
    assert made.source == "ai/helpful" and made.meta["margin"] == pytest.approx(2 / deviation)
    assert ledgers[1]["dropped"] == {
        "answers that are worth the same": 1, "equal answers": 1, "one answer alone": 1,
    }  # fmt: skip


def test_a_preprompts_answer_is_kept_where_it_is_safer(tmp_path: Path) -> None:
    told = "Be safe."
    records = [
        candidates(
            "better", answer("bad", safe=-1), answer("no", safe=2, context=told), answer("hm", safe=0, context=told)
        ),
        candidates("worse", answer("fine", safe=3), answer("no", safe=2, context=told)),
        candidates("as good", answer("fine", safe=2), answer("no", safe=2, context=told)),
        candidates("plain alone", answer("fine", safe=2)),
    ]
    path, ledgers = select(tmp_path, "distill", records)
    assert contents(path) == {"better": "no"}
    assert ledgers[1]["dropped"] == {"plain answer that is as safe": 2, "answers with or without a preprompt alone": 1}
    path, _ = select(tmp_path, "distill", records, more=("--preferences",))
    assert [(one.chosen.content, one.rejected.content) for one in read_pairs(path)] == [("no", "bad")]


def test_what_cannot_be_chosen_is_counted(tmp_path: Path) -> None:
    records = [
        candidates(
            "a", answer("cut", "length", helpful=9), answer(" ", helpful=8), answer("bare"), answer("ok", helpful=0)
        ),
        candidates("b", answer("cut", "length", helpful=9)),
    ]
    path, ledgers = select(tmp_path, "helpful", records)
    assert contents(path) == {"a": "ok"}
    assert ledgers[0]["dropped"] == {"answer cut off by max_tokens": 2, "empty answer": 1, "no score 'helpful'": 1}
    assert ledgers[1]["dropped"] == {"no whole answer with a score": 1}


def test_without_scores_the_first_whole_answer_can_be_taken(tmp_path: Path) -> None:
    path, _ = select(tmp_path, "first", [candidates("a", answer("cut", "length"), answer("one"), answer("two"))])
    assert contents(path) == {"a": "one"}


def test_a_missing_score_is_named_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "c.jsonl"
    write_jsonl(source, [candidates("a", answer("x", helpfull=1))])
    assert main(["selfinstruct", "select", str(source), "--by", "helpful", "--output", str(tmp_path / "o.jsonl")]) == 2
    error = capsys.readouterr().err
    assert f"{source}: no answer has the score 'helpful' (found helpfull)" in error and "finetune score" in error
    assert not (tmp_path / "o.jsonl").exists()
    assert main(["selfinstruct", "select", str(source), "--by", "helpfull", "--output", str(source)]) == 2
    assert "is an input, too" in capsys.readouterr().err


def test_earlier_answers_of_a_prompt_are_not_trained(tmp_path: Path) -> None:
    prompt = [*ASKED, {"role": "assistant", "content": "So."}, *ASKED]
    path, _ = select(tmp_path, "first", [{"id": "a", "prompt": prompt, "answers": [answer("Because.")]}])
    [made] = list(read_conversations(path))
    assert [(one.content, one.weight) for one in made.messages if one.role == "assistant"] == [
        ("So.", 0),
        ("Because.", None),
    ]
