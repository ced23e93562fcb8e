"""Launch files name a world size and settings that accelerate knows."""

from pathlib import Path

import pytest
import yaml

from finetune.layout import read_launch_file

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("path", sorted((RECIPES / "launch").glob("*.yaml")), ids=lambda path: path.stem)
def test_launch_files_name_a_world_size_and_known_settings(path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig

    processes = read_launch_file(path).processes
    assert processes >= 1
    assert ClusterConfig.from_yaml_file(str(path)).num_processes == processes
    fsdp = yaml.safe_load(path.read_text()).get("fsdp_config")
    assert fsdp is None or fsdp["fsdp_transformer_layer_cls_to_wrap"] == "LlamaDecoderLayer"
