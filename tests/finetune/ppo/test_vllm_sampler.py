"""Answers by a vLLM server outside, here a fake one: the run is the one that samples itself, and faults end it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camelid.errors import UserError
from finetune.ppo import vllm_sampler
from finetune.ppo.check_sampler import Probes, require_reloaded
from tests.finetune.ppo.fake_vllm import FakeVllm, Reply
from tests.finetune.ppo.world import recipe_of, write_world
from tests.finetune.runs import launch, metrics, run, tensors, variant


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_world(tmp_path_factory.mktemp("world"), uniform=False, prompts=16)


@pytest.fixture
def recipe(world: dict[str, Path], tmp_path: Path) -> dict[str, Any]:
    """Two iterations of RLOO, of two updates each, between two evaluations."""
    ours = recipe_of(world, tmp_path / "run", advantage="leave-one-out", answers=4, batch=16)
    ours["optim"] |= {"global_batch": 8, "updates": 4, "lr": 1e-2}
    ours["data"]["validation"] = 0.2
    return ours


def same_run(ours: dict[str, Any], truth: dict[str, Any]) -> None:
    for name, tensor in tensors(truth).items():
        assert float((tensors(ours)[name] - tensor).abs().max()) < 1e-5, name
    for mine, theirs in zip(metrics(ours), metrics(truth), strict=True):
        for name in ("loss", "grad_norm", "reward", "kl", "held_out_reward"):
            assert (name in mine) == (name in theirs)
            if name in theirs:
                assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5)


def test_the_run_is_that_of_the_policy_itself(recipe: dict[str, Any], world: dict[str, Path], tmp_path: Path) -> None:
    """Seeds and ids are the same, so the answers are; every request says all that the server would decide otherwise."""
    ours, elsewhere = variant(recipe, "outside"), tmp_path / "shm"
    elsewhere.mkdir()
    Path(ours["run"]["output"]).mkdir()
    (Path(ours["run"]["output"]) / "sampler").symlink_to(elsewhere)
    with FakeVllm(world["model"]) as server:
        ours["ppo"]["sampler"] = server.url
        assert run(recipe) == 0 and run(ours) == 0
    same_run(ours, recipe)
    reloads = [body for path, body in server.asked if path == "/collective_rpc"]
    folders = [body["kwargs"]["weights_path"] for body in reloads]
    assert len(set(folders)) == len(folders) == 4  # a new name each time: two iterations and two evaluations
    assert [folder.name for folder in elsewhere.iterdir()] == [Path(folders[-1]).name]  # and the old one is gone
    probes = [body for _, body in server.asked if "prompt_logprobs" in body]
    assert len(probes) == 4 * 13  # all prompts that are not held out; of many 32


@pytest.mark.slow
def test_an_adapter_is_merged_for_it(recipe: dict[str, Any], world: dict[str, Path]) -> None:
    recipe["adapter"] = {"kind": "lora", "rank": 4}
    ours = variant(recipe, "outside")
    with FakeVllm(world["model"]) as server:
        ours["ppo"]["sampler"] = server.url
        assert run(ours) == 0
    assert max(line["sampler_gap"] for line in metrics(ours) if "sampler_gap" in line) < 1e-5
    assert metrics(ours)[2]["kl"] > 0  # it has moved


@pytest.mark.slow
def test_two_processes(recipe: dict[str, Any], world: dict[str, Path]) -> None:
    """Weights of fsdp2 are put together for the server, and each process asks for its share of the answers."""
    assert run(recipe) == 0
    for sharding in ("none", "fsdp2"):
        ours = variant(recipe, f"outside-{sharding}", run__sharding=sharding)
        with FakeVllm(world["model"]) as server:
            ours["ppo"]["sampler"] = server.url
            launched = launch([ours], 2)
        assert launched.returncode == 0, launched.stderr[-3000:]
        same_run(ours, recipe)


def refused(recipe: dict[str, Any], server: FakeVllm, capsys: pytest.CaptureFixture[str]) -> str:
    """What a run says that it ends with, having learned nothing."""
    recipe["ppo"]["sampler"] = server.url
    with server:
        assert run(recipe) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and f"ppo.sampler = '{server.url}'" in said
    return said


def test_stale_weights_end_the_run(
    recipe: dict[str, Any], world: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that it has reloaded, and has not: known before it is asked for an answer. Another server goes on."""
    server = FakeVllm(world["model"], reloads=False)
    said = refused(recipe, server, capsys)
    assert "after a reload of its weights the sampler's log-probabilities are" in said
    assert [line["update"] for line in metrics(recipe)] == [1, 2]
    last = max(number for number, (path, _) in enumerate(server.asked) if path == "/reset_prefix_cache")
    assert all("prompt_logprobs" in body for _, body in server.asked[last + 1 :])
    with FakeVllm(world["model"]) as other:
        recipe["ppo"]["sampler"] = other.url
        assert run(recipe) == 0
    assert [line["update"] for line in metrics(recipe)] == [1, 2, 3, 4]


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_stale_weights_show_below_the_rounding(noise: float) -> None:
    """In bfloat16, where an iteration moves tokens by less than rounding does."""
    random = np.random.default_rng(0)
    before, move = random.normal(-2, 1, 16_000), random.normal(0, 0.002, 16_000)
    first, second = noise * random.normal(size=(2, 16_000))
    told = Probes(before, before + first)
    require_reloaded(Probes(before + move, before + move + second), told, "bf16", "the sampler")
    with pytest.raises(UserError, match="it still has the weights of before"):
        require_reloaded(Probes(before + move, before + second), told, "bf16", "the sampler")
    require_reloaded(Probes(before, before + second), told, "bf16", "the sampler")  # nothing was to move


@pytest.mark.parametrize("path", ["/collective_rpc", pytest.param("/v1/completions", marks=pytest.mark.slow)])
def test_a_hang_ends_the_run(
    path: str,
    recipe: dict[str, Any],
    world: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(vllm_sampler, "LIMIT", 1.0)
    assert "no reply within 1 s" in refused(recipe, FakeVllm(world["model"], hangs=path), capsys)


@pytest.mark.slow
def test_nobody_there(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    recipe["ppo"]["sampler"] = "http://127.0.0.1:9/v1"
    assert run(recipe) == 2
    assert "ppo.sampler = 'http://127.0.0.1:9/v1': " in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_without_development_endpoints(
    recipe: dict[str, Any], world: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(recipe, FakeVllm(world["model"], dev_mode=False), capsys)
    assert "HTTP 404" in said and "VLLM_SERVER_DEV_MODE=1" in said


def answers(change: Callable[[Reply, Reply], None]) -> Callable[[Reply, Reply], None]:
    """Spoils answers, but no probes."""

    def spoil(reply: Reply, body: Reply) -> None:
        if body["prompt_logprobs"] is None:
            change(reply["choices"][0], body)

    return spoil


def drop_logprobs(choice: Reply, body: Reply) -> None:
    choice["logprobs"] = None


def drop_ids(choice: Reply, body: Reply) -> None:
    del choice["token_ids"]


def encode_again(choice: Reply, body: Reply) -> None:
    choice["prompt_token_ids"] = [*body["prompt"], 1]


def drop_end(choice: Reply, body: Reply) -> None:
    if choice["finish_reason"] == "stop" and len(choice["token_ids"]) > 1:
        del choice["token_ids"][-1], choice["logprobs"]["token_logprobs"][-1]


def go_on(choice: Reply, body: Reply) -> None:
    choice["token_ids"] += choice["token_ids"][-1:]
    choice["logprobs"]["token_logprobs"] += [-1.0]


def other_vocabulary(choice: Reply, body: Reply) -> None:
    choice["token_ids"][0] = 10**6


def no_number(choice: Reply, body: Reply) -> None:
    choice["logprobs"]["token_logprobs"][0] = None


def drop_probes(reply: Reply, body: Reply) -> None:
    reply["choices"][0]["prompt_logprobs"] = None


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (answers(drop_logprobs), "an answer without a log-probability for each of its tokens"),
        pytest.param(answers(encode_again), "it read other tokens than it was sent", marks=pytest.mark.slow),
        pytest.param(answers(no_number), "an answer without a log-probability for each", marks=pytest.mark.slow),
        pytest.param(answers(drop_ids), "an answer without ids", marks=pytest.mark.slow),
        pytest.param(answers(other_vocabulary), "with ids that are none of the policy's", marks=pytest.mark.slow),
        pytest.param(answers(drop_end), "ends elsewhere than at its end token", marks=pytest.mark.slow),
        pytest.param(answers(go_on), "ends elsewhere than at its end token", marks=pytest.mark.slow),
        pytest.param(drop_probes, "does not say the log-probabilities of a prompt", marks=pytest.mark.slow),
        pytest.param(
            lambda reply, body: reply.clear(), "does not say the log-probabilities of a prompt", marks=pytest.mark.slow
        ),
    ],
)
def test_what_is_no_answer_ends_the_run(
    spoil: Callable[[Reply, Reply], None],
    what: str,
    recipe: dict[str, Any],
    world: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert what in refused(recipe, FakeVllm(world["model"], spoil=spoil), capsys)
    assert not (Path(recipe["run"]["output"]) / "rollouts.jsonl").read_text()


@pytest.mark.slow
def test_other_ids_than_its_log_probabilities_are_of(
    recipe: dict[str, Any], world: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The check of all samplers finds them."""

    def other_word(choice: Reply, body: Reply) -> None:
        if body["seed"] != 0 and choice["token_ids"][0] not in body["stop_token_ids"]:
            choice["token_ids"][0] = body["prompt"][1]

    server = FakeVllm(world["model"], spoil=answers(other_word))
    recipe["ppo"]["sampler"] = server.url
    with server:
        assert run(recipe) == 2
    assert "iteration 1: the sampler's log-probabilities are" in capsys.readouterr().err
