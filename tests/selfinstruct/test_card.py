"""A finished run as a folder to publish."""

import json
from pathlib import Path

import pytest
import yaml
from rouge_score import rouge_scorer

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl
from camelid.models.offline.words import ADVICE
from selfinstruct.seeds import read_seeds


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `records.jsonl` and `card/`."""
    folder = tmp_path_factory.mktemp("made")
    questions = folder / "bench.jsonl"
    questions.write_text("".join(json.dumps({"text": f"How can I {goal}?"}) + "\n" for goal in ADVICE))
    records = str(folder / "records.jsonl")
    generate = ["selfinstruct", "generate", "--count", "150", "--output", records, "--quiet"]
    assert main([*generate, "--decontaminate", str(questions)]) == 0
    assert main(["selfinstruct", "card", records, "--output", str(folder / "card"), "--title", "A: test"]) == 0
    return folder


def test_the_datasets_library_opens_it(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    loaded = load_dataset(str(made / "card"), split="train", cache_dir=str(tmp_path))
    records = [record for _, record in read_jsonl(made / "records.jsonl")]
    assert len(loaded) == 150
    for row, record in zip(loaded, records, strict=True):
        near = {item["instruction"]: item["score"] for item in row["most_similar"]}
        assert near == record["most_similar"] and row["output"] == record["output"]
    alpaca = read_json(made / "card" / "alpaca_data.json")
    assert alpaca == [{name: record[name] for name in ("instruction", "input", "output")} for record in records]


def test_the_card_says_what_happened(made: Path) -> None:
    text = (made / "card" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["pretty_name"] == "A: test" and facts["size_categories"] == ["n<1K"] and facts["license"] == "other"
    ledger = read_json(made / "records.ledger.json")
    for counts in ledger["ledgers"]:
        assert f"{counts['read']:,} read, {counts['kept']:,} kept" in body
        for reason, count in counts["dropped"].items():
            assert f"| {reason} | {count:,} |" in body
    caught = sum(count for reason, count in ledger["ledgers"][-1]["dropped"].items() if "/bench.jsonl: " in reason)
    assert caught > 0 and f"/bench.jsonl | {caught} |" in body
    assert "No provider's terms apply" in body
    plots = {path.name for path in (made / "card" / "plots").iterdir()}
    for name in ("instruction_words", "input_words", "output_words", "similarity", "verbs"):
        assert f"](plots/{name}.png)" in body and {f"{name}.png", f"{name}.svg"} <= plots


def test_similarity_fields_are_alpacas(made: Path) -> None:
    """`most_similar` and `avg_similarity` as generate_instruction.py computes them, by rouge_score itself."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    before = [seed.instruction for seed in read_seeds()]
    for _, record in list(read_jsonl(made / "records.jsonl"))[:25]:
        scores = [scorer.score(record["instruction"], text)["rougeL"].fmeasure for text in before]
        assert record["avg_similarity"] == pytest.approx(sum(scores) / len(scores), abs=1e-12)
        assert list(record["most_similar"].values()) == sorted(scores, reverse=True)[:10]
        before.append(record["instruction"])


def test_the_teachers_terms_are_named(made: Path, tmp_path: Path) -> None:
    ledger = read_json(made / "records.ledger.json")
    (tmp_path / "r.jsonl").write_bytes((made / "records.jsonl").read_bytes())
    for model, words in (("gpt-4o-mini", "OpenAI's terms"), ("my-llama-3", "Llama licences"), ("qwen", "its licence")):
        ledger["asked"]["model"] = model
        ledger["spent"] = [{**ledger["spent"][0], "model": model, "cost_usd": 1.234}]
        (tmp_path / "r.ledger.json").write_text(json.dumps(ledger))
        assert main(["selfinstruct", "card", str(tmp_path / "r.jsonl"), "--output", str(tmp_path / "card")]) == 0
        text = (tmp_path / "card" / "README.md").read_text()
        assert words in text and "| cost | $1.23 |" in text


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.jsonl").write_text('{"instruction": "a"}\n')
    assert main(["selfinstruct", "card", str(tmp_path / "r.jsonl"), "--output", str(tmp_path / "card")]) == 2
    assert "r.ledger.json: no such file" in capsys.readouterr().err
