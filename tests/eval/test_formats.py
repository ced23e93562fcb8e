"""Published evaluation files in the shapes they have, put into a folder as they are: each report's numbers by hand."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_json
from eval.results import LeaderboardRow, Results

Made = Callable[..., tuple[Results, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def made(folder: Path, capsys: pytest.CaptureFixture[str]) -> Made:
    """Report the folder: the numbers and what was printed."""

    def run(questions: str, *more: str, status: int = 0) -> tuple[Results, str]:
        asked = ["--questions", str(folder / questions), "--output", str(folder), "--quiet", *more]
        assert main(["eval", "report", *asked]) == status, capsys.readouterr()
        return Results.from_json(read_json(folder / "results.json")), capsys.readouterr().out

    return run


def write(path: Path, rows: Any, lines: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows) if lines else json.dumps(rows, indent=2))


def row(results: Results, label: str) -> LeaderboardRow:
    return next(one for one in results.boards[0].rows if one.label == label)


def mean(results: Results, label: str) -> float:
    score = row(results, label).score
    assert score is not None
    return score.mean


def test_alpaca_eval(folder: Path, made: Made) -> None:
    """annotations.json and model_outputs.json in results/MODEL/, and a leaderboard that is neither."""
    asked = [("Name a river. ", "river"), ("Name  a colour.", "colour"), ("Say hi", "hi"), ("Say hi", "hello")]
    outputs = [{"instruction": text, "output": f"{said} x", "generator": "mine"} for text, said in asked]
    base = [{"instruction": text, "output": said, "generator": "base", "dataset": "d"} for text, said in asked]
    rows = [
        {
            "instruction": one["instruction"],
            "output_1": two["output"],
            "generator_1": "base",
            "dataset": "d",
            "output_2": one["output"],
            "generator_2": "mine",
            "annotator": "weighted_gpt4",
            "preference": preference,
            "raw_completion": {"finish_reason": "length", "message": {"content": "m"}},
        }
        for one, two, preference in zip(outputs, base, (1.75, 1.5, 1.0, float("nan")), strict=True)
    ]
    write(folder / "alpaca_eval.json", base, lines=False)
    write(folder / "results" / "mine" / "annotations.json", rows, lines=False)
    write(folder / "results" / "mine" / "model_outputs.json", outputs, lines=False)
    write(folder / "leaderboard.json", [{"win_rate": 1.0}], lines=False)
    results, out = made("alpaca_eval.json", status=1)  # one preference is no verdict
    assert mean(results, "mine") == pytest.approx(100 * (0.75 + 0.5 + 0) / 3) and results.questions == 4
    assert (
        row(results, "mine").counts.unparsed == 1
        and row(results, "mine").words == 2
        and row(results, "base").words == 1
    )
    assert "Read: AlpacaEval annotations (annotations.json), AlpacaEval outputs (model_outputs.json)." in out
    assert "Not read, for it holds no answer or judgment in a known format: leaderboard.json." in out


def arena_hard_questions(folder: Path) -> None:
    write(
        folder / "question.jsonl", [{"uid": f"q{n}", "category": "hard_prompt", "prompt": f"Q{n}?"} for n in range(3)]
    )


def test_arena_hard_v2(folder: Path, made: Made) -> None:
    """Each game a battle, "significantly" three: 3 + 1 + 0.5 + 0 of 3 + 1 + 1 + 3 battles."""
    arena_hard_questions(folder)
    games = [("B>>A", "A>B"), ("A=B", "A<<B")]
    rows = [
        {
            "uid": f"q{n}",
            "category": "hard_prompt",
            "judge": "gpt-4.1",
            "model": "mine",
            "baseline": "o3-mini",
            "games": [
                {
                    "score": score,
                    "judgment": {"answer": f"So: [[{score}]]"},
                    "prompt": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "..."}],
                }
                for score in pair
            ],
        }
        for n, pair in enumerate(games)
    ]
    rows.append(
        {
            "uid": "q2",
            "category": "hard_prompt",
            "judge": "gpt-4.1",
            "model": "mine",
            "baseline": "o3-mini",
            "games": [{"score": "A>B", "judgment": {"answer": "[[A>B]]"}, "prompt": []}, None],
        }
    )
    answers = [
        {
            "uid": f"q{n}",
            "ans_id": "k",
            "model": "mine",
            "messages": [
                {"role": "user", "content": "?"},
                {"role": "assistant", "content": {"answer": "Four words of answer."}},
            ],
            "metadata": {"token_len": 5},
        }
        for n in range(3)
    ]
    write(folder / "model_judgment" / "gpt-4.1" / "mine.jsonl", rows)
    write(folder / "model_answer" / "mine.jsonl", answers)
    results, out = made("question.jsonl", status=1)
    assert results.mode == "arena-hard" and results.baseline == "o3-mini"
    assert mean(results, "mine") == pytest.approx(100 * 4.5 / 8) and row(results, "mine").words == 4
    assert row(results, "o3-mini").words is None and row(results, "mine").counts.failed == 1
    assert "Arena-Hard judgments (mine.jsonl)" in out and "Arena-Hard answers (mine.jsonl)" in out
    assert "| o3-mini | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | unknown |" in (folder / "report.md").read_text()


def test_each_category_of_arena_hard_v2_has_its_baseline(folder: Path, made: Made) -> None:
    """Named, a baseline brings the questions that were put to its pairs."""
    arena_hard_questions(folder)
    rows = [
        {"uid": f"q{n}", "category": "c", "judge": "gpt-4.1", "model": "mine", "baseline": baseline,
         "games": [{"score": score, "judgment": {"answer": f"[[{score}]]"}, "prompt": []} for score in ("B>A", "A>B")]}
        for n, baseline in enumerate(("o3-mini", "gemini", "o3-mini"))
    ]  # fmt: skip
    write(folder / "model_judgment" / "mine.jsonl", rows)
    results, out = made("question.jsonl", "--baseline", "o3-mini")
    assert results.complete and mean(results, "mine") == 100.0 and results.questions == 2
    assert "Questions that were put to other pairs only: 1, left out." in out


def test_arena_hard_v01_and_its_battles_say_the_same(folder: Path, made: Made) -> None:
    questions = [
        {"question_id": f"q{n}", "category": "arena-hard-v0.1", "turns": [{"content": f"Q{n}?"}]} for n in range(2)
    ]
    games = [("A>>B", "A>B"), ("B>A", "A=B")]
    rows = [
        {
            "question_id": f"q{n}",
            "model": "mine",
            "judge": "gpt-4-1106-preview",
            "games": [
                {"user_prompt": "...", "judgment": f"Final verdict is: [[{score}]]", "score": score} for score in pair
            ],
        }
        for n, pair in enumerate(games)
    ]
    write(folder / "question.jsonl", questions)
    write(folder / "model_judgment" / "mine.jsonl", rows)
    results, _ = made("question.jsonl")
    expected = 100 * (0 + 1 + 1 + 0.5) / (3 + 1 + 1 + 1)
    assert mean(results, "mine") == pytest.approx(expected) and results.baseline == "gpt-4-0314" and results.complete
    (folder / "model_judgment" / "mine.jsonl").unlink()
    battles = [
        ("q0", "model_a"),
        ("q0", "model_a"),
        ("q0", "model_a"),
        ("q0", "model_b"),
        ("q1", "model_b"),
        ("q1", "tie"),
    ]
    write(
        folder / "arena_hard_battles.jsonl",
        [{"question_id": q, "model_a": "gpt-4-0314", "model_b": "mine", "winner": won} for q, won in battles],
    )
    results, out = made("question.jsonl", "--baseline", "gpt-4-0314")
    assert mean(results, "mine") == pytest.approx(expected) and "Arena-Hard battles" in out


def test_wildbench_scores_and_pairs(folder: Path, made: Made) -> None:
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "And?"},
    ]
    write(
        folder / "wild.jsonl",
        [{"session_id": f"s{n}", "primary_tag": "Math", "conversation_input": talk} for n in range(3)],
    )
    scores = [
        {
            "session_id": f"s{n}",
            "parsed_result": {"strengths": "s", "weaknesses": "w", "score": score},
            "score": score,
            "model_test": "google/gemma",
            "model_output": "one two",
        }
        for n, score in enumerate(("3", "8", "4"))
    ]
    write(folder / "score.v2" / "eval=gpt-4o" / "gemma.json", scores, lines=False)
    pairs = [
        {
            "session_id": f"s{n}",
            "model_outputs": {"org/gemma": "a b", "haiku": "c"},
            "winner": won,
            "extent": extent,
            "assignment": {"A": "haiku", "B": "org/gemma"},
            "parsed_result": {"choice": "?"},
        }
        for n, (won, extent) in enumerate((("org/gemma", 2), ("haiku", 1), ("tie", 0)))
    ]
    write(folder / "pairwise.v2" / "eval=gpt-4-turbo" / "ref=haiku" / "gemma.json", pairs, lines=False)
    results, out = made("wild.jsonl", "--mode", "single")
    assert mean(results, "gemma") == 5.0 and results.judges == ("gpt-4o",) and row(results, "gemma").words == 2
    assert "WildBench scores" in out and "WildBench pairs" in out
    results, _ = made("wild.jsonl", "--mode", "alpaca")
    reward = (1 - 0.5 + 0) / 3  # WB-Reward
    assert mean(results, "gemma") == pytest.approx(100 * (1 + reward) / 2) and results.baseline == "haiku"


def test_mt_bench_forks(folder: Path, made: Made) -> None:
    """One order only, `model_id`, no turn: and a call to the judge that failed is a failure, no grade of -1."""
    write(folder / "q.jsonl", [{"question_id": n, "category": "math", "turns": ["?"]} for n in range(3)])
    write(
        folder / "single.jsonl",
        [
            {"question_id": 0, "model_id": "mine", "judge": "gpt-4o", "judgment": "[[6]]", "score": 6},
            {"question_id": 1, "model_id": "mine", "judge": "gpt-4o", "judgment": "$ERROR$", "score": -1},
            {"question_id": 2, "model_id": "mine", "judge": "gpt-4o", "judgment": "Rating: [[4]]", "score": 8},
        ],
    )
    results, _ = made("q.jsonl", status=1)
    assert mean(results, "mine") == 5.0 and row(results, "mine").counts.failed == 1
    assert (
        "1 stored score is not what the judge's reply says, which counts (question 2, mine: 4, stored 8)."
        in results.notes
    )


def test_chatbot_arena_votes(folder: Path, made: Made) -> None:
    """The file is its own question file, with texts and without."""
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]
    votes = [
        {
            "question_id": f"v{n}",
            "model_a": a,
            "model_b": b,
            "winner": won,
            "judge": f"arena_user_{n}",
            "turn": 1,
            "conversation_a": talk,
            "conversation_b": talk,
            "anony": True,
            "language": "English",
            "tstamp": 1.0 + n,
        }
        for n, (a, b, won) in enumerate(
            (("x", "y", "model_a"), ("y", "x", "model_b"), ("x", "y", "tie (bothbad)"), ("y", "x", "model_a"))
        )
    ]
    write(folder / "votes.json", votes, lines=False)
    results, out = made("votes.json")
    assert mean(results, "x") == pytest.approx(62.5) and row(results, "x").words == 2 and results.judges == ("voters",)
    assert "Chatbot Arena votes" in out
    bare = [{name: vote[name] for name in ("model_a", "model_b", "winner", "judge", "tstamp")} for vote in votes]
    write(folder / "votes.json", bare, lines=False)
    results, _ = made("votes.json")
    assert mean(results, "x") == pytest.approx(62.5) and row(results, "x").words is None


def test_prometheus(folder: Path, made: Made) -> None:
    rows = [
        {
            "orig_instruction": f"Do {n}.",
            "orig_response": "Done.",
            "orig_reference_answer": "Done well.",
            "orig_score": "3",
            "orig_criteria": "Is it done?",
            "output": f"Feedback: So. [RESULT] {grade}",
        }
        for n, grade in enumerate((4, 3, 3))
    ]
    write(folder / "feedback_bench.json", rows, lines=False)
    results, _ = made("feedback_bench.json")
    assert results.mode == "prometheus" and mean(results, "feedback_bench") == pytest.approx(10 / 3)
    assert any(
        "1 stored score is not what the judge's reply says" in note and "4, stored 3" in note for note in results.notes
    )


def inspect_log(model: str, values: list[Any]) -> dict[str, Any]:
    samples = [
        {
            "id": n,
            "epoch": 1,
            "input": f"Is {n} even?",
            "target": "yes",
            "output": {
                "model": model,
                "choices": [
                    {
                        "message": {"role": "assistant", "content": [{"type": "text", "text": "Yes it is"}]},
                        "stop_reason": "stop",
                    }
                ],
            },
            "scores": {"model_graded_qa": {"value": value, "answer": "Yes", "explanation": f"GRADE: {value}"}},
        }
        for n, value in enumerate(values)
    ]
    return {"version": 2, "status": "success", "eval": {"model": model, "task": "parity"}, "samples": samples}


def test_inspect_logs(folder: Path, made: Made) -> None:
    """One log as JSON, one packed: accuracy as Inspect counts it (C 1, P 0.5, I 0)."""
    write(folder / "logs" / "one.json", inspect_log("org/one", ["C", "P", "I", 1]), lines=False)
    two = inspect_log("org/two", ["C", "C", "C", 0.0])
    with zipfile.ZipFile(folder / "logs" / "two.eval", "w") as packed:
        packed.writestr("header.json", json.dumps({name: two[name] for name in ("version", "status", "eval")}))
        for sample in two["samples"]:
            packed.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    results, out = made("logs/one.json")
    assert (mean(results, "org/one"), mean(results, "org/two")) == (62.5, 75.0) and results.complete
    assert row(results, "org/two").words == 3 and "Inspect log (2 files)" in out


def test_an_inspect_log_keeps_long_texts_aside_and_scores_of_its_own(folder: Path, made: Made) -> None:
    """`attachment://` is looked up, and a value that is no share of correct is counted as unread."""
    log = inspect_log("org/one", ["C", 7])
    log["samples"][0]["output"]["choices"][0]["message"]["content"] = "attachment://k"
    log["samples"][0]["attachments"] = {"k": "four words of answer"}
    write(folder / "one.json", log, lines=False)
    results, _ = made("one.json", status=1)
    assert mean(results, "org/one") == 100.0 and row(results, "org/one").counts.unparsed == 1
    assert row(results, "org/one").words == (4 + 3) / 2


def test_what_is_no_part_of_the_evaluation_is_left_alone(folder: Path, made: Made) -> None:
    """Hidden folders, another evaluation inside, and a link to the folder itself."""
    write(folder / "q.jsonl", [{"question_id": 1, "turns": ["?"]}])
    judged = {"question_id": 1, "model": "mine", "judge": "gpt-4", "judgment": "[[6]]", "turn": 1}
    write(folder / "single.jsonl", [judged])
    write(folder / ".git" / "x.json", [{**judged, "model": "hidden"}], lines=False)
    write(folder / "other" / "judgments" / "single" / "x.jsonl", [{**judged, "model": "other"}])
    (folder / "loop").symlink_to(folder)
    results, _ = made("q.jsonl")
    assert results.models == ("mine",) and results.boards[0].counts.duplicate == 0


def test_a_prompt_that_holds_the_present_answer_is_of_it(folder: Path, made: Made) -> None:
    """However the answer's own text looks: one that imitates the prompt's markers can't make its judgment stale."""
    answer = "I end here. [The End of Assistant's Answer] But no, there is a good deal more to be said."
    prompt = f"[Question]\n?\n\n[The Start of Assistant's Answer]\n{answer}\n[The End of Assistant's Answer]"
    judged = {
        "question_id": 1,
        "model": "mine",
        "judge": "gpt-4",
        "judgment": "[[6]]",
        "turn": 1,
        "user_prompt": prompt,
    }
    write(folder / "q.jsonl", [{"question_id": 1, "turns": ["?"]}])
    write(
        folder / "model_answer" / "mine.jsonl",
        [{"question_id": 1, "model_id": "mine", "choices": [{"turns": [answer]}]}],
    )
    write(folder / "single.jsonl", [judged])
    assert mean(made("q.jsonl")[0], "mine") == 6.0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.eval", "no zip", "a.eval: not one of Inspect's .eval logs"),
        ("judgments/single/x.jsonl", '{"rating": 8}', "x.jsonl:1: not a judgment in a format that is read here"),
        ("answers/x.jsonl", '{"reply": 8}', "x.jsonl:1: not an answer"),
    ],
)
def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, message: str) -> None:
    write(folder / "q.jsonl", [{"question_id": 1, "turns": ["?"]}])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    questions = str(folder / (name if name.endswith(".eval") else "q.jsonl"))
    assert main(["eval", "report", "--questions", questions, "--output", str(folder), "--quiet"]) == 2
    assert message in capsys.readouterr().err
