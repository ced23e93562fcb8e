"""Every published shape has its published number of parameters, and transformers agrees with it."""

import pytest
import torch
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM as Peer

from camelid.errors import UserError
from finetune.llama.architectures import ARCHITECTURES, get_architecture
from finetune.llama.model import Llama

# Total parameters as the Hugging Face hub shows them for each model's safetensors.
PUBLISHED = {
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "code-llama-7b": 6_738_546_688,
    "code-llama-13b": 13_016_028_160,
    "code-llama-34b": 33_743_970_304,
    "code-llama-70b": 68_976_910_336,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-8b-instruct": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "tinyllama-1.1b": 1_100_048_384,
}


def test_every_shape_has_a_published_count() -> None:
    assert PUBLISHED.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts(name: str) -> None:
    config = get_architecture(name)
    with torch.device("meta"):
        model = Llama(config)
        peer = Peer(PeerConfig(**config.to_json()))
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]
    assert config.num_parameters() == peer.num_parameters() == PUBLISHED[name]
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in peer.named_parameters()}


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"did you mean 'llama-2-13b'\?"):
        get_architecture("llama2-13b")
