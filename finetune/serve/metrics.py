"""What a server counts, in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Iterable
from typing import Literal

from finetune.serve.engine import ServingEngine

MetricKind = Literal["counter", "gauge"]


def exposition(engines: Iterable[ServingEngine]) -> str:
    """All models' figures."""
    lines: list[str] = []
    engines = list(engines)
    for name, kind, text in _METRICS:
        lines += [f"# HELP camelid_{name} {text}", f"# TYPE camelid_{name} {kind}"]
        for engine in engines:
            label = engine.served.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            lines.append(f'camelid_{name}{{model="{label}"}} {_values(engine)[name]}')
    return "\n".join(lines) + "\n"


_METRICS: tuple[tuple[str, MetricKind, str], ...] = (
    ("requests_total", "counter", "Requests that were queued."),
    ("answers_total", "counter", "Answers that were queued; a request may ask for several."),
    ("answers_refused_total", "counter", "Answers refused with a 429 because too many were waiting."),
    ("answers_cancelled_total", "counter", "Answers given up: the client hung up, or the time was over."),
    ("prompt_tokens_total", "counter", "Prompt tokens of all requests."),
    ("prompt_tokens_known_total", "counter", "Of these, tokens of earlier chats, which were not read anew."),
    ("completion_tokens_total", "counter", "Tokens generated."),
    ("model_failures_total", "counter", "Steps in which the model failed."),
    ("first_token_seconds_count", "counter", "Answers that have a first token."),
    ("first_token_seconds_sum", "counter", "Seconds from their arrival to the first token, added up."),
    ("answers_running", "gauge", "Answers being written."),
    ("answers_waiting", "gauge", "Answers waiting for a place."),
    ("cache_bytes", "gauge", "Memory of keys and values."),
)


def _values(engine: ServingEngine) -> dict[str, float]:
    counts, scheduler = engine.counts, engine.scheduler
    started, waited = scheduler.started
    return {
        "requests_total": counts["requests"],
        "answers_total": counts["answers"],
        "answers_refused_total": counts["refused"],
        "answers_cancelled_total": counts["cancelled"],
        "prompt_tokens_total": counts["prompt_tokens"],
        "prompt_tokens_known_total": counts["known_tokens"],
        "completion_tokens_total": counts["completion_tokens"],
        "model_failures_total": scheduler.failed,
        "first_token_seconds_count": started,
        "first_token_seconds_sum": round(waited, 6),
        "answers_running": scheduler.running,
        "answers_waiting": scheduler.waiting,
        "cache_bytes": scheduler.cache_bytes,
    }
