"""A model folder behind the LLM protocol: teacher, contestant or judge like any other."""

from pathlib import Path
from typing import Protocol

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request, Usage
from finetune.folders.open_folder import ChatTokenizer, folder_fingerprint, open_chat_tokenizer, open_weights
from finetune.generate.decode import Generated
from finetune.generate.native_engine import NativeEngine
from finetune.generate.sampling import Sampling
from finetune.llama.config import LlamaConfig

DEFAULT_NEW_TOKENS = 1024  # where the request leaves it open (FastChat's max_new_token for MT-bench)


class AnswerEngine(Protocol):
    """What runs the model."""

    async def answer(self, prompt: list[int], seed: int, sampling: Sampling) -> Generated:
        """Answer one prompt, together with whatever else it is asked."""
        ...


class LocalModel:
    """A LLaMA on this machine. Requests that are open at the same time are answered together.

    Args:
        name: see below.
        engine: what answers.
        words: how the model reads and writes text.
        context: tokens that prompt and answer share.

    Attributes:
        name: the folder and a hash of its weights, so that a journal never answers for other weights.
    """

    def __init__(self, name: str, engine: AnswerEngine, words: ChatTokenizer, context: int) -> None:
        self.name = name
        self._engine, self._words, self._context = engine, words, context

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
            from finetune.generate.vllm_engine import VllmEngine

            return LocalModel(name, VllmEngine(folder, context, words.end_ids), words, context)
        native = NativeEngine(open_weights(folder), words.tokenizer, words.end_ids)
        return LocalModel(name, native, words, context)

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer one request, together with whatever else is open."""
        stop: tuple[str, ...] = ()
        if request.extra.get("continue_final_message"):  # the user's next turn, as vLLM understands such a request
            if request.messages[-1] != Message("user", ""):
                return Failure("bad_request", "only an empty turn of the user can be continued")
            prompt, closing = self._words.encoder.encode_open_turn(request.messages[:-1])
            stop = tuple(closing.strip().split("\n")[:1]) if closing.strip() else ()
        else:
            prompt = self._words.encoder.encode_prompt(request.messages)
        if len(prompt) >= self._context:
            return Failure(
                "bad_request", f"the prompt has {len(prompt)} tokens, the model takes fewer than {self._context}"
            )
        answer = await self._engine.answer(prompt, _seed(request), _sampling(request, stop))
        usage = Usage(len(prompt), len(answer.ids))
        logprobs = tuple(self._by_text(step) for step in answer.logprobs)
        return Reply(answer.text.strip(), self.name, answer.finish_reason, usage, logprobs)

    def _by_text(self, logprobs: dict[int, float]) -> dict[str, float]:
        """Tokens as the text they stand for, likeliest first; of two with one text (halves of characters) the first."""
        found: dict[str, float] = {}
        for token, logprob in sorted(logprobs.items(), key=lambda item: -item[1]):
            found.setdefault(self._words.tokenizer.decode([token]), logprob)
        return found


def _seed(request: Request) -> int:
    """The request's own seed, or one that follows from its content."""
    return request.seed + request.sample if request.seed is not None else int(request.key("seed")[:12], 16)


def _sampling(request: Request, stop: tuple[str, ...]) -> Sampling:
    return Sampling(
        max_new_tokens=request.max_tokens or DEFAULT_NEW_TOKENS,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=(*request.stop, *stop),
        top_k=int(request.extra.get("top_k", 0)),
        repetition_penalty=float(request.extra.get("repetition_penalty", 1.0)),
        top_logprobs=int(request.extra.get("top_logprobs") or 0) if request.extra.get("logprobs") else None,
        min_p=float(request.extra.get("min_p", 0.0)),
        presence_penalty=float(request.extra.get("presence_penalty", 0.0)),
        frequency_penalty=float(request.extra.get("frequency_penalty", 0.0)),
    )
