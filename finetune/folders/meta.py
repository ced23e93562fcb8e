"""Meta's checkpoint layout: `params.json`, `consolidated.NN.pth` split for tensor parallelism, `tokenizer.model`.

Facts of the layout: github.com/meta-llama/llama, llama/model.py (which layers are split, and how rotary pairs lie).
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from camelid.errors import UserError
from finetune.folders.meta_params import Params, make_config, read_params
from finetune.folders.weights import LazyTensors, model_shapes, open_pickled, pickled_shapes
from finetune.llama.config import LlamaConfig

Shapes = dict[str, torch.Size]

# Meta's name within a layer -> Hugging Face's, and the dimension that tensor parallelism splits (None: not split).
LAYER: dict[str, tuple[str, int | None]] = {
    "attention.wq": ("self_attn.q_proj", 0),
    "attention.wk": ("self_attn.k_proj", 0),
    "attention.wv": ("self_attn.v_proj", 0),
    "attention.wo": ("self_attn.o_proj", 1),
    "feed_forward.w1": ("mlp.gate_proj", 0),
    "feed_forward.w2": ("mlp.down_proj", 1),
    "feed_forward.w3": ("mlp.up_proj", 0),
    "attention_norm": ("input_layernorm", None),
    "ffn_norm": ("post_attention_layernorm", None),
}


def open_checkpoint(folder: str | Path) -> tuple[LlamaConfig, LazyTensors]:
    """Read a folder in Meta's layout; the files are memory-mapped, tensors are put together when asked for.

    Raises:
        UserError: a file is missing or broken, a field of `params.json` is, or a tensor is missing, has no known name,
            or is not of the shape that `params.json` says.
    """
    folder = Path(folder)
    params = read_params(folder / "params.json")
    paths = _paths(folder)
    shapes = [pickled_shapes(path) for path in paths]
    _require_same_names(paths, shapes)
    config = make_config(params, shapes)
    parts = [open_pickled(path) for path in paths]
    source: dict[str, Callable[[], Tensor]] = {}
    expected = model_shapes(config)
    for name in shapes[0]:
        if name == "rope.freqs":
            continue
        theirs, dimension = _translate(name, shapes, params, folder)
        if theirs == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if theirs not in expected:
            raise UserError(f"{paths[0]}: tensor {name!r} is of a layer that params.json does not have")
        copies = _require_shape(name, [part[name] for part in shapes], dimension, expected[theirs], folder)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.kv_heads}.get(theirs.split(".")[-2])
        pieces = [part[name] for part in parts]
        source[theirs] = partial(_join, name, pieces, copies, dimension, heads, folder)
    missing = sorted(expected.keys() - source.keys())
    if missing:
        more = f" and {len(missing) - 1} more" * (len(missing) > 1)
        raise UserError(f"{folder}: missing tensor {missing[0]!r}{more}")
    return config, source


def _paths(folder: Path) -> list[Path]:
    """The files of the checkpoint, in order; a gap in their numbers is a file that is missing."""
    paths = sorted(folder.glob("consolidated.*.pth"))
    if not paths:
        raise UserError(f"{folder}: no consolidated.NN.pth; expected Meta's layout")
    for number, path in enumerate(paths):
        if path.name != f"consolidated.{number:02d}.pth":
            raise UserError(f"{folder / f'consolidated.{number:02d}.pth'}: is missing; copy it again")
    return paths


def _require_same_names(paths: list[Path], shapes: list[Shapes]) -> None:
    for name in dict.fromkeys(name for part in shapes for name in part if name != "rope.freqs"):
        absent = [path for path, part in zip(paths, shapes, strict=True) if name not in part]
        if absent:
            has = next(path.name for path, part in zip(paths, shapes, strict=True) if name in part)
            raise UserError(f"{absent[0]}: tensor {name!r} is missing, but {has} has it")


def _translate(name: str, shapes: list[Shapes], params: Params, folder: Path) -> tuple[str, int | None]:
    """Hugging Face's name of a tensor, and the dimension it is split along."""
    if name == "norm.weight":
        return "model.norm.weight", None
    if name == "output.weight":
        return "lm_head.weight", 0
    if name == "tok_embeddings.weight":
        # LLaMA-1 and 2 split the width of the embedding, Llama 3 its rows.
        return "model.embed_tokens.weight", 0 if shapes[0][name][-1] == params.dim else 1
    match = re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", name)
    if not match or match[2] not in LAYER:
        raise UserError(f"{folder}: unknown tensor {name!r} in consolidated.00.pth")
    theirs, dimension = LAYER[match[2]]
    return f"model.layers.{match[1]}.{theirs}.weight", dimension


def _require_shape(
    name: str, pieces: list[torch.Size], dimension: int | None, expected: torch.Size, folder: Path
) -> int:
    """How many files hold each piece of a tensor: one, but for keys and values of fewer heads than there are files.

    Raises:
        UserError: the pieces do not make what `params.json` says.
    """
    joined = list(pieces[0])
    copies = 1
    if any(piece != pieces[0] for piece in pieces):
        raise UserError(f"{folder}: tensor {name!r} has other shapes in other files: {sorted(map(list, set(pieces)))}")
    if dimension is not None and len(joined) == len(expected):
        joined[dimension] *= len(pieces)
        replicated = name.endswith(("attention.wk.weight", "attention.wv.weight"))
        if replicated and joined[0] > expected[0] and joined[0] % expected[0] == 0:
            copies = joined[0] // expected[0]
            joined[0] = expected[0]
    if joined != list(expected):
        raise UserError(
            f"{folder}: tensor {name!r} of {len(pieces)} file(s) comes to shape {joined}, but params.json says "
            f"{list(expected)}; is a file missing, or the params.json of another model?"
        )
    return copies


def _join(
    name: str, pieces: list[Callable[[], Tensor]], copies: int, dimension: int | None, heads: int | None, folder: Path
) -> Tensor:
    """Put the pieces of one tensor together; queries and keys also change the order of their rotary pairs.

    Meta turns dimension 2i with 2i + 1, Hugging Face i with i + d/2.
    """
    own = pieces[:1] if dimension is None else pieces[::copies]
    for number in range(len(pieces) if copies > 1 else 0):
        if not torch.equal(pieces[number](), own[number // copies]()):
            raise UserError(f"{folder}: {name!r} of consolidated.{number:02d}.pth should repeat an earlier file's")
    tensor = torch.cat([piece() for piece in own], dim=dimension or 0) if len(own) > 1 else own[0]()
    if heads is None:
        return tensor
    rows, width = tensor.shape
    return tensor.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)
