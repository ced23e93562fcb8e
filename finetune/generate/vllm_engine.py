"""Answers by vLLM, where it is installed: many times the native engine's throughput on a GPU.

Written against vLLM 0.33 (`vllm/sampling_params.py`, `vllm/entrypoints/llm.py`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from finetune.generate.decode import Generated, Sampling

BATCH = 4096  # vLLM schedules for itself: the more it knows of, the better


def open_vllm(
    folder: Path, context: int, end_ids: list[int]
) -> Callable[[list[list[int]], list[int], Sampling], list[Generated]]:
    """Load a model folder into vLLM.

    Args:
        folder: Hugging Face layout.
        context: tokens that prompt and answer share.
        end_ids: tokens that end an answer.

    Raises:
        UserError: vLLM is not installed.
    """
    try:
        from vllm import LLM, SamplingParams
    except ImportError:
        raise UserError("--engine vllm: vLLM is not installed; `pip install vllm`, or leave --engine out") from None
    model = LLM(model=str(folder), max_model_len=context)

    def answer(prompts: list[list[int]], seeds: list[int], sampling: Sampling) -> list[Generated]:
        parameters = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                repetition_penalty=sampling.repetition_penalty,
                seed=seed,
                stop=list(sampling.stop),
                stop_token_ids=end_ids,
                max_tokens=min(sampling.max_new_tokens, context - len(prompt)),
                logprobs=sampling.top_logprobs,
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
        outputs = model.generate(inputs, parameters, use_tqdm=False)
        return [_generated(output.outputs[0], end_ids) for output in outputs]

    return answer


def _generated(output: Any, end_ids: list[int]) -> Generated:
    """vLLM counts the token that ended an answer to it; we don't."""
    ids = list(output.token_ids)
    if ids and ids[-1] in end_ids:
        ids.pop()
    logprobs = [{token: float(entry.logprob) for token, entry in step.items()} for step in output.logprobs or []]
    return Generated(ids, output.text, "length" if output.finish_reason == "length" else "stop", logprobs[: len(ids)])
