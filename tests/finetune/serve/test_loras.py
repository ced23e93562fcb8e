"""Adapters that share a base: each answers as it does when it is merged into weights of its own."""

import json
import random
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import peft
import pytest
import torch

from camelid.errors import UserError
from finetune.folders import weights
from finetune.folders.merge import load_adapted
from finetune.folders.open_folder import open_weights
from finetune.generate.chunk import Chunk
from finetune.generate.decode import Generated, PromptJob, generate
from finetune.generate.decoder import Decoder
from finetune.generate.low_rank import AdaptedModel
from finetune.generate.sampling import Sampling
from finetune.llama.model import Llama
from finetune.serve.engine import ServerLimits
from finetune.serve.open_adapter import open_served_adapter
from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import serving

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]},
    "rs": {"r": 2, "lora_alpha": 8, "use_rslora": True, "target_modules": ["down_proj", "o_proj"]},
    "dora": {"r": 3, "lora_alpha": 9, "use_dora": True, "target_modules": ["q_proj", "gate_proj"]},
    "patterns": {
        "r": 4, "lora_alpha": 8, "target_modules": ["k_proj", "up_proj"],
        "rank_pattern": {"k_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 24},
    },
}  # fmt: skip


def save_adapter(base: Path, folder: Path, seed: int, **config: Any) -> Path:
    """An adapter with random weights, none of them at their start of 0."""
    torch.manual_seed(seed)
    wrapped = peft.PeftModel(weights.load_model(base), peft.LoraConfig(**config))
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data += 0.15 * torch.randn_like(parameter)
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def adapters(lively_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("loras")
    return {
        name: save_adapter(lively_model, place / name, seed, **config)
        for seed, (name, config) in enumerate(KINDS.items())
    }


@pytest.fixture(scope="module")
def merged(lively_model: Path, adapters: dict[str, Path]) -> dict[str, Llama]:
    """The same by peft."""
    return {name: load_adapted(lively_model, path, open_weights) for name, path in adapters.items()}


def truth(model: Llama, served: ServedModel, jobs: list[PromptJob]) -> list[list[int]]:
    """Answers of that model alone."""
    prompts, seeds = [job.prompt for job in jobs], [job.seed for job in jobs]
    answers = generate(model, prompts, seeds, served.tokenizer, served.end_ids, jobs[0].sampling)
    return [answer.ids for answer in answers]


def test_adapters_in_one_batch_give_what_each_gives_alone(
    served: ServedModel, adapters: dict[str, Path], merged: dict[str, Llama]
) -> None:
    """Over 256 switches, with and without one, while prompts that begin alike are kept apart."""
    loras = {name: open_served_adapter(served, name, path).adapter for name, path in adapters.items()}
    rng, names = random.Random(3), [None, *loras]
    starts = [[rng.randrange(3, 400) for _ in range(rng.randint(1, 60))] for _ in range(4)]
    jobs, whose = [], []
    for seed in range(257):
        name = rng.choice([each for each in names if not whose or each != whose[-1]])
        prompt = rng.choice(starts) + [rng.randrange(3, 400) for _ in range(3)]
        jobs.append(PromptJob(prompt, seed, Sampling(8, temperature=0.9), adapter=loras[name] if name else None))
        whose.append(name)
    call = AdaptedModel(open_weights(served.folder))
    decoder = Decoder[PromptJob](served.model, served.tokenizer, served.end_ids, 16, 16 * 128, call, kept_tokens=3000)
    chunks: dict[int, list[Chunk]] = {job.seed: [] for job in jobs}
    coming = list(jobs)
    while coming or decoder.busy:
        decoder.add([coming.pop(0) for _ in range(min(len(coming), 2))])
        for job, chunk in decoder.step():
            chunks[job.seed].append(chunk)
    for name in names:
        own = [job for job, each in zip(jobs, whose, strict=True) if each == name]
        expected = truth(merged[name] if name else served.model, served, own)
        assert [Generated.from_chunks(chunks[job.seed]).ids for job in own] == expected, name


def test_memory_is_that_of_the_base_and_of_the_adapters(served: ServedModel, adapters: dict[str, Path]) -> None:
    for name, path in adapters.items():
        beside = open_served_adapter(served, name, path)
        assert beside.model is served.model and beside.tokenizer is served.tokenizer
        saved = peft.load_peft_weights(str(path), device="cpu")
        assert beside.adapter is not None
        assert beside.adapter.bytes == sum(tensor.nbytes for tensor in saved.values())


def test_the_model_names_the_adapter_and_adapters_come_and_go(
    served: ServedModel, adapters: dict[str, Path], merged: dict[str, Llama], tmp_path: Path
) -> None:
    first = open_served_adapter(served, "first", adapters["plain"])
    limits = ServerLimits(adapters=True)
    with serving([served, first], tmp_path, limits, lora_folder=adapters["plain"].parent) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)

        def says(name: str) -> str:
            return (
                client.completions.create(model=name, prompt=[5, 9, 40], temperature=0, max_tokens=12).choices[0].text
            )

        def expected(model: Llama) -> str:
            [ids] = truth(model, served, [PromptJob([5, 9, 40], 0, Sampling(12, temperature=0))])
            text: str = served.tokenizer.decode(ids, skip_special_tokens=True)
            return text

        def post(what: str, **body: str) -> Any:
            return httpx.post(f"{server.url}/{what}_lora_adapter", json=body)

        base = says("lively")
        assert says("first") == expected(merged["plain"]) != base
        assert post("load", lora_name="second", lora_path="dora").status_code == 200
        assert says("second") == expected(merged["dora"]) and says("lively") == base
        assert [model.id for model in client.models.list()] == ["lively", "first", "second"]
        assert post("load", lora_name="second", lora_path="rs").status_code == 400
        assert post("unload", lora_name="second").status_code == 200
        with pytest.raises(openai.NotFoundError):
            says("second")
        assert post("load", lora_name="second", lora_path="rs").status_code == 200  # another one under the name
        assert says("second") == expected(merged["rs"])
        for refused in ({"lora_path": "../x"}, {"lora_path": "/etc"}, {"lora_path": "none"}):
            reply = post("load", lora_name="x", **refused)
            assert reply.status_code == 400 and reply.json()["error"]["param"] == "lora_path"
        assert post("unload", lora_name="lively").status_code == 404
        metrics = httpx.get(server.address + "/metrics").text
        assert 'camelid_requests_total{model="first"} 1' in metrics
        assert 'camelid_cache_bytes{model="first"}' not in metrics
    with serving([served], tmp_path) as server:
        assert httpx.post(f"{server.url}/load_lora_adapter", json={}).status_code == 404


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}, "modules_to_save"),
        ({"r": 2, "target_modules": ["lm_head"]}, "lm_head"),
        ({"r": 2, "target_modules": ["embed_tokens"]}, "embed_tokens"),
    ],
)
def test_what_only_merging_can_add_is_refused(
    served: ServedModel, lively_model: Path, tmp_path: Path, config: dict[str, Any], why: str
) -> None:
    save_adapter(lively_model, tmp_path / "adapter", 0, **config)
    with pytest.raises(UserError, match=f"{why}.*weights merge"):
        open_served_adapter(served, "x", tmp_path / "adapter")


def test_what_does_not_fit_is_refused(served: ServedModel, adapters: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"adapter_config\.json"):
        open_served_adapter(served, "x", tmp_path)
    config = json.loads((adapters["plain"] / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    state = peft.load_peft_weights(str(adapters["plain"]), device="cpu")
    other = {key.replace("layers.1", "layers.7"): value for key, value in state.items()}
    import safetensors.torch

    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(other, tmp_path / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"does not fit the base.*layers\.7"):
        open_served_adapter(served, "x", tmp_path)
