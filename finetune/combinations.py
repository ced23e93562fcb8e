"""What goes with what: the choices of a run that exclude each other, as one table.

Reading a recipe, `--plan`, training and the documentation all go by it. Choices that it does not name train
(tests/finetune/test_combinations.py: two updates of every combination).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from camelid.errors import UserError
from finetune.optimizers.table import OPTIMIZERS, OptimizerSpec, names_with

ADAPTERS = ("lora", "dora", "rslora", "qlora")
PURE = ("bf16-pure", "fp8")
ZERO = ("zero1", "zero2", "zero3")
POLICY_KINDS = ("dpo", "kto", "orpo", "simpo", "ppo")


@dataclass(frozen=True)
class Exclusion:
    """Choices that do not go together.

    Attributes:
        choices: by the name of the field, or of what the launch decides, the values that are meant.
        why: what would go wrong.
        instead: what to do, an imperative.
    """

    choices: Mapping[str, tuple[str, ...]]
    why: str
    instead: str


def number(count: int) -> str:
    """A count as the table names it: one, or more."""
    return "1" if count == 1 else "> 1"


def exclusions() -> tuple[Exclusion, ...]:
    """The table."""
    return (
        Exclusion(
            {"optim.optimizer": _without(lambda spec: spec.pure is not None), "run.precision": PURE},
            "it rounds to the nearest bfloat16, so most weights would never move",
            f"use {names_with(lambda spec: spec.pure is not None)}",
        ),
        Exclusion(
            {"optim.optimizer": _without(lambda spec: spec.in_backward), "optim.in_backward": ("true",)},
            "it does not step inside the backward pass",
            f"use {names_with(lambda spec: spec.in_backward)}",
        ),
        Exclusion(
            {"optim.optimizer": _without(lambda spec: spec.shards), "run.sharding": ("fsdp2",)},
            "it does not step parts of a matrix",
            f"use {names_with(lambda spec: spec.shards)}, or launch with recipes/launch/deepspeed-zero2.yaml",
        ),
        Exclusion(
            {"optim.optimizer": _without(lambda spec: spec.shards), "run.tensor_parallel": ("> 1",)},
            "it does not step parts of a matrix",
            f"use {names_with(lambda spec: spec.shards)}",
        ),
        Exclusion(
            {"optim.optimizer": ("paged-adamw-8bit",), "offload": ("true",)},
            "what is in the machine's memory already cannot move there",
            "use adamw-8bit or adamw",
        ),
        Exclusion(
            {"optim.in_backward": ("true",), "processes": ("> 1",)},
            "gradients are freed before they could be summed",
            "use run.sharding=fsdp2 to spread the gradients",
        ),
        Exclusion(
            {"optim.in_backward": ("true",), "run.sharding": ZERO},
            "DeepSpeed keeps the gradients itself",
            "leave one of them out",
        ),
        Exclusion(
            {"run.precision": ("bf16-pure",), "run.sharding": ZERO},
            "DeepSpeed steps a float32 copy of the weights",
            "use bf16, or run.sharding=fsdp2",
        ),
        Exclusion(
            {"run.precision": ("fp8",), "adapter.kind": ADAPTERS},
            "products of low rank gain nothing from 8 bits",
            "use bf16, or train all weights",
        ),
        *(
            Exclusion(
                {"run.precision": ("fp8",), axis: ("> 1",)}, "torchao scales whole matrices", "use run.sharding=fsdp2"
            )
            for axis in ("run.tensor_parallel", "run.pipeline_parallel")
        ),
        Exclusion(
            {"adapter.kind": ("qlora",), "run.sharding": ("fsdp2", "zero3")},
            "4-bit weights are not cut",
            "use lora, or launch with recipes/launch/ddp.yaml",
        ),
        Exclusion(
            {"kind": ("reward",), "adapter.kind": ADAPTERS},
            "its score layer is new and would not be in the adapter's folder",
            "train all weights",
        ),
        Exclusion(
            {"kind": POLICY_KINDS, "adapter.dropout": ("> 0",)},
            "the policy would differ from the reference before it has learned anything",
            "set adapter.dropout=0",
        ),
        Exclusion(
            {"kind": ("ppo",), "run.precision": ("fp8",)},
            "answers would be sampled with other roundings than they are trained with",
            "use bf16-pure",
        ),
        Exclusion(
            {"kind": ("ppo",), "run.sharding": ZERO},
            "it gathers the weights once an iteration to sample with, and steps two models",
            "use run.sharding=fsdp2, or launch with recipes/launch/ddp.yaml",
        ),
        Exclusion(
            {"adapter.kind": ADAPTERS, "run.tensor_parallel": ("> 1",)},
            "the adapter's matrices are not cut",
            "use run.sharding=fsdp2 to spread the model, or train all weights",
        ),
        Exclusion(
            {"run.tensor_parallel": ("> 1",), "run.sharding": ZERO},
            "DeepSpeed would cut the matrices again",
            "use run.sharding=fsdp2",
        ),
        Exclusion(
            {"run.pipeline_parallel": ("> 1",), "run.sharding": ZERO},
            "DeepSpeed wants the whole model in every process",
            "use run.sharding=fsdp2",
        ),
        Exclusion(
            {"run.tensor_parallel": ("> 1",), "run.pipeline_parallel": ("> 1",)},
            "stages would not save the same groups of weights",
            "use run.sharding=fsdp2 to spread a stage",
        ),
        Exclusion(
            {"adapter.kind": ADAPTERS, "run.pipeline_parallel": ("> 1",)},
            "an adapter is made for a whole model",
            "use run.sharding=fsdp2 to spread the model, or train all weights",
        ),
        *(
            Exclusion(
                {"run.context_parallel": ("> 1",), other: ("> 1",)},
                "processes share a micro-batch in one way at a time",
                "use run.sharding=fsdp2 to spread the model",
            )
            for other in ("run.tensor_parallel", "run.pipeline_parallel")
        ),
        Exclusion(
            {"run.context_parallel": ("> 1",), "optim.neftune": ("> 0",)},
            "its noise goes by the length of a document, of which a process has a part",
            "leave one of them out",
        ),
        Exclusion(
            {"tie_word_embeddings": ("true",), "run.pipeline_parallel": ("> 1",)},
            "the first stage and the last would each train a copy of the embedding",
            "use run.sharding=fsdp2",
        ),
        *(
            Exclusion(
                {"model.compile": ("true",), **other}, "its layers are no single graph", "leave model.compile out"
            )
            for other in (
                {"run.sharding": ZERO},
                {"adapter.kind": ("qlora", "dora")},
                {"run.tensor_parallel": ("> 1",)},
                {"run.context_parallel": ("> 1",)},
            )
        ),
        Exclusion(
            {"run.sharding": ("fsdp2",), "offload": ("true",), "device": ("cpu",)},
            "without a GPU the weights are in the machine's memory already",
            "launch without fsdp_offload_params",
        ),
    )


def refuse_combination(choices: Mapping[str, str]) -> None:
    """Refuse choices of which some exclude each other.

    Args:
        choices: those that are made so far, by the names in `exclusions`; others may follow.

    Raises:
        UserError: names two or more of them, why, and what to do.
    """
    found = find_exclusion(choices)
    if found is not None:
        first, *others = (_phrase(axis, choices[axis]) for axis in found.choices)
        raise UserError(f"{first} does not go with {' and '.join(others)} ({found.why}); {found.instead}")


def find_exclusion(choices: Mapping[str, str]) -> Exclusion | None:
    """The first of the table that some choices meet; None if they go together."""
    met = (each for each in exclusions() if all(choices.get(axis) in of for axis, of in each.choices.items()))
    return next(met, None)


def _phrase(axis: str, value: str) -> str:
    if value.startswith(">"):
        return f"{axis} {value}"
    return f"{axis} = {value if value == 'true' else repr(value)}"


def _without(able: Callable[[OptimizerSpec], bool]) -> tuple[str, ...]:
    return tuple(name for name, spec in OPTIMIZERS.items() if not able(spec))
