"""What a server counts, in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Iterable, Iterator
from typing import Literal

from finetune.serve.engine import ServingEngine
from finetune.serve.histogram import Histogram

MetricKind = Literal["counter", "gauge"]


def exposition(engines: Iterable[ServingEngine]) -> str:
    """All models' figures."""
    lines: list[str] = []
    engines = list(engines)
    for name, kind, text in _METRICS:
        lines += [f"# HELP camelid_{name} {text}", f"# TYPE camelid_{name} {kind}"]
        own = [engine for engine in engines if engine.served.adapter is None or name not in _OF_THE_MODEL]
        lines += [f"camelid_{name}{{{_label(engine)}}} {_values(engine)[name]}" for engine in own]
    for name, text in _HISTOGRAMS:
        lines += [f"# HELP camelid_{name} {text}", f"# TYPE camelid_{name} histogram"]
        for engine in engines:
            if engine.served.adapter is None:  # an adapter's are told under the name of its base
                lines += _histogram(name, _label(engine), _durations(engine)[name])
    return "\n".join(lines) + "\n"


def _label(engine: ServingEngine) -> str:
    name = engine.served.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'model="{name}"'


def _histogram(name: str, label: str, found: Histogram) -> Iterator[str]:
    counts = found.cumulative()
    for end, count in counts:
        yield f'camelid_{name}_bucket{{{label},le="{end}"}} {count}'
    yield f"camelid_{name}_sum{{{label}}} {found.total:.6f}"
    yield f"camelid_{name}_count{{{label}}} {counts[-1][1]}"


_METRICS: tuple[tuple[str, MetricKind, str], ...] = (
    ("requests_total", "counter", "Requests that were queued."),
    ("answers_total", "counter", "Answers that were queued; a request may ask for several."),
    ("answers_refused_total", "counter", "Answers refused with a 429 because too many were waiting."),
    ("answers_cancelled_total", "counter", "Answers given up: the client hung up, or the time was over."),
    ("prompt_tokens_total", "counter", "Prompt tokens of all requests."),
    ("prompt_tokens_known_total", "counter", "Of these, tokens of earlier chats, which were not read anew."),
    ("completion_tokens_total", "counter", "Tokens generated."),
    ("model_failures_total", "counter", "Steps in which the model failed."),
    ("answers_running", "gauge", "Answers being written."),
    ("answers_waiting", "gauge", "Answers waiting for a place."),
    ("cache_bytes", "gauge", "Memory of keys and values."),
)

_HISTOGRAMS = (
    ("queue_seconds", "From an answer's arrival until its prompt is read."),
    ("first_token_seconds", "From an answer's arrival until its first token."),
    ("between_tokens_seconds", "From each token of an answer to its next."),
)


# Told under the name of an adapter's base alone.
_OF_THE_MODEL = ("model_failures_total", "answers_running", "answers_waiting", "cache_bytes")


def _values(engine: ServingEngine) -> dict[str, float]:
    counts, scheduler = engine.counts, engine.scheduler
    return {
        "requests_total": counts["requests"],
        "answers_total": counts["answers"],
        "answers_refused_total": counts["refused"],
        "answers_cancelled_total": counts["cancelled"],
        "prompt_tokens_total": counts["prompt_tokens"],
        "prompt_tokens_known_total": counts["known_tokens"],
        "completion_tokens_total": counts["completion_tokens"],
        "model_failures_total": scheduler.failed,
        "answers_running": scheduler.running,
        "answers_waiting": scheduler.waiting,
        "cache_bytes": scheduler.cache_bytes,
    }


def _durations(engine: ServingEngine) -> dict[str, Histogram]:
    scheduler = engine.scheduler
    return {
        "queue_seconds": scheduler.queued,
        "first_token_seconds": scheduler.first_token,
        "between_tokens_seconds": scheduler.between_tokens,
    }
