"""A model folder behind the LLM protocol: teacher, contestant or judge like any other."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from camelid.models.llm import Failure, Reply, Request, Usage
from finetune.folders.open_folder import ChatTokenizer, folder_fingerprint, open_chat_tokenizer, open_weights
from finetune.generate.decode import Generated, Sampling, generate
from finetune.llama.config import LlamaConfig

NATIVE_BATCH = 32  # most requests answered together
DEFAULT_NEW_TOKENS = 1024  # where the request leaves it open (FastChat's max_new_token for MT-bench)

# Prompts, a seed for each, how to sample; one answer for each prompt.
GenerateFunction = Callable[[list[list[int]], list[int], Sampling], list[Generated]]


class LocalModel:
    """A LLaMA on this machine. Requests that wait at the same time are answered together.

    Args:
        name: see below.
        engine: what answers.
        batch: most requests that `engine` gets together.
        words: how the model reads and writes text.
        context: tokens that prompt and answer share.

    Attributes:
        name: the folder and a hash of its weights, so that a journal never answers for other weights.
    """

    def __init__(self, name: str, engine: GenerateFunction, batch: int, words: ChatTokenizer, context: int) -> None:
        self.name = name
        self._engine, self._batch, self._context = engine, batch, context
        self._words = words
        self._waiting: list[tuple[Request, asyncio.Future[Reply | Failure]]] = []
        self._worker: asyncio.Task[None] | None = None

    @staticmethod
    def open(folder: str | Path, engine: str = "native") -> "LocalModel":
        """Load a model folder; its tokenizer carries the template as its chat template.

        Args:
            folder: Hugging Face layout.
            engine: `native`, or `vllm` if that package is installed.

        Raises:
            UserError: no weights, no tokenizer, a chat template that is not known, or no vLLM.
        """
        folder = Path(folder)
        words = open_chat_tokenizer(folder)
        name = f"{folder}@{folder_fingerprint([folder])}"
        context = LlamaConfig.from_folder(folder).context
        if engine == "vllm":
            from finetune.generate.vllm_engine import BATCH, open_vllm

            answer = open_vllm(folder, context, words.end_ids)
            return LocalModel(name, answer, BATCH, words, context)
        native = open_native(folder, words)
        return LocalModel(name, native, NATIVE_BATCH, words, context)

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
            batch = [item for item in self._waiting if _sampling(item[0]) == settings][: self._batch]
            self._waiting = [item for item in self._waiting if item not in batch]
            results = await asyncio.to_thread(self._answer, [request for request, _ in batch], settings)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def _answer(self, requests: list[Request], sampling: Sampling) -> list[Reply | Failure]:
        prompts = [self._words.encoder.encode_prompt(request.messages) for request in requests]
        fitting = [index for index, prompt in enumerate(prompts) if len(prompt) < self._context]
        results: list[Reply | Failure] = [
            Failure("bad_request", f"the prompt has {len(prompt)} tokens, the model takes fewer than {self._context}")
            for prompt in prompts
        ]
        if fitting:
            seeds = [_seed(requests[index]) for index in fitting]
            answers = self._engine([prompts[index] for index in fitting], seeds, sampling)
            for index, answer in zip(fitting, answers, strict=True):
                usage = Usage(len(prompts[index]), len(answer.ids))
                logprobs = tuple(self._by_text(step) for step in answer.logprobs)
                results[index] = Reply(answer.text.strip(), self.name, answer.finish_reason, usage, logprobs)
        return results

    def _by_text(self, logprobs: dict[int, float]) -> dict[str, float]:
        """Tokens as the text they stand for, likeliest first; of two with one text (halves of characters) the first."""
        found: dict[str, float] = {}
        for token, logprob in sorted(logprobs.items(), key=lambda item: -item[1]):
            found.setdefault(self._words.tokenizer.decode([token]), logprob)
        return found


def open_native(folder: Path, words: ChatTokenizer) -> GenerateFunction:
    """Our own model; see `open_weights`."""
    model = open_weights(folder)

    def answer(prompts: list[list[int]], seeds: list[int], sampling: Sampling) -> list[Generated]:
        return generate(model, prompts, seeds, words.tokenizer, words.end_ids, sampling)

    return answer


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
        top_logprobs=int(request.extra.get("top_logprobs") or 0) if request.extra.get("logprobs") else None,
    )
