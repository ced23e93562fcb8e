"""A PEFT folder as an adapter that is served beside others on one base."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from camelid.errors import UserError
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.folders.fingerprint import require_base_of_adapter
from finetune.folders.merge import has_tokenizer
from finetune.folders.open_folder import folder_fingerprint, open_chat_tokenizer
from finetune.generate.low_rank import LowRank, LowRankAdapter
from finetune.llama.model import Llama
from finetune.serve.served import ServedModel

# Fields of adapter_config.json that change what is computed, and the values with which they don't.
PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "modules_to_save": (None, []),
    "fan_in_fan_out": (False,),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "lora_bias": (False,),
}
KEY = re.compile(r"base_model\.model\.(.+)\.(lora_A|lora_B|lora_magnitude_vector)(?:\.weight)?")


def open_adapter(folder: str | Path, base: str | Path, model: Llama, end_ids: frozenset[int]) -> LowRankAdapter:
    """Load a LoRA, rsLoRA or DoRA adapter.

    Args:
        folder: of PEFT.
        base: the folder of the model.
        model: that it was trained on; stays as it is.
        end_ids: see `LowRankAdapter`.

    Raises:
        UserError: no PEFT folder, of another base, of a kind that only merging can add, or of other shapes.
    """
    from peft import PeftConfig
    from peft.utils import load_peft_weights

    if not (Path(folder) / "adapter_config.json").is_file():
        raise UserError(f"{folder}: no adapter_config.json; expected a PEFT folder")
    require_base_of_adapter(folder, base)
    try:
        config = PeftConfig.from_pretrained(str(folder))
        tensors = load_peft_weights(str(folder), device="cpu")
    except (ValueError, OSError, TypeError) as error:
        raise UserError(f"{folder}: {str(error).splitlines()[0]}") from None
    merge = f"merge it instead: `camelid weights merge {base} {folder} OUTPUT`"
    for field, plain in PLAIN.items():
        if getattr(config, field, plain[0]) not in plain:
            value = getattr(config, field)
            raise UserError(f"{folder}: an adapter with {field} = {value!r} cannot be served beside others; {merge}")
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        found = KEY.fullmatch(key)
        if found is None or found[1] == model.output_name:
            raise UserError(f"{folder}: the tensor {key!r} cannot be served beside other adapters; {merge}")
        parts.setdefault(found[1], {})[found[2]] = tensor
    return LowRankAdapter({name: _layer(name, each, config, model, folder) for name, each in parts.items()}, end_ids)


def open_served_adapter(base: ServedModel, name: str, folder: str | Path) -> ServedModel:
    """An adapter as a model of its own name, on weights that are in memory already.

    Chats are written by the adapter's chat template if its folder has one, as that of a tuned base has, else by the
    base's.

    Raises:
        UserError: see `open_adapter`; or its tokenizer is another one than the base's.
    """
    encoder, ends = base.encoder, base.end_ids
    if has_tokenizer(folder):
        tokenizer = open_tokenizer(folder)
        if tokenizer.get_vocab() != base.tokenizer.get_vocab():
            raise UserError(f"{folder}: its tokenizer has other tokens than the base's; merge it and serve the result")
        if tokenizer.chat_template:
            words = open_chat_tokenizer(Path(folder))
            encoder, ends = words.encoder, list(dict.fromkeys([*words.end_ids, *base.end_ids]))
    adapter = open_adapter(folder, base.folder, base.model, frozenset(ends))
    fingerprint = folder_fingerprint([base.folder, Path(folder)])
    return replace(
        base, name=name, fingerprint=fingerprint, encoder=encoder, end_ids=ends, adapter=adapter, base=base.name
    )


def _layer(name: str, parts: dict[str, Tensor], config: Any, model: Llama, folder: str | Path) -> LowRank:
    from peft.utils.other import get_pattern_key

    layer = dict(model.named_modules()).get(name)
    if not isinstance(layer, nn.Linear) or not {"lora_A", "lora_B"} <= set(parts):
        raise UserError(f"{folder}: does not fit the base: it has no linear layer {name!r}")
    down, up = parts["lora_A"], parts["lora_B"]
    if (up.shape[0], down.shape[1]) != (layer.out_features, layer.in_features) or up.shape[1] != down.shape[0]:
        raise UserError(f"{folder}: does not fit the base: {name} is of another shape")
    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern.keys(), name), config.lora_alpha)
    rank = down.shape[0]
    scale = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    dtype, device = model.model.norm.weight.dtype, model.model.norm.weight.device
    gain = None
    if "lora_magnitude_vector" in parts:
        if not layer.weight.is_floating_point():
            raise UserError(f"{folder}: a DoRA adapter wants its base in full precision; leave --bits out")
        changed = layer.weight.float().cpu() + scale * (up.float() @ down.float())
        gain = (parts["lora_magnitude_vector"].float().flatten() / changed.norm(dim=1)).to(device, dtype)
    return LowRank(down.to(device, dtype), (scale * up.float()).to(device, dtype), gain)
