"""A model folder whose positions reach further: another base of the rotary embeddings, or positions drawn together."""

from dataclasses import replace
from pathlib import Path

from camelid.errors import UserError
from finetune.folders import weights
from finetune.folders.generation_config import read_generation_config
from finetune.folders.merge import copy_tokenizer
from finetune.llama.config import LlamaConfig


def stretch_positions(
    config: LlamaConfig, theta: float | None = None, factor: float | None = None, context: int | None = None
) -> LlamaConfig:
    """The shape of a model with a longer context; its weights stay as they are, and want training at that length.

    Args:
        config: of the model.
        theta: base of the rotary frequencies (Roziere et al. 2023, section 2.4: 1e6 in place of 1e4).
        factor: every position is divided by it (Chen et al. 2023, position interpolation, eq. 4); the context grows by
            as much unless `context` says otherwise.
        context: longest sequence, tokens; None: as many as before, or `factor` times as many.

    Raises:
        UserError: nothing would change, a number is out of range, or the model's positions are stretched already.
    """
    if theta is None and factor is None and context is None:
        raise UserError("give --theta, --factor or --context: what shall change?")
    if theta is not None and not theta > 1:
        raise UserError(f"--theta {theta:g}: must be more than 1")
    if context is not None and context < 1:
        raise UserError(f"--context {context}: must be at least 1 token")
    scaling = config.rope_scaling
    if factor is not None:
        if not factor > 1:
            raise UserError(f"--factor {factor:g}: must be more than 1")
        if scaling is not None:
            raise UserError(
                f"--factor: its positions are stretched already (rope_scaling {config.rope_type!r}); use --theta and "
                "--context, or begin with a folder that has none"
            )
        scaling = {"rope_type": "linear", "factor": factor}
    return replace(
        config,
        rope_theta=config.rope_theta if theta is None else theta,
        rope_scaling=scaling,
        max_position_embeddings=context or int(config.max_position_embeddings * (factor or 1)),
    )


def stretch_folder(
    folder: str | Path, output: str | Path, theta: float | None, factor: float | None, context: int | None
) -> LlamaConfig:
    """Write a model folder again with another `config.json`; see `stretch_positions`."""
    config = LlamaConfig.from_folder(folder)
    stretched = stretch_positions(config, theta, factor, context)
    source = weights.open_tensors(folder)
    weights.check_tensors(config, source, str(folder))
    weights.write_weights(source, stretched, output, generation=read_generation_config(folder))
    copy_tokenizer([folder], output)
    return stretched
