"""Who writes the answers where a vLLM server outside does: before each iteration it reads the policy's weights anew.

Written against vLLM's `entrypoints/openai/completion/protocol.py` and its development endpoints (`/collective_rpc` with
the worker's `reload_weights`, `/reset_prefix_cache`; docs/features/sleep_mode.md), as they stood in November 2026.
"""

import asyncio
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camelid.errors import UserError
from camelid.models.protocol import connect, connection_failure
from camelid.models.server_error import ServerError, error_in
from finetune.engine.adapter import save_adapter
from finetune.engine.results import full_state
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.folders.merge import merge_adapter
from finetune.objectives.advantages import Doubles
from finetune.ppo.check_sampler import Probes, require_reloaded
from finetune.ppo.measure import measure_log_probs
from finetune.ppo.prompts import PpoPrompt
from finetune.ppo.rollouts import SampledText, rollout_data
from finetune.recipe import PpoRecipe

FOLDER = "sampler"  # in the run folder, where the server reads the weights
LIMIT = 600.0  # seconds for any one reply, as of `camelid.models.protocol`
AT_ONCE = 256  # requests in flight
PROBES = 32  # prompts whose log-probabilities are compared after each reload


class VllmSampler:
    """Samples at temperature 1 from the whole vocabulary of a server that holds the policy's weights.

    Args:
        worker: the policy.
        recipe: of the run; `ppo.sampler` is the server's address.
        tokenizer: decodes the answers.
        end_ids: tokens that end an answer.
        prompts: of the run, the first of which are the probes.
    """

    def __init__(
        self, worker: Worker, recipe: PpoRecipe, tokenizer: Any, end_ids: Sequence[int], prompts: Sequence[PpoPrompt]
    ) -> None:
        assert recipe.ppo.sampler is not None
        self._worker, self._recipe, self.tokenizer, self._end_ids = worker, recipe, tokenizer, list(end_ids)
        self._address = recipe.ppo.sampler
        self._folder = Path(recipe.run.output).resolve() / FOLDER
        self._probes = [list(prompt.ids) for prompt in prompts if len(prompt.ids) > 1][:PROBES]
        self._before: Probes | None = None  # on the main process, of the reload before

    def refresh(self) -> None:
        """Have the server read the policy's weights, and see whether it has; every process must call it.

        Raises:
            UserError: the server failed or took too long, or what it says of the probes is not what the policy says.
        """
        state, ours = full_state(self._worker), self._measure()
        reason = None
        if self._worker.accelerator.is_main_process:
            try:
                self._reload(self._save(state))
                now = Probes(ours, self._ask_probes())
                require_reloaded(now, self._before, self._recipe.run.precision, f"ppo.sampler = {self._address!r}")
                self._before = now
            except UserError as error:  # the others must hear of it, or they would wait for ever
                reason = str(error)
        self._worker.patience.wait(reason)

    def write(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[SampledText]:
        """An answer to each prompt, with a seed of its own.

        Raises:
            UserError: the server failed or took too long, or its reply is not an answer to the very ids it was sent.
        """
        most, context = self._recipe.ppo.max_new_tokens, self._worker.unwrapped.config.context
        rooms = [min(most, context - len(prompt)) for prompt in prompts]
        bodies = [
            # All that generation_config.json would decide otherwise; and no end but ours (`ignore_eos`).
            {
                "prompt": list(prompt), "max_tokens": room, "seed": seed, "temperature": 1.0, "top_p": 1.0, "top_k": 0,
                "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
                "ignore_eos": True, "stop_token_ids": self._end_ids, "logprobs": 0, "return_token_ids": True,
            }
            for prompt, seed, room in zip(prompts, seeds, rooms, strict=True)
        ]  # fmt: skip
        replies = self._ask("/completions", bodies)
        return [
            self._sampled_text(_choice(reply), prompt, room)
            for reply, prompt, room in zip(replies, prompts, rooms, strict=True)
        ]

    def _measure(self) -> Doubles:
        """What the policy says of each token of the probes but their first."""
        first, rest = [ids[:1] for ids in self._probes], [ids[1:] for ids in self._probes]
        return measure_log_probs(self._worker, rollout_data(first, rest, max(map(len, self._probes))))

    def _ask_probes(self) -> Doubles:
        """What the server says of the same tokens."""
        bodies = [{"prompt": ids, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0} for ids in self._probes]
        found = []
        for ids, reply in zip(self._probes, self._ask("/completions", bodies), strict=True):
            steps = _choice(reply).get("prompt_logprobs") or ()
            try:
                found += [float(step[str(token)]["logprob"]) for token, step in zip(ids, steps, strict=True) if step]
            except (TypeError, ValueError, KeyError):
                raise self._refusal("it does not say the log-probabilities of a prompt (`prompt_logprobs`)") from None
        return np.array(found)

    def _save(self, state: Mapping[str, Tensor]) -> Path:
        """Write the whole policy into a folder of a new name, for vLLM has been seen to go on with what it had read of
        the old one (its issue 32718)."""
        recipe, folder = self._recipe, self._folder / f"policy-{time.time_ns()}"
        for old in self._folder.glob("*"):  # which may itself be a link
            shutil.rmtree(old)
        if recipe.adapter.kind == "none":
            dtype = torch.float32 if recipe.run.precision == "fp32" else torch.bfloat16
            weights.save_model(state, self._worker.unwrapped.config, folder, dtype=dtype)
        else:
            adapter = self._folder / "adapter"
            save_adapter(self._worker.accelerator.unwrap_model(self._worker.model), dict(state), adapter)
            merge_adapter(recipe.model.path, adapter, folder)
        return folder

    def _reload(self, folder: Path) -> None:
        root = self._address.rstrip("/").removesuffix("/v1")
        order = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}, "timeout": LIMIT}
        self._ask(f"{root}/collective_rpc", [order])
        self._ask(f"{root}/reset_prefix_cache", [{}])  # keys and values of the weights before

    def _ask(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What the server replies to each.

        Raises:
            UserError: it can't be reached, refuses one, or does not reply in time.
        """
        import openai

        try:
            replies = asyncio.run(self._ask_all(path, bodies))
            refused = next((error for error in map(error_in, replies) if error is not None), None)
        except openai.APIConnectionError as error:
            raise self._refusal(connection_failure(error, self._address, LIMIT).detail) from None
        except openai.APIStatusError as error:
            refused = ServerError.read(error.status_code, error.body, error.response.headers)
        except (openai.APIError, ValueError, TypeError) as error:
            raise self._refusal(f"{path}: not a reply of vLLM's: {error}") from None
        if refused is None:
            return replies
        hint = "; start it with VLLM_SERVER_DEV_MODE=1" if refused.status == 404 and path.startswith("http") else ""
        raise self._refusal(f"{path}: HTTP {refused.status}: {refused.message}{hint}")

    async def _ask_all(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        gate = asyncio.Semaphore(AT_ONCE)
        async with connect("", self._address, LIMIT) as client:

            async def ask(body: Mapping[str, Any]) -> Any:
                async with gate:
                    return await client.post(path, body=body, cast_to=object)

            return await asyncio.gather(*map(ask, bodies))

    def _sampled_text(self, choice: Mapping[str, Any], prompt: Sequence[int], room: int) -> SampledText:
        """An answer with its end token.

        Raises:
            UserError: it is not an answer to these ids, or not complete.
        """
        ids, reason = choice.get("token_ids"), choice.get("finish_reason")
        log_probs = (choice.get("logprobs") or {}).get("token_logprobs")
        vocabulary = self._worker.unwrapped.config.vocab_size
        if choice.get("prompt_token_ids") != list(prompt):
            raise self._refusal("it read other tokens than it was sent (`prompt_token_ids`)")
        if not ids or any(not isinstance(token, int) or not 0 <= token < vocabulary for token in ids):
            raise self._refusal("an answer without ids, or with ids that are none of the policy's (`token_ids`)")
        if log_probs is None or len(log_probs) != len(ids) or not all(map(_is_log_prob, log_probs)):
            raise self._refusal("an answer without a log-probability for each of its tokens (`token_logprobs`)")
        finished = ids[-1] in self._end_ids
        if any(token in self._end_ids for token in ids[:-1]) or not (finished or len(ids) == room):
            raise self._refusal(f"an answer that ends elsewhere than at its end token or room (`{reason}`)")
        text = self.tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=True).strip()
        return SampledText(tuple(ids), text, finished, tuple(map(float, log_probs)))

    def _refusal(self, what: str) -> UserError:
        return UserError(f"ppo.sampler = {self._address!r}: {what}; the same command goes on from the last checkpoint")


def _choice(reply: Any) -> Mapping[str, Any]:
    """The one answer of a completion; of anything else an empty one, which is refused for what it lacks."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    return choices[0] if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict) else {}


def _is_log_prob(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
