"""A model folder behind the LLM protocol: teacher, contestant or judge like any other."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from camelid.errors import UserError
from camelid.jsonl import file_hash
from camelid.llm import Failure, Reply, Request, Usage
from conversations.template import from_tokenizer
from conversations.tokenize import Encoder
from finetune.llama import weights
from finetune.llama.generate import Sampling, generate
from finetune.llama.model import Llama

BATCH = 32  # most requests answered together
DEFAULT_NEW_TOKENS = 1024  # where the request leaves it open (FastChat's max_new_token for MT-bench)


class LocalModel:
    """A LLaMA on this machine. Requests that wait at the same time are answered together.

    Attributes:
        name: the folder and a hash of its weights, so that a journal never answers for other weights.
    """

    def __init__(self, name: str, model: Llama, encoder: Encoder, tokenizer: Any) -> None:
        self.name = name
        self._model, self._encoder, self._tokenizer = model, encoder, tokenizer
        self._end_ids = [tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(encoder.template.stop))]
        self._waiting: list[tuple[Request, asyncio.Future[Reply | Failure]]] = []
        self._worker: asyncio.Task[None] | None = None

    @staticmethod
    def open(folder: str | Path) -> "LocalModel":
        """Load a model folder; its tokenizer carries the template as its chat template.

        Raises:
            UserError: no weights, no tokenizer, or a chat template that is not known.
        """
        folder = Path(folder)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: no tokenizer could be loaded ({str(error).splitlines()[0]})") from None
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        model = weights.load(folder, dtype=dtype, device=device).eval()
        digests = "".join(file_hash(path) for path in sorted(folder.glob("*.safetensors")))
        name = f"{folder}@{hashlib.sha256(digests.encode()).hexdigest()[:12]}"
        return LocalModel(name, model, Encoder(from_tokenizer(tokenizer), tokenizer), tokenizer)

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer one request, together with whatever else is waiting."""
        future: asyncio.Future[Reply | Failure] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        await asyncio.sleep(0)  # let requests of the same moment gather
        while self._waiting:
            settings = _sampling(self._waiting[0][0])
            batch = [item for item in self._waiting if _sampling(item[0]) == settings][:BATCH]
            self._waiting = [item for item in self._waiting if item not in batch]
            results = await asyncio.to_thread(self._answer, [request for request, _ in batch], settings)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def _answer(self, requests: list[Request], sampling: Sampling) -> list[Reply | Failure]:
        prompts = [self._encoder.encode_prompt(request.messages) for request in requests]
        room = self._model.config.context
        fitting = [index for index, prompt in enumerate(prompts) if len(prompt) < room]
        results: list[Reply | Failure] = [
            Failure("bad_request", f"the prompt has {len(prompt)} tokens, the model takes fewer than {room}")
            for prompt in prompts
        ]
        if fitting:
            answers = generate(
                self._model,
                [prompts[index] for index in fitting],
                [_seed(requests[index]) for index in fitting],
                self._tokenizer,
                self._end_ids,
                sampling,
            )
            for index, answer in zip(fitting, answers, strict=True):
                usage = Usage(len(prompts[index]), len(answer.ids))
                results[index] = Reply(answer.text.strip(), self.name, answer.finish_reason, usage)
        return results


def _seed(request: Request) -> int:
    """The request's own seed, or one that follows from its content."""
    return request.seed + request.sample if request.seed is not None else int(request.key("seed")[:12], 16)


def _sampling(request: Request) -> Sampling:
    return Sampling(
        max_new_tokens=request.max_tokens or DEFAULT_NEW_TOKENS,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=request.stop,
        top_k=int(request.extra.get("top_k", 0)),
        repetition_penalty=float(request.extra.get("repetition_penalty", 1.0)),
    )
