"""Every published shape has its published number of parameters, and transformers agrees with it."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

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
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "smollm3-3b": 3_075_098_624,
}


def test_every_shape_has_a_published_count() -> None:
    assert PUBLISHED.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts(name: str) -> None:
    config = get_architecture(name)
    with torch.device("meta"):
        model = Llama(config)
        peer = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config.to_json()))
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]
    assert config.num_parameters() == peer.num_parameters() == PUBLISHED[name]
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in peer.named_parameters()}


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"did you mean 'llama-2-13b'\?"):
        get_architecture("llama2-13b")
