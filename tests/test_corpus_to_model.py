"""From raw files of seven sources to a trained model: `corpus build`, its mixture, `finetune` with `form: text`."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from camelid.app.cli import main
from camelid.files.write import write_jsonl
from conversations.tokens.template import get_template
from corpus.mix import mix_sources, write_mixture
from finetune.data.token_data import load_tokens
from finetune.folders import weights
from finetune.folders.tokenizer import train_tokenizer
from finetune.llama.config import LlamaConfig
from finetune.recipe import read_recipe
from tests.corpus import conftest as corpus_tests
from tests.corpus.conftest import ledger, texts
from tests.corpus.test_latex import FAULTS
from tests.corpus.test_mix import EPOCHS, NAMES, SHARES, folders
from tests.corpus.test_stack_exchange import answer, question, write_site
from tests.finetune.runs import metrics

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
gensim_wikis, real_data = corpus_tests.gensim_wikis, corpus_tests.real_data


def toy_model(folder: Path, some: list[str]) -> Path:
    """A two-layer model folder with a tokenizer of 600 tokens."""
    tokenizer = train_tokenizer(some, 600, get_template("vicuna_v1.1"))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    weights.save_model(weights.init_model(config, seed=0).state_dict(), config, folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_shares_of_the_documents_that_are_drawn(tmp_path: Path) -> None:
    """200,000 documents of equal length, drawn as the weights of the mixture say: LLaMA's shares within 0.3 points."""
    model = toy_model(tmp_path / "model", ["a few words of text"] * 9)
    drawn = 200_000
    counts = [round(drawn * share / 100 / epochs) for share, epochs in zip(SHARES, EPOCHS, strict=True)]
    sources = folders(tmp_path / "corpus", tuple(map(float, counts)))
    for source, count in zip(sources, counts, strict=True):
        write_jsonl(source / "data" / "0.jsonl", ({"text": "a few words"} for _ in range(count)))
    base = tmp_path / "base.yaml"
    sections = {
        "model": {"path": str(model)},
        "data": {"max_length": 16},
        "optim": {"lr": 1e-3},
        "run": {"output": "x"},
    }
    base.write_text(yaml.safe_dump(sections))
    write_mixture(tmp_path / "mixed.yaml", mix_sources(sources, SHARES, drawn), base)
    recipe = read_recipe(tmp_path / "mixed.yaml")
    from conversations.tokens.open_tokenizer import open_tokenizer

    data = load_tokens(tmp_path / "cache", recipe.data, open_tokenizer(model), seed=0)
    found = np.bincount(data.sources_of(data.training), minlength=len(NAMES))
    assert abs(found.sum() - drawn) < 1000
    assert np.abs(100 * found / found.sum() - SHARES).max() < 0.3


@pytest.mark.skipif(importlib.util.find_spec("resiliparse") is None, reason="resiliparse is not installed")
def test_the_seven_sources_whole(gensim_wikis: Path, real_data: Path, tmp_path: Path) -> None:
    raw, output = tmp_path / "raw", tmp_path / "corpus"
    for source in ("commoncrawl", "c4"):
        shutil.copytree(real_data / "corpus", raw / source)
    files = subprocess.run(
        ["git", "ls-files", "camelid", "corpus"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in ["LICENSE", *files.stdout.split()]:
        (raw / "github" / "camelid" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, raw / "github" / "camelid" / name)
    shutil.copytree(gensim_wikis, raw / "wikipedia", ignore=shutil.ignore_patterns("*.whl"))
    assert (
        main(["corpus", "read", "wikipedia", str(raw / "wikipedia"), "--output", str(tmp_path / "wiki"), "--quiet"])
        == 0
    )
    articles = texts(tmp_path / "wiki")
    (raw / "books").mkdir()
    for number in range(8):  # articles one after the other, as a book; the last is half of the first
        book = "\n\n".join(articles[:5]) if number == 7 else "\n\n".join(articles[10 * number : 10 * number + 10])
        (raw / "books" / f"{number}.txt").write_text(book)
    for number, (paper, _) in enumerate(FAULTS.values()):
        (raw / "arxiv" / f"{number:02d}").mkdir(parents=True)
        (raw / "arxiv" / f"{number:02d}" / "main.tex").write_text(paper)
    write_site(raw / "stackexchange" / "cooking", question(1), answer(2, 1, 9), answer(3, 1, 10), question(4))

    recipe = str(ROOT / "recipes" / "corpus" / "llama1.yaml")
    words = ["corpus", "build", recipe, "tokens=2e6", "--raw", str(raw), "--output", str(output), "--quiet"]
    assert main(words) == 0
    for name in ("commoncrawl", "c4", "github", "wikipedia", "books", "arxiv", "stackexchange"):
        documents = ledger(output / name)
        assert documents.read == documents.kept + documents.dropped.total() and documents.kept > 0, name
    assert ledger(output / "books").dropped == {"more than 90% of it in another": 1}
    assert ledger(output / "arxiv").kept == len(FAULTS)
    assert ledger(output / "wikipedia").read == 206 + 3 + 5

    model = toy_model(tmp_path / "model", articles[:20])
    tree = yaml.safe_load((output / "mixture.yaml").read_text())
    for source in tree["data"]["train"]:  # a run of a minute
        source["weight"] = min(source["weight"], 0.5)
    tree |= {
        "model": {"path": str(model)},
        "data": {**tree["data"], "max_length": 128},
        "optim": {"lr": 3e-3, "global_batch": 16, "micro_tokens": 2048, "updates": 60},
        "run": {"output": str(tmp_path / "run"), "precision": "fp32"},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tree))
    assert main(["finetune", str(tmp_path / "recipe.yaml")]) == 0
    losses = [line["loss"] for line in metrics(tree) if "loss" in line]
    assert losses[-1] < losses[0] - 1.0
