"""A server that speaks as vLLM does, as far as a run of PPO asks it, and misbehaves on request.

Fields of requests and replies are those of vLLM's `entrypoints/openai/completion/protocol.py` (`CompletionRequest`,
`CompletionResponse`), with the token that ended an answer among its ids; `/collective_rpc` and `/reset_prefix_cache`
are those of a server with VLLM_SERVER_DEV_MODE=1. Its answers are Camelid's decoder's, one request at a time; what it
says of prompts is plain transformers'.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune.folders import weights
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling

# Of CompletionRequest, those that are understood here, by what they default to: vLLM takes what a request leaves out of
# the sampling from the folder's generation_config.json, as this one pretends to.
DEFAULTS: dict[str, Any] = {
    "prompt": None, "max_tokens": 16, "seed": None, "temperature": 0.6, "top_p": 0.9, "top_k": 50, "min_p": 0.0,
    "repetition_penalty": 1.1, "presence_penalty": 0.0, "frequency_penalty": 0.0, "ignore_eos": False,
    "stop_token_ids": [], "logprobs": None, "prompt_logprobs": None, "return_token_ids": None,
}  # fmt: skip
Reply = dict[str, Any]


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024  # connections that wait to be taken
    daemon_threads = True

    def handle_error(self, request: Any, address: Any) -> None:
        """Who hung up is gone."""


class FakeVllm:
    """The server as a context manager.

    Args:
        folder: of the model that it starts with.
        spoil: changes a completion before it is sent; told the completion and the request.
        reloads: whether it takes over new weights when it is told to.
        dev_mode: whether it was started with VLLM_SERVER_DEV_MODE=1.
        hangs: the path that never gets a reply.

    Attributes:
        asked: (path, body) of every request, in order.
    """

    def __init__(
        self,
        folder: Path,
        spoil: Callable[[Reply, Reply], None] = lambda reply, body: None,
        reloads: bool = True,
        dev_mode: bool = True,
        hangs: str = "",
    ) -> None:
        self.asked: list[tuple[str, Reply]] = []
        self.spoil, self.reloads, self.dev_mode, self.hangs = spoil, reloads, dev_mode, hangs
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._cached = True  # a prefix of the weights before, which would be gone on from
        self._lock, self._over = threading.Lock(), threading.Event()
        self._load(folder)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeVllm":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _load(self, folder: Path) -> None:
        self._model = weights.load_model(folder, torch.float32).eval()
        self._truth = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def _reply(self, path: str, body: Reply) -> tuple[int, Reply | None]:
        """Status and body; None is an empty one."""
        if path == "/v1/completions":
            return 200, self._complete(body)
        if not self.dev_mode or path not in ("/collective_rpc", "/reset_prefix_cache"):
            return 404, {"detail": "Not Found"}
        if path == "/reset_prefix_cache":
            self._cached = False
            return 200, None
        assert body.keys() <= {"method", "args", "kwargs", "timeout"} and body["method"] == "reload_weights"
        if self.reloads:
            self._load(Path(body["kwargs"]["weights_path"]))
            self._cached = True
        return 200, {"results": [None]}

    def _complete(self, body: Reply) -> Reply:
        assert body.keys() <= DEFAULTS.keys(), body.keys() - DEFAULTS.keys()
        asked = {**DEFAULTS, **body}
        prompt = asked["prompt"]
        choice: Reply = {
            "index": 0, "text": "", "logprobs": None, "finish_reason": "length", "stop_reason": None,
            "prompt_logprobs": None, "prompt_token_ids": None, "token_ids": None,
        }  # fmt: skip
        if asked["prompt_logprobs"] is not None:
            choice["prompt_logprobs"] = self._prompt_log_probs(prompt)
        else:
            self._sample(choice, asked)
        if asked["return_token_ids"]:
            choice["prompt_token_ids"] = prompt
        else:
            choice["token_ids"] = None
        reply = {
            "id": "cmpl-0", "object": "text_completion", "created": int(time.time()), "model": "policy",
            "choices": [choice], "service_tier": None, "system_fingerprint": None, "kv_transfer_params": None,
            "usage": {"prompt_tokens": len(prompt), "total_tokens": len(prompt), "completion_tokens": 0},
        }  # fmt: skip
        self.spoil(reply, asked)
        return reply

    def _sample(self, choice: Reply, asked: Reply) -> None:
        assert not self._cached, "the prefix cache holds keys and values of the weights before"
        ends = asked["stop_token_ids"] + ([] if asked["ignore_eos"] else [self._tokenizer.eos_token_id])
        names = (
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
        )
        sampling = Sampling(
            asked["max_tokens"], top_logprobs=asked["logprobs"], **{name: asked[name] for name in names}
        )
        [answer] = generate(self._model, [asked["prompt"]], [asked["seed"]], self._tokenizer, ends, sampling)
        ids, steps = list(answer.ids), list(answer.logprobs)
        if answer.end_token is not None:
            ids.append(answer.end_token.id)
            assert answer.end_token.logprobs is not None
            steps.append(answer.end_token.logprobs)
        texts = self._tokenizer.convert_ids_to_tokens(ids)
        chosen = [step[token] for token, step in zip(ids, steps, strict=True)]
        choice |= {"token_ids": ids, "text": answer.text, "finish_reason": answer.finish_reason}
        choice["stop_reason"] = answer.end_token.id if answer.end_token is not None else None
        choice["logprobs"] = {
            "text_offset": [0] * len(ids), "token_logprobs": chosen, "tokens": texts,
            "top_logprobs": [{text: value} for text, value in zip(texts, chosen, strict=True)],
        }  # fmt: skip

    @torch.no_grad()
    def _prompt_log_probs(self, prompt: list[int]) -> list[Reply | None]:
        """By plain transformers; vLLM has nothing of the first token, of the others `Logprob` by id."""
        logs = self._truth(torch.tensor([prompt])).logits[0].log_softmax(-1)
        texts = self._tokenizer.convert_ids_to_tokens(prompt)
        told: list[Reply | None] = [None]
        for before, (token, text) in enumerate(zip(prompt[1:], texts[1:], strict=True)):
            rank = int((logs[before] > logs[before, token]).sum()) + 1
            told.append({str(token): {"logprob": float(logs[before, token]), "rank": rank, "decoded_token": text}})
        return told

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with fake._lock:
                    fake.asked.append((self.path, body))
                if self.path == fake.hangs:
                    fake._over.wait()
                    # Without a reply: transformers ties no weights any more, in the whole process, once two threads
                    # have loaded a model at the same time, and the next test may be loading one.
                    self.close_connection = True
                    return
                with fake._lock:
                    status, reply = fake._reply(self.path, body)
                content = b"" if reply is None else json.dumps(reply).encode()
                self.send_response(status)
                if reply is not None:
                    self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
