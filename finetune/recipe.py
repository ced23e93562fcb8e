"""The recipe: everything a training run depends on, as one YAML file."""

from dataclasses import dataclass, field
from typing import Literal

from camelid.errors import UserError
from conversations.template import get_template


def _require(ok: bool, name: str, value: object, rule: str) -> None:
    if not ok:
        raise UserError(f"{name} = {value!r}: {rule}")


@dataclass(frozen=True)
class Model:
    """What is trained.

    Attributes:
        path: model folder in Hugging Face layout to start from.
        recompute: activations recomputed in the backward pass: `none`, `selective` (keeps the outputs of
            linear layers and attention) or `full` (keeps only each layer's input).
    """

    path: str
    recompute: Literal["none", "selective", "full"] = "none"


@dataclass(frozen=True)
class Source:
    """One data file.

    Attributes:
        path: conversations (JSONL) or instruction records (JSON or JSONL).
        weight: how often each conversation is seen in an epoch; 0.5 takes a fixed random half.
    """

    path: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        _require(self.weight > 0, "weight", self.weight, "must be greater than 0")


@dataclass(frozen=True)
class Data:
    """What it is trained on.

    Attributes:
        train: the data files, mixed.
        template: name of the prompt template (`vicuna_v1.1`, `alpaca`, ...).
        max_length: longest sequence, tokens; longer conversations are split at exchange boundaries.
        packing: put several conversations into one sequence of `max_length` (no attention across them).
            Without packing a sequence is one conversation; no padding is computed either way.
    """

    train: tuple[Source, ...]
    template: str
    max_length: int = 2048
    packing: bool = True

    def __post_init__(self) -> None:
        _require(len(self.train) > 0, "data.train", self.train, "must list at least one file")
        get_template(self.template)
        _require(self.max_length >= 8, "data.max_length", self.max_length, "must be at least 8 tokens")


@dataclass(frozen=True)
class Optim:
    """How it is trained (AdamW).

    Attributes:
        lr: peak learning rate.
        schedule: shape of the learning rate after warm-up; `cosine` and `linear` end at 0.
        warmup_ratio: share of all updates spent warming up linearly from 0.
        weight_decay: decoupled decay of matrices (never of norms), per unit of learning rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        clip_norm: largest global gradient norm; 0 leaves gradients as they are.
        global_batch: sequences per update, over all processes and micro-batches.
        micro_batch: sequences per forward pass on one process.
        epochs: passes over the data.
        updates: stop after this many updates instead; None trains for `epochs`.
    """

    lr: float
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 1.0
    global_batch: int = 128
    micro_batch: int = 1
    epochs: float = 3.0
    updates: int | None = None

    def __post_init__(self) -> None:
        _require(self.lr > 0, "optim.lr", self.lr, "must be greater than 0")
        _require(0 <= self.warmup_ratio < 1, "optim.warmup_ratio", self.warmup_ratio, "must be in [0, 1)")
        _require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "must not be negative")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"optim.{name}", value, "must be in [0, 1)")
        _require(self.clip_norm >= 0, "optim.clip_norm", self.clip_norm, "must not be negative")
        _require(self.global_batch >= 1, "optim.global_batch", self.global_batch, "must be at least 1 sequence")
        _require(self.micro_batch >= 1, "optim.micro_batch", self.micro_batch, "must be at least 1 sequence")
        _require(self.epochs > 0, "optim.epochs", self.epochs, "must be greater than 0")
        _require(self.updates is None or self.updates >= 1, "optim.updates", self.updates, "must be at least 1")


@dataclass(frozen=True)
class Run:
    """Where and how the run lives.

    Attributes:
        output: the run folder.
        seed: seed of the data order and of everything else that is random.
        precision: `fp32`, or `bf16` (autocast; weights and optimizer stay fp32).
        checkpoint_every: updates between checkpoints.
        keep_checkpoints: how many of the newest checkpoints stay on disk.
        processes: the world size this run must have; None accepts whatever the launcher started.
        trackers: `tensorboard`, `wandb`, ... (Accelerate's names), beside `metrics.jsonl`.
    """

    output: str
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "bf16"
    checkpoint_every: int = 200
    keep_checkpoints: int = 2
    processes: int | None = None
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.checkpoint_every >= 1, "run.checkpoint_every", self.checkpoint_every, "must be at least 1 update")
        _require(self.keep_checkpoints >= 1, "run.keep_checkpoints", self.keep_checkpoints, "must be at least 1")
        _require(self.processes is None or self.processes >= 1, "run.processes", self.processes, "must be at least 1")


@dataclass(frozen=True)
class Recipe:
    """A whole run; see the sections for units and defaults."""

    model: Model
    data: Data
    optim: Optim
    run: Run = field()
