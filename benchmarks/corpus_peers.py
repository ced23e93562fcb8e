"""Other people's cleaners of LLaMA's sources, for a program that runs in their environment (`peers.corpus_python`).

Each is loaded from its own file as it was published; what it imports and does not need here is a stub.
"""

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

SITE = next(Path(path) for path in sys.path if (Path(path) / "data_juicer").is_dir())


class _Stub(types.ModuleType):
    """A module of which every name is there: a base class for classes, and a decorator that changes nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Base


class _Base:
    text_key = "text"

    def __init__(self, *given: Any, **more: Any) -> None: ...

    @staticmethod
    def register_module(name: str) -> Callable[[Any], Any]:
        return lambda kind: kind


def _load(name: str, path: str, *stubs: str) -> Any:
    """A module of its file; `name` is what it would be called, for its relative imports."""
    for stub in stubs:
        sys.modules.setdefault(stub, _Stub(stub))
    spec = importlib.util.spec_from_file_location(name, SITE / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def data_juicer(kind: str, name: str) -> Any:
    """The class of one of data-juicer's operators, of a kind such as `mapper`."""
    stubs = (
        "data_juicer",
        "data_juicer.ops",
        f"data_juicer.ops.{kind}",
        "data_juicer.ops.base_op",
        "loguru",
        "jsonargparse",
    )
    more = (
        "data_juicer.utils",
        "data_juicer.utils.constant",
        "data_juicer.utils.lazy_loader",
        "data_juicer.ops.common",
    )
    stubs += (*more, "data_juicer.ops.common.helper_func")
    module = _load(f"data_juicer.ops.{kind}.{name}", f"data_juicer/ops/{kind}/{name}.py", *stubs)
    return getattr(module, "".join(part.capitalize() for part in name.split("_")))


def data_juicer_stack_exchange() -> Any:
    """data-juicer's script for Stack Exchange's dumps; it wraps its functions in a logger that prints."""
    logger = types.SimpleNamespace(catch=lambda **_: lambda function: function, info=lambda text: None)
    sys.modules["loguru"] = _Stub("loguru")
    sys.modules["loguru"].logger = logger  # type: ignore[attr-defined]
    return _load("raw_stackexchange", "tools/preprocess/raw_stackexchange_to_jsonl.py", "fire")


def nemo_arxiv() -> Any:
    """NeMo Curator's extractor of arXiv's papers."""
    stubs = ("nemo_curator", "nemo_curator.stages", "nemo_curator.stages.text", "nemo_curator.stages.text.download")
    module = _load("nemo_arxiv", "nemo_curator/stages/text/download/arxiv/extract.py", *stubs)
    return module.ArxivExtractor()


def cc_net(name: str) -> Any:
    """A module of cc_net."""
    for stub in ("func_argparse", "bs4"):
        sys.modules.setdefault(stub, _Stub(stub))
    return importlib.import_module(f"cc_net.{name}")


def c4_utils(tokenize: Callable[[str], list[str]]) -> Any:
    """The code that made C4, with a function from a text to its sentences: its own would be downloaded."""
    lazy = "tensorflow_datasets.core.utils.lazy_imports_utils"
    parts = lazy.split(".")
    packages = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    module = _load("c4_utils", "tensorflow_datasets/text/c4_utils.py", *packages, "tensorflow_datasets.public_api")
    module.tf = types.SimpleNamespace(compat=types.SimpleNamespace(as_text=str))
    module._SENTENCE_TOKENIZER = types.SimpleNamespace(tokenize=tokenize)
    return module
