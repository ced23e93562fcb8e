"""What a configuration asks for and LLaMA has not is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from finetune.llama.config import LlamaConfig
from tests.finetune.llama.packed_documents import BASE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "mixtral"}, "model_type = 'mixtral' is not supported"),
        ({"hidden_act": "gelu"}, "field 'hidden_act' = 'gelu'"),
        ({"quantization_config": {"bits": 4}}, "field 'quantization_config' = {'bits': 4} is not supported"),
        ({"rope_scaling": {"rope_type": "longrope"}, "rope_parameters": None}, "'longrope' is not supported"),
        ({"num_key_value_heads": 3}, "must be a multiple of num_key_value_heads = 3"),
    ],
)
def test_unsupported_config_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**BASE.to_json(), **change}))
    with pytest.raises(UserError) as caught:
        LlamaConfig.from_folder(tmp_path)
    assert says in str(caught.value)
