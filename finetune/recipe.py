"""The recipe: everything a training run depends on, as one YAML file of a kind.

Kinds share their sections. Each has at most 44 fields in all (tests/finetune/test_recipe.py): a kind that outgrows that
wants to be two kinds, or to offer fewer choices.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from camelid.config import from_tree, read_tree
from camelid.errors import UserError, suggest_name
from camelid.files.paths import expand_home
from conversations.tokens.template import get_template
from finetune.combinations import number, refuse_combination
from finetune.field_rules import require as _require
from finetune.optimizers.table import OPTIMIZERS
from finetune.ppo_section import PpoSection
from finetune.preference_sections import DpoSection, KtoSection, OrpoSection, RewardSection, SimpoSection

WHOLE_LAYERS = ("embed_tokens", "lm_head")
EPS = 1e-8  # of AdamW (Kingma and Ba 2015, algorithm 1)
MINUTES = re.compile(r"(?=.*[1-9])\d+(\.\d+)? *min")
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class ModelSection:
    """What is trained.

    Attributes:
        path: model folder in Hugging Face layout to start from.
        recompute: activations recomputed in the backward pass: `none`, `selective` (keeps the outputs of
            linear layers and attention) or `full` (keeps only each layer's input).
    """

    path: str
    recompute: Literal["none", "selective", "full"] = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", expand_home(self.path))


@dataclass(frozen=True)
class SftModelSection(ModelSection):
    """What is trained.

    Attributes:
        compile: whether torch compiles the layers, whose micro-batches are then filled up; `auto`: on CUDA,
            where precision, sharding and adapter allow it.
    """

    compile: Literal["auto", True, False] = "auto"


@dataclass(frozen=True)
class DataSource:
    """One source of data.

    Attributes:
        path: a file of conversations, instruction records or texts (JSON, JSONL, Parquet, .txt, .md), a folder of such
            files or one that `datasets` saved, or the name of a data set on the Hugging Face hub (`tatsu-lab/alpaca`);
            of texts also token shards (`.bin` and `.idx` as Megatron's, or a folder of them).
        weight: how often each of its records is seen in an epoch; 0.5 takes a fixed random half.
        form: what its records are: `chat`, messages of which the assistant's are trained; `text`, documents of which
            every token is trained; `infill`, the same, but nine in ten have their middle moved to their end.
        split: of a folder or a data set, the split to train on; None is `train`.
        config: the configuration of a data set that has several.
    """

    path: str
    weight: float = 1.0
    form: Literal["chat", "text", "infill"] = "chat"
    split: str | None = None
    config: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", expand_home(self.path))
        _require(self.weight > 0, "weight", self.weight, "must be greater than 0")


@dataclass(frozen=True)
class DataSection:
    """What it is trained on.

    Attributes:
        train: the sources, mixed.
        template: name of the prompt template (`vicuna_v1.1`, `alpaca`, ...), or `tokenizer`: the chat template that
            the tokenizer of `model.path` carries, any Jinja. Not needed where no source is chat.
        max_length: longest sequence, tokens; longer conversations are split at exchange boundaries, longer texts
            anywhere.
        packing: put several documents into one sequence of `max_length` (no attention across them).
            Without packing a sequence is one document; no padding is computed either way (but see `model.compile`).
        validation: share of the conversations and texts that is held out to validate on; 0 = none.
        thinking: what becomes of what was thought before an answer: `train` it with the answer, `mask` it (it stands
            there, untrained), or `drop` it.
    """

    train: tuple[DataSource, ...]
    template: str | None = None
    max_length: int = 2048
    packing: bool = True
    validation: float = 0.0
    thinking: Literal["train", "mask", "drop"] = "drop"

    def __post_init__(self) -> None:
        _require(len(self.train) > 0, "data.train", self.train, "must list at least one file")
        chat = next((source for source in self.train if source.form == "chat"), None)
        if chat is not None and self.template is None:
            raise UserError(
                f"data.template is missing: {chat.path} is chat, which is written by a template; name one, or give the "
                "source `form: text` if its records are raw text"
            )
        if self.template not in (None, "tokenizer"):
            get_template(str(self.template))
        _require(self.max_length >= 8, "data.max_length", self.max_length, "must be at least 8 tokens")
        _require(0 <= self.validation < 1, "data.validation", self.validation, "must be in [0, 1)")


@dataclass(frozen=True)
class PreferenceDataSection:
    """What it is trained on: preferences.

    A prompt with its answers is one sequence, so a batch is counted in pairs (of `kto` in answers).

    Attributes:
        train: the sources, mixed, of preference records.
        template: as of other kinds.
        max_length: most tokens of a prompt with all its answers; the oldest exchanges of a prompt that is longer are
            left out, and what is still longer is dropped.
        validation: share of the prompts that is held out to validate on; 0 = none.
    """

    train: tuple[DataSource, ...]
    template: str
    max_length: int = 2048
    validation: float = 0.0

    def __post_init__(self) -> None:
        _require(len(self.train) > 0, "data.train", self.train, "must list at least one file")
        for source in self.train:
            _require(source.form == "chat", "form", source.form, "has no meaning for preferences; leave it out")
        if self.template != "tokenizer":
            get_template(self.template)
        _require(self.max_length >= 8, "data.max_length", self.max_length, "must be at least 8 tokens")
        _require(0 <= self.validation < 1, "data.validation", self.validation, "must be in [0, 1)")

    @property
    def packing(self) -> bool:
        """Whether sequences are made of several documents: no, so that a batch has as many pairs as it says."""
        return False


@dataclass(frozen=True)
class PromptDataSection:
    """Which prompts it answers.

    Attributes:
        train: the sources, mixed, of prompts: of chats in any format what comes before the last answer, of preferences
            and candidates their `prompt`, of question files the question.
        template: as of other kinds.
        max_length: most tokens of a prompt; the oldest exchanges of a longer one are left out, and what is still longer
            is dropped.
        validation: share of the prompts that is held out to validate on; 0 = none.
    """

    train: tuple[DataSource, ...]
    template: str
    max_length: int = 1024
    validation: float = 0.0

    def __post_init__(self) -> None:
        _require(len(self.train) > 0, "data.train", self.train, "must list at least one file")
        for source in self.train:
            _require(source.form == "chat", "form", source.form, "has no meaning for prompts; leave it out")
        if self.template != "tokenizer":
            get_template(self.template)
        _require(self.max_length >= 8, "data.max_length", self.max_length, "must be at least 8 tokens")
        _require(0 <= self.validation < 1, "data.validation", self.validation, "must be in [0, 1)")


@dataclass(frozen=True)
class StepSection:
    """How weights are stepped, at one learning rate.

    Attributes:
        optimizer: `adamw`, or from bitsandbytes `adamw-8bit` (Dettmers et al. 2022: moments in 8 bits) or
            `paged-adamw-8bit` (moments move to host memory when the GPU is full).
        lr: (peak) learning rate.
        weight_decay: decoupled decay of matrices (never of norms), per unit of learning rate.
        betas: decay of the first moment, and of the second (`beta1` and `beta2` of older recipes are read, too).
        clip_norm: largest global gradient norm; 0 leaves gradients as they are.
        global_batch: sequences per update, over all processes and micro-batches.
        micro_tokens: most tokens of a forward pass on one process, which takes as many sequences as fit; None: as
            many as the longest sequence may have. (`micro_batch` of older recipes, in sequences, is read, too.)
        updates: stop after this many updates; None: after so many passes over the data as the kind makes.
    """

    lr: float
    optimizer: str = field(default="adamw", metadata={"names": OPTIMIZERS})
    weight_decay: float = 0.0
    betas: tuple[float, ...] = (0.9, 0.999)
    clip_norm: float = 1.0
    global_batch: int = 128
    micro_tokens: int | None = None
    updates: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UserError(
                f"optim.optimizer = {self.optimizer!r} is unknown{suggest_name(self.optimizer, OPTIMIZERS)}"
            )
        _require(self.lr > 0, "optim.lr", self.lr, "must be greater than 0")
        _require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "must not be negative")
        pair = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _require(pair, "optim.betas", list(self.betas), "must be two numbers in [0, 1)")
        _require(self.clip_norm >= 0, "optim.clip_norm", self.clip_norm, "must not be negative")
        _require(self.global_batch >= 1, "optim.global_batch", self.global_batch, "must be at least 1 sequence")
        _require(self.updates is None or self.updates >= 1, "optim.updates", self.updates, "must be at least 1")

    @property
    def epochs(self) -> float:
        """Passes over the data, where `updates` says nothing."""
        return 1.0

    @property
    def schedule(self) -> str:
        """Shape of the learning rate."""
        return "constant"

    @property
    def final_lr(self) -> float:
        """Share of the peak at the end; 0 where the rate is constant."""
        return 0.0

    @property
    def max_skipped(self) -> int:
        """Updates in a row that may be skipped because a gradient is NaN or infinite."""
        return 5


@dataclass(frozen=True)
class OptimSection(StepSection):
    """How it is trained.

    Attributes:
        schedule: shape of the learning rate after warm-up; `cosine` and `linear` end at `final_lr`.
        final_lr: share of the peak at the end (LLaMA 0.1, Code Llama 1/30).
        warmup_ratio: share of all updates spent warming up linearly from 0.
        epochs: passes over the data, where `updates` says nothing.
        max_skipped: updates in a row that may be skipped because a gradient is NaN or infinite; one more
            stops the run.
    """

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_lr: float = 0.0
    warmup_ratio: float = 0.03
    epochs: float = 3.0
    max_skipped: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.final_lr <= 1, "optim.final_lr", self.final_lr, "must be in [0, 1]")
        if self.schedule == "constant":
            _require(self.final_lr == 0, "optim.final_lr", self.final_lr, "goes with optim.schedule = cosine or linear")
        _require(0 <= self.warmup_ratio < 1, "optim.warmup_ratio", self.warmup_ratio, "must be in [0, 1)")
        _require(self.epochs > 0, "optim.epochs", self.epochs, "must be greater than 0")
        _require(self.max_skipped >= 0, "optim.max_skipped", self.max_skipped, "must not be negative")


@dataclass(frozen=True)
class SftOptimSection(OptimSection):
    """How it is trained.

    Attributes:
        in_backward: apply each weight's gradient during the last backward pass and free it at once. One process
            only, and `clip_norm` must be 0: the norm of all gradients is not known in time.
        label_smoothing: share of the target's probability spread over the vocabulary; 0 = off.
        neftune: noise on the embeddings, alpha of NEFTune (Jain et al. 2023; they use 5 to 15); 0 = off.
    """

    in_backward: bool = False
    label_smoothing: float = 0.0
    neftune: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.label_smoothing < 1, "optim.label_smoothing", self.label_smoothing, "must be in [0, 1)")
        _require(self.neftune >= 0, "optim.neftune", self.neftune, "must not be negative")
        if self.in_backward:
            _require(self.clip_norm == 0, "optim.clip_norm", self.clip_norm, "must be 0 with optim.in_backward")


@dataclass(frozen=True)
class PreferenceOptimSection(OptimSection):
    """How it is trained.

    Attributes:
        least_warmup: updates that warm up at the least, however few `warmup_ratio` makes of them (LLaMA 2's reward
            models: 5; the DPO paper: 150).
        eps: added to the root of the second moment (Kingma and Ba 2015, algorithm 1); LLaMA 2: 1e-5.
    """

    least_warmup: int = 0
    eps: float = EPS

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.least_warmup >= 0, "optim.least_warmup", self.least_warmup, "must not be negative")
        _require(self.eps > 0, "optim.eps", self.eps, "must be greater than 0")


@dataclass(frozen=True)
class PpoOptimSection(StepSection):
    """How weights are stepped, at one learning rate.

    Attributes:
        eps: as of other kinds that train on preferences.
    """

    eps: float = EPS

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.eps > 0, "optim.eps", self.eps, "must be greater than 0")


@dataclass(frozen=True)
class AdapterSection:
    """Low-rank matrices that are trained instead of the model (Hu et al. 2021, LoRA).

    Attributes:
        kind: `none` trains all weights; `lora`; `dora` (Liu et al. 2024: direction and length apart); `rslora`
            (Kalajdzievski 2023: scaled by alpha / sqrt(rank)); `qlora` (Dettmers et al. 2023: LoRA on a model
            held in 4-bit NF4, through bitsandbytes).
        rank: rank of the matrices.
        alpha: the adapter's output is multiplied by alpha / rank.
        dropout: share of the adapter's inputs dropped in training.
        targets: names of the linear layers that get an adapter.
        also: layers that are trained whole and saved with the adapter: `embed_tokens` and `lm_head`, which a token
            that was added needs. Where the two share their weights, either name means both.
    """

    kind: Literal["none", "lora", "dora", "rslora", "qlora"] = "none"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = LINEAR_LAYERS
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.rank >= 1, "adapter.rank", self.rank, "must be at least 1")
        _require(self.alpha > 0, "adapter.alpha", self.alpha, "must be greater than 0")
        _require(0 <= self.dropout < 1, "adapter.dropout", self.dropout, "must be in [0, 1)")
        for name in self.targets:
            if name not in LINEAR_LAYERS:
                raise UserError(f"adapter.targets: no linear layer {name!r}{suggest_name(name, LINEAR_LAYERS)}")
        for name in self.also:
            if name not in WHOLE_LAYERS:
                raise UserError(f"adapter.also: {name!r} can't be trained whole{suggest_name(name, WHOLE_LAYERS)}")
        _require(len(self.targets) > 0, "adapter.targets", self.targets, "must name at least one layer")


@dataclass(frozen=True)
class PlaceSection:
    """Where and how the run lives.

    Attributes:
        output: the run folder.
        seed: seed of the data order and of everything else that is random.
        save_dtype: of the saved model: `base` (that of the weights at `model.path`; an adapter as it was trained),
            `fp32`, `bf16` or `fp16`.
        precision: `fp32`; `bf16`: computes in bfloat16, weights and optimizer stay float32; `bf16-pure`: weights and
            optimizer in bfloat16 too, rounded stochastically (plain rounding would leave most weights unchanged);
            `fp8`: the same, and the layers' matrix products in 8 bits (torchao; H100 and newer, on a CPU emulated).
        checkpoint_every: updates between checkpoints, or the time between them: `30 min`.
        keep_checkpoints: how many of the newest checkpoints stay on disk, beside the best validated one.
        evaluate_every: updates between evaluations on `data.validation`.
        processes: the world size this run must have; None accepts whatever the launcher started.
        sharding: how the model must be spread over the processes: `none` (every process holds all of it), `fsdp2`
            (torch fully_shard), `zero2` or `zero3` (DeepSpeed, by `accelerate launch`); None accepts what was launched.
        trackers: `tensorboard`, `wandb`, ... (Accelerate's names), beside `metrics.jsonl`.
    """

    output: str
    seed: int = 0
    precision: Literal["fp32", "bf16", "bf16-pure", "fp8"] = "bf16"
    save_dtype: Literal["base", "fp32", "bf16", "fp16"] = "base"
    checkpoint_every: int | str = 200
    keep_checkpoints: int = 2
    evaluate_every: int = 100
    processes: int | None = None
    sharding: Literal["none", "fsdp2", "zero2", "zero3"] | None = None
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", expand_home(self.output))
        every = self.checkpoint_every
        fine = MINUTES.fullmatch(every) is not None if isinstance(every, str) else every >= 1
        _require(fine, "run.checkpoint_every", every, "must be a number of updates, or a time such as 30 min")
        for name in ("keep_checkpoints", "evaluate_every", "processes"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"run.{name}", value, "must be at least 1")

    def checkpoint_due(self, done: int, seconds: float) -> bool:
        """Whether to save after `done` updates, `seconds` after the last checkpoint."""
        if isinstance(self.checkpoint_every, int):
            return done % self.checkpoint_every == 0
        return seconds >= 60 * float(self.checkpoint_every.removesuffix("min"))

    @property
    def pure(self) -> bool:
        """Whether weights and optimizer are bfloat16."""
        return self.precision in ("bf16-pure", "fp8")

    @property
    def tensor_parallel(self) -> int:
        """Processes that share every matrix."""
        return 1


@dataclass(frozen=True)
class RunSection(PlaceSection):
    """Where and how the run lives.

    Attributes:
        tensor_parallel: processes that share every matrix; they must be on one machine.
    """

    tensor_parallel: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.tensor_parallel >= 1, "run.tensor_parallel", self.tensor_parallel, "must be at least 1")


@dataclass(frozen=True)
class SftRunSection(RunSection):
    """Where and how the run lives.

    Attributes:
        pipeline_parallel: stages that the layers are cut into, each on processes of its own.
        context_parallel: processes that train on the same sequences, each on a part of every document.
    """

    pipeline_parallel: int = 1
    context_parallel: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pipeline_parallel", "context_parallel"):
            _require(getattr(self, name) >= 1, f"run.{name}", getattr(self, name), "must be at least 1")


@dataclass(frozen=True)
class SftRecipe:
    """Supervised fine-tuning: the next token of what the assistant says, after what came before.

    See the sections for units and defaults.

    Attributes:
        kind: what the run does with its data; it decides which sections there are.
    """

    model: SftModelSection
    data: DataSection
    optim: SftOptimSection
    run: SftRunSection
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["sft"] = "sft"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class RewardRecipe:
    """A reward model: a score of an answer, higher for the preferred one of a pair (Bradley and Terry 1952)."""

    model: ModelSection
    data: PreferenceDataSection
    optim: PreferenceOptimSection
    run: RunSection
    reward: RewardSection = field(default_factory=RewardSection)
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["reward"] = "reward"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class DpoRecipe:
    """Direct preference optimisation: a policy from pairs, held to the model it starts from."""

    model: ModelSection
    data: PreferenceDataSection
    optim: PreferenceOptimSection
    run: RunSection
    dpo: DpoSection = field(default_factory=DpoSection)
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["dpo"] = "dpo"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class KtoRecipe:
    """Kahneman-Tversky optimisation: a policy from single answers with a label, held to the model it starts from."""

    model: ModelSection
    data: PreferenceDataSection
    optim: PreferenceOptimSection
    run: RunSection
    kto: KtoSection = field(default_factory=KtoSection)
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["kto"] = "kto"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class OrpoRecipe:
    """Odds ratio preference optimisation: supervised tuning and pairs at once, without a reference."""

    model: ModelSection
    data: PreferenceDataSection
    optim: PreferenceOptimSection
    run: RunSection
    orpo: OrpoSection = field(default_factory=OrpoSection)
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["orpo"] = "orpo"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class SimpoRecipe:
    """Simple preference optimisation: a policy from pairs, without a reference."""

    model: ModelSection
    data: PreferenceDataSection
    optim: PreferenceOptimSection
    run: RunSection
    simpo: SimpoSection = field(default_factory=SimpoSection)
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["simpo"] = "simpo"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class PpoRecipe:
    """A policy that learns from rewards of answers that it samples (Schulman et al. 2017), and its kin."""

    model: ModelSection
    data: PromptDataSection
    optim: PpoOptimSection
    run: PlaceSection
    ppo: PpoSection
    adapter: AdapterSection = field(default_factory=AdapterSection)
    kind: Literal["ppo"] = "ppo"

    def __post_init__(self) -> None:
        _check(self)
        batch, answers = self.ppo.batch, self.ppo.answers
        _require(self.optim.global_batch % answers == 0, "optim.global_batch", self.optim.global_batch,
                 f"must be a multiple of ppo.answers = {answers}")  # fmt: skip
        _require(batch % self.optim.global_batch == 0, "ppo.batch", batch,
                 f"must be a multiple of optim.global_batch = {self.optim.global_batch}")  # fmt: skip
        if self.adapter.kind == "qlora" and self.ppo.sampler is not None:
            raise UserError(
                "ppo.sampler does not go with adapter.kind = 'qlora' (the server's weights would not be rounded to 4 "
                "bits as the policy's are); use lora"
            )


PolicyRecipe = DpoRecipe | KtoRecipe | OrpoRecipe | SimpoRecipe  # log-probabilities of answers are what it moves
PreferenceRecipe = RewardRecipe | PolicyRecipe
Recipe = SftRecipe | PreferenceRecipe | PpoRecipe  # of any kind
KINDS: dict[str, type[Recipe]] = {
    "sft": SftRecipe,
    "reward": RewardRecipe,
    "dpo": DpoRecipe,
    "kto": KtoRecipe,
    "orpo": OrpoRecipe,
    "simpo": SimpoRecipe,
    "ppo": PpoRecipe,
}
DEFAULT_KIND = "sft"


def _check(recipe: Recipe) -> None:
    """Refuse what no section can see alone."""
    refuse_combination(recipe_choices(recipe))
    budget, longest = recipe.optim.micro_tokens, longest_sequence(recipe)
    what = "data.max_length" if recipe.kind != "ppo" else "data.max_length + ppo.answers x ppo.max_new_tokens"
    fits = budget is None or budget >= longest
    _require(fits, "optim.micro_tokens", budget, f"must hold the longest sequence: at least {what} = {longest}")


def longest_sequence(recipe: Recipe) -> int:
    """Tokens: `data.max_length`; of `ppo`, whose sequences are prompts with all their answers, those of both."""
    section = recipe.data
    if recipe.kind != "ppo":
        return section.max_length
    return section.max_length + recipe.ppo.answers * recipe.ppo.max_new_tokens


def micro_tokens(recipe: Recipe) -> int:
    """Most tokens of a forward pass on one process."""
    return recipe.optim.micro_tokens or longest_sequence(recipe)


def steps_in_backward(optim: StepSection) -> bool:
    """Whether weights are stepped during the backward pass."""
    return isinstance(optim, SftOptimSection) and optim.in_backward


def pipeline_stages(run: PlaceSection) -> int:
    """Stages that the layers are cut into."""
    return run.pipeline_parallel if isinstance(run, SftRunSection) else 1


def context_parts(run: PlaceSection) -> int:
    """Processes that each document is cut over."""
    return run.context_parallel if isinstance(run, SftRunSection) else 1


def least_warmup(optim: StepSection) -> int:
    """Updates that warm up at the least."""
    return optim.least_warmup if isinstance(optim, PreferenceOptimSection) else 0


def root_eps(optim: StepSection) -> float:
    """What the optimizer adds to the root of the second moment."""
    return optim.eps if isinstance(optim, PreferenceOptimSection | PpoOptimSection) else EPS


def recipe_choices(recipe: Recipe) -> dict[str, str]:
    """What a recipe chooses of the things that may exclude each other (`finetune.combinations`)."""
    optim, run = recipe.optim, recipe.run
    choices = {"kind": recipe.kind, "optim.optimizer": optim.optimizer}
    choices |= {"optim.in_backward": "true" if steps_in_backward(optim) else "false"}
    choices |= {"run.precision": run.precision, "adapter.kind": recipe.adapter.kind}
    choices |= {"adapter.dropout": "> 0" if recipe.adapter.dropout else "0"}
    choices |= {"run.tensor_parallel": number(run.tensor_parallel)}
    choices |= {"run.pipeline_parallel": number(pipeline_stages(run))}
    choices |= {"run.context_parallel": number(context_parts(run))}
    if recipe.kind == "sft":
        choices["model.compile"] = str(recipe.model.compile).lower()
        choices["optim.neftune"] = "> 0" if recipe.optim.neftune else "0"
    if run.sharding is not None:
        choices["run.sharding"] = run.sharding
    return choices


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; its field `kind` says of which kind it is, `sft` where it says nothing.

    Args:
        path: the YAML file.
        overrides: `"optim.lr=1e-5"` items, applied after the file.

    Raises:
        UserError: an unknown kind or key, a missing key, a wrong type or a value out of range.
    """
    tree = read_tree(path, overrides)
    kind = tree.get("kind", DEFAULT_KIND)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"{path}: kind = {kind!r} is unknown{suggest_name(str(kind), KINDS)}")
    _join_older_fields(tree)
    sequences = _take_micro_batch(tree, str(path))
    recipe = from_tree(KINDS[kind], tree, str(path))
    if sequences is None:
        return recipe
    tree["optim"]["micro_tokens"] = sequences * longest_sequence(recipe)
    return from_tree(KINDS[kind], tree, str(path))


def _take_micro_batch(tree: dict[str, Any], place: str) -> int | None:
    """Take out what said up to version 0.2, in sequences, how much a forward pass holds."""
    optim = tree.get("optim")
    if not isinstance(optim, dict) or "micro_batch" not in optim:
        return None
    sequences = optim.pop("micro_batch")
    if "micro_tokens" in optim:
        raise UserError(f"{place}: optim.micro_batch is optim.micro_tokens now, in tokens; give only that")
    if not isinstance(sequences, int) or sequences < 1:
        raise UserError(f"{place}: optim.micro_batch = {sequences!r}: must be at least 1 sequence")
    return sequences


def _join_older_fields(tree: dict[str, Any]) -> None:
    """Write what were two fields each in older recipes as one."""
    optim, run, ppo = (tree.get(name) for name in ("optim", "run", "ppo"))
    if isinstance(optim, dict) and optim.keys() & {"beta1", "beta2"}:
        before = optim.get("betas", [0.9, 0.999])
        first, second = before if isinstance(before, list) and len(before) == 2 else (0.9, 0.999)
        optim["betas"] = [optim.pop("beta1", first), optim.pop("beta2", second)]
    if isinstance(run, dict) and (minutes := run.pop("checkpoint_minutes", None)) is not None:
        run["checkpoint_every"] = f"{minutes} min"
    if isinstance(ppo, dict) and ppo.keys() & {"gamma", "gae_lambda"}:
        ppo["gae"] = [ppo.pop("gamma", 1.0), ppo.pop("gae_lambda", 0.95)]
