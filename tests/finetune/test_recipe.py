"""Recipes: every shipped one parses, and mistakes name the key and the fix."""

import dataclasses
import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

from camelid.config import to_tree
from camelid.errors import UserError
from finetune.layout import Layout, read_launch_file
from finetune.recipe import (
    KINDS,
    DpoRecipe,
    PreferenceOptimSection,
    Recipe,
    longest_sequence,
    micro_tokens,
    read_recipe,
)
from finetune.train import TRAINERS
from tests.finetune.preference.truth import write_preferences
from tests.finetune.runs import metrics, run

SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
FOLDERS = (".", "code", "llama2-chat", "toy")
SHIPPED = sorted(path for folder in FOLDERS for path in (RECIPES / folder).glob("*.yaml"))
# What `tokenizer` means for a toy: the template of the model that a recipe names, with its date.
CHAT_TEMPLATE = ROOT / "tests" / "conversations" / "tokens" / "chat_templates" / "llama-3.1.jinja"


def is_toy(path: Path) -> bool:
    """Whether a recipe is of a toy model, whose folder the page that names it makes."""
    return path.stem.startswith("smoke") or path.parent.name == "toy"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_parse(path: Path) -> None:
    assert micro_tokens(recipe := read_recipe(path)) % longest_sequence(recipe) == 0  # else packed ones fill it badly


def test_published_hyper_parameters() -> None:
    alpaca, vicuna = (read_recipe(RECIPES / f"{name}-7b.yaml") for name in ("alpaca", "vicuna"))
    for recipe in (alpaca, vicuna):
        optim = recipe.optim
        assert (optim.lr, optim.epochs, optim.global_batch) == (2e-5, 3, 128)
        assert (optim.warmup_ratio, optim.weight_decay, optim.schedule) == (0.03, 0, "cosine")
    assert (alpaca.data.max_length, alpaca.data.template) == (512, "alpaca")
    assert (vicuna.data.max_length, vicuna.data.template) == (2048, "vicuna_v1.1")


def test_published_numbers_of_preference_tuning() -> None:
    """LLaMA 2, section 3.2.2; the alignment handbook; Tulu 3."""
    for name in ("helpful", "safe"):
        reward = read_recipe(RECIPES / "llama2-chat" / f"reward-{name}-7b.yaml")
        optim = reward.optim
        assert (reward.kind, optim.lr, optim.final_lr, optim.epochs, optim.global_batch) == (
            "reward",
            1e-5,
            0.1,
            1,
            512,
        )
        assert (optim.warmup_ratio, optim.betas, optim.weight_decay) == (0.03, (0.9, 0.95), 0.1)
        assert isinstance(optim, PreferenceOptimSection) and (optim.least_warmup, optim.eps) == (5, 1e-5)
    zephyr, tulu = (read_recipe(RECIPES / f"{name}-dpo.yaml") for name in ("zephyr-7b", "tulu3-8b"))
    for recipe, loss, beta, schedule in ((zephyr, "sigmoid", 0.01, "cosine"), (tulu, "norm", 5.0, "linear")):
        assert isinstance(recipe, DpoRecipe) and (recipe.dpo.loss, recipe.dpo.beta) == (loss, beta)
        optim = recipe.optim
        assert (optim.lr, optim.schedule, optim.warmup_ratio, optim.global_batch) == (5e-7, schedule, 0.1, 128)


def leaves(kind: type) -> list[str]:
    """The fields that a recipe can set, by their full names; a list of sources is one of them."""
    found = []
    for name, hint in get_type_hints(kind).items():
        found += [f"{name}.{leaf}" for leaf in leaves(hint)] if dataclasses.is_dataclass(hint) else [name]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_at_most_44_fields(kind: str) -> None:
    names = [name for name in leaves(KINDS[kind]) if name != "kind"]  # it is no choice within a kind
    assert "data.train" in names and "optim.lr" in names
    assert len(names) <= 44, names


def test_the_kind_is_sft_unless_it_is_said(tmp_path: Path) -> None:
    smoke = RECIPES / "smoke.yaml"
    assert read_recipe(smoke).kind == "sft"
    assert read_recipe(smoke, ["kind=sft"]) == read_recipe(smoke)
    with pytest.raises(UserError, match=r"smoke\.yaml: kind = 'sfft' is unknown; did you mean 'sft'\?"):
        read_recipe(smoke, ["kind=sfft"])
    with pytest.raises(UserError, match=r"kind = \['sft'\] is unknown; did you mean 'sft'"):
        read_recipe(smoke, ["kind=[sft]"])
    with pytest.raises(UserError, match=r"data\.train\[0\]\.form = 'chats' is unknown; did you mean 'chat'\?"):
        read_recipe(smoke, ["data.train=[{path: a.jsonl, form: chats}]"])


def test_the_decays_of_the_moments_were_two_fields_once(tmp_path: Path) -> None:
    def betas(optim: dict[str, object], *overrides: str) -> tuple[float, ...]:
        tree = yaml.safe_load((RECIPES / "smoke.yaml").read_text())
        tree["optim"] = {"lr": 1e-3, **optim}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tree))
        return read_recipe(tmp_path / "recipe.yaml", overrides).optim.betas

    assert betas({}) == (0.9, 0.999)
    assert betas({"beta1": 0.8, "beta2": 0.95}) == betas({"betas": [0.8, 0.95]}) == (0.8, 0.95)
    assert betas({"beta2": 0.95}) == betas({}, "optim.beta2=0.95") == (0.9, 0.95)
    assert betas({"betas": [0.8, 0.95]}, "optim.beta1=0.7") == (0.7, 0.95)
    for wrong in ([0.9], [0.9, 1.0], [0.9, 0.95, 0.99]):
        with pytest.raises(UserError, match=r"optim\.betas = .* must be two numbers in \[0, 1\)"):
            betas({"betas": wrong})


def test_every_kind_has_a_trainer() -> None:
    assert TRAINERS.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        assert get_args(get_type_hints(kind)["kind"]) == (name,)


def plan_of(recipe: Recipe, layout: Layout, price: float | None) -> str:
    """What --plan prints."""
    from finetune.plan import plan_report
    from finetune.ppo.plan import ppo_plan_report

    return (
        ppo_plan_report(recipe, layout, "H100", price)
        if recipe.kind == "ppo"
        else plan_report(recipe, layout, "H100", price)
    )


def layout_of(recipe: Recipe) -> Layout:
    """How it is meant to be launched."""
    if recipe.adapter.kind == "qlora":
        return Layout()
    name = "eight-machines" if "70b" in recipe.model.path else "fsdp2"
    return read_launch_file(RECIPES / "launch" / f"{name}.yaml")


def write(tmp_path: Path, **changes: object) -> Path:
    tree = to_tree(read_recipe(RECIPES / "smoke.yaml"))
    for name, value in changes.items():
        section, _, key = name.partition("__")
        tree[section][key] = value
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_resolved_recipe_reads_back_equal(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path)) == read_recipe(RECIPES / "smoke.yaml")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optim__lrr": 1.0}, "unknown key 'optim.lrr'; did you mean 'lr'?"),
        ({"optim__lr": -1}, "optim.lr = -1.0: must be greater than 0"),
        ({"optim__lr": "fast"}, "optim.lr must be a number, found 'fast'"),
        ({"optim__schedule": "cosin"}, "optim.schedule = 'cosin' is unknown; did you mean 'cosine'?"),
        ({"optim__final_lr": 1.5}, "optim.final_lr = 1.5: must be in [0, 1]"),
        ({"optim__final_lr": 0.1, "optim__schedule": "constant"}, "optim.final_lr = 0.1: goes with optim.schedule"),
        ({"data__train": []}, "must list at least one file"),
        ({"data__packing": 1}, "data.packing must be true or false"),
        (
            {"optim__micro_batch": 1, "optim__micro_tokens": 2048},
            "optim.micro_batch is optim.micro_tokens now, in tokens",
        ),
        (
            {"optim__micro_tokens": 0},
            "optim.micro_tokens = 0: must hold the longest sequence: at least data.max_length",
        ),
        ({"optim__micro_tokens": 511}, "must hold the longest sequence: at least data.max_length = 512"),
        ({"adapter__also": ["lm_heads"]}, "adapter.also: 'lm_heads' can't be trained whole; did you mean 'lm_head'?"),
        ({"run__save_dtype": "fp64"}, "run.save_dtype = 'fp64' is unknown"),
    ],
)
def test_mistakes_name_key_and_fix(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError) as caught:
        read_recipe(write(tmp_path, **changes))
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_overrides() -> None:
    recipe = read_recipe(RECIPES / "smoke.yaml", ["optim.lr=1e-5", "data.train=[{path: a.jsonl, weight: 2}]"])
    assert recipe.optim.lr == 1e-5
    assert recipe.data.train[0].weight == 2.0
    with pytest.raises(UserError, match="must look like key=value"):
        read_recipe(RECIPES / "smoke.yaml", ["lr"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_recipes_say_what_the_plan_says(path: Path) -> None:
    """Memory and time in a recipe's head, for the layout named there."""
    said = re.search(
        r"^# By --plan \((.*?)\): ([\d.]+ GB) a GPU; .* takes? about ([\d.]+ [sh])", path.read_text(), re.M
    )
    assert said or is_toy(path)
    if said:
        launch = re.search(r"\d+ H100, (launch/[\w-]+\.yaml)", said[1])
        recipe = read_recipe(path)
        plan = plan_of(recipe, read_launch_file(RECIPES / launch[1]) if launch else Layout(), None)
        assert re.search(r"^memory +([\d.]+ GB)", plan, re.M)[1] == said[2]  # type: ignore[index]
        assert re.search(r"^time +([\d.]+ [sh])", plan, re.M)[1] == said[3]  # type: ignore[index]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_planned_and_run_two_steps(
    path: Path, toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything as shipped but for the size: a toy model with the template's control tokens, short sequences."""
    from conversations.formats.readers import read_conversations
    from conversations.tokens.infill import INFILL_TOKENS
    from conversations.tokens.template import get_template
    from finetune.folders import weights
    from finetune.folders.score_head import with_score
    from finetune.folders.tokenizer import train_tokenizer
    from finetune.llama.architectures import ARCHITECTURES
    from finetune.llama.config import LlamaConfig

    recipe = read_recipe(path)
    if not is_toy(path):
        plan = plan_of(recipe, layout_of(recipe), 2.0)
        assert "DOES NOT FIT" not in plan and "USD" in plan
    if recipe.adapter.kind == "qlora":
        pytest.importorskip("bitsandbytes")
    own = recipe.data.template == "tokenizer"
    template = get_template("llama-3" if own else recipe.data.template or "vicuna_v1.1")
    texts = [span.text for conversation in read_conversations(toy_data) for span in template.spans(conversation)]
    tokenizer = train_tokenizer(texts, 450, template)
    if own:
        tokenizer.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    if any(source.form == "infill" for source in recipe.data.train):
        tokenizer.add_special_tokens({"additional_special_tokens": list(INFILL_TOKENS[0].all)})
    # The published shape, what tells its family apart included, but small.
    sizes = LlamaConfig(len(tokenizer), 64, 128, 2, 4, 2, head_dim=16, max_position_embeddings=512)
    shape = dataclasses.replace(
        ARCHITECTURES.get(Path(recipe.model.path).name, sizes),
        **{name: getattr(sizes, name) for name in SIZES},
    )
    weights.save_model(weights.init_model(shape, seed=0).state_dict(), shape, tmp_path / "toy")
    tokenizer.save_pretrained(tmp_path / "toy")
    tree = to_tree(recipe)
    raw = tmp_path / "texts.jsonl"
    raw.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pairs = write_preferences(tmp_path / "pairs.jsonl", 24) if recipe.kind != "sft" else None
    if pairs and recipe.kind == "ppo":  # what an exact answer is
        pairs.write_text(pairs.read_text().replace('"meta": {}', '"meta": {"answer": "red"}'))
    for source in tree["data"]["train"]:
        data = pairs or (toy_data if source["form"] == "chat" else raw)
        source |= {"path": str(data), "weight": max(0.1, source["weight"])}
    tree["model"]["path"] = str(tmp_path / "toy")
    tree["data"]["max_length"], tree["run"]["output"] = 256, str(tmp_path / "run")
    tree["data"]["validation"] = 0.2 if tree["data"]["validation"] else 0.0
    tree["optim"] |= {"updates": 2, "global_batch": 4, "micro_tokens": 2 * (256 + 64)}  # answers of ppo: 8 of 8
    if recipe.kind == "ppo":
        config = with_score(shape)
        reward = weights.load_model(tmp_path / "toy", config=config, seed=0).state_dict()
        weights.save_model(reward, config, tmp_path / "reward")
        tokenizer.save_pretrained(tmp_path / "reward")
        rewards = {name: str(tmp_path / "reward") if "/" in of else of for name, of in tree["ppo"]["rewards"].items()}
        tree["optim"]["global_batch"] = 2 * recipe.ppo.answers
        tree["ppo"] |= {"rewards": rewards, "batch": 2 * recipe.ppo.answers, "max_new_tokens": 8}
    assert run(tree) == 0, capsys.readouterr().err
    assert [record["skipped"] for record in metrics(tree)] == [False, False]


def test_the_two_betas_of_older_recipes_are_read() -> None:
    smoke = RECIPES / "smoke.yaml"
    assert read_recipe(smoke, ["optim.beta1=0.8", "optim.beta2=0.9"]).optim.betas == (0.8, 0.9)
    assert read_recipe(smoke, ["optim.beta1=0.8"]).optim.betas == (0.8, 0.95)
    for wrong in ("[0.9]", "[0.9, 1.0]", "[0.9, 0.95, 0.99]"):
        with pytest.raises(UserError, match=r"optim\.betas = .* must be two numbers in \[0, 1\)"):
            read_recipe(smoke, [f"optim.betas={wrong}"])
    with pytest.raises(UserError, match=r"data\.thinking = 'keep' is unknown"):
        read_recipe(smoke, ["data.thinking=keep"])


@pytest.mark.parametrize("name", ["vicuna-7b", "zephyr-7b-dpo", "qwen3-8b-grpo"])
def test_the_micro_batch_of_older_recipes_is_read(name: str, tmp_path: Path) -> None:
    """In sequences, up to version 0.2: as many tokens as those may have."""
    tree = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    tree["optim"].pop("micro_tokens", None)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    longest = longest_sequence(read_recipe(path))
    assert longest == {"vicuna-7b": 2048, "zephyr-7b-dpo": 2048, "qwen3-8b-grpo": 1024 + 8 * 1024}[name]
    assert micro_tokens(read_recipe(path)) == longest
    for wrong in ("0", "-1", "1.5", "many"):
        with pytest.raises(UserError, match=r"recipe\.yaml: optim\.micro_batch = .*: must be at least 1 sequence"):
            read_recipe(path, [f"optim.micro_batch={wrong}"])
    assert read_recipe(path, ["optim.micro_batch=3"]).optim.micro_tokens == 3 * longest
    assert read_recipe(path, ["optim.micro_batch=3", "data.max_length=512"]).optim.micro_tokens == 3 * (
        longest - tree["data"]["max_length"] + 512
    )


def test_checkpoints_by_updates_or_by_time() -> None:
    run = read_recipe("recipes/smoke.yaml", ["run.checkpoint_every=20"]).run
    assert [done for done in range(1, 50) if run.checkpoint_due(done, 1e9)] == [20, 40]
    for given in ("run.checkpoint_every=1.5 min", "run.checkpoint_minutes=1.5"):  # the second as up to version 0.2
        run = read_recipe("recipes/smoke.yaml", [given]).run
        assert [run.checkpoint_due(200, seconds) for seconds in (0, 89.9, 90, 1e9)] == [False, False, True, True]
    for wrong in ("0", "-1", "0 min", "1 h", "min", "-1 min"):
        with pytest.raises(UserError, match=r"run\.checkpoint_every = .* must be a number of updates, or a time such"):
            read_recipe("recipes/smoke.yaml", [f"run.checkpoint_every={wrong}"])
