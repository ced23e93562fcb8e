"""`camelid doctor`: whether this machine is ready, one line a finding, each with its fix."""

import argparse
import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from camelid.errors import UserError
from camelid.models.llm import Failure
from camelid.sandbox.execute import why_missing
from camelid.sandbox.table import DEFAULT, SANDBOXES
from camelid.sandbox.unprotected import UNPROTECTED

# What a missing extra means; every extra of pyproject.toml is here (tests/camelid/app/test_doctor.py).
EXTRAS = {
    "corpus": "`corpus read` of WARC files (HTML) and of .7z archives needs it; WET, dumps and folders don't",
    "deepspeed": "recipes/launch/deepspeed-*.yaml need it; DDP and FSDP2 don't",
    "embed": "`conversations score` with --unlike needs it",
    "flash": "on CUDA, attention uses torch's own flash-attention instead; it needs CUDA to build",
    "fp8": "run.precision=fp8 needs it",
    "meta": "model folders that have tokenizer.model alone need it",
    "perplexity": "`corpus build` and `corpus read` with a keep.perplexity need it; it compiles KenLM",
    "quant": "adapter.kind=qlora and 8-bit optimizers need it",
    "scale": "`conversations dedup` and `selfinstruct dedup` need it",
    "serve": "`serve` needs it",
    "track": "run.trackers=[tensorboard] or [wandb] need it; metrics.jsonl is always written",
}
# A 7B in bfloat16 takes 13.5 GB (LLaMA, table 2: 6.7 billion parameters, 2 bytes each), and has to be written once.
DISK = 20e9
TIMEOUT = 5.0  # seconds for the one question to the API


@dataclass(frozen=True)
class Finding:
    """One line: how it stands, about what, and what to do. Only a problem makes the exit status 1."""

    level: Literal["ok", "note", "warning", "problem"]
    what: str
    text: str


def register(rooms: Any) -> None:
    """Add the `doctor` command."""
    parser = rooms.add_parser("doctor", help="is this machine ready? versions, GPU, disk, API key")
    parser.add_argument("--base-url", metavar="URL", help="ask this OpenAI-compatible server instead of OpenAI")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is found; status 1 if something needed is broken."""
    problems = warnings = 0
    for finding in findings(args.base_url):
        print(f"{finding.level:8} {finding.what}: {finding.text}", flush=True)
        problems += finding.level == "problem"
        warnings += finding.level == "warning"
    print(f"problems: {problems}, warnings: {warnings}")
    return 1 if problems else 0


def findings(base_url: str | None) -> Iterator[Finding]:
    """All checks, in the order they are printed."""
    yield from packages("camelid")
    yield machine()
    yield from gpu()
    yield disk("here", Path.cwd())
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    yield disk("Hugging Face cache", home)
    yield accelerate(home / "accelerate" / "default_config.yaml")
    yield sandbox()
    yield api(base_url)


def packages(name: str) -> Iterator[Finding]:
    """Python, and the requirements that the installed package declares; its extras are optional."""
    yield Finding("ok", "Python", f"{platform.python_version()} at {sys.executable}")
    try:
        declared = [Requirement(line) for line in importlib.metadata.requires(name) or []]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("warning", name, "runs from a folder, is not installed; run: pip install -e .")
        return
    needed = [item for item in declared if is_required(item, "")]
    wrong = {item.name: state for item in needed if (state := check_installed(item)) is not True}
    for item in needed:
        if item.name in wrong:
            text = f"{wrong[item.name]}; run: pip install '{item.name}{item.specifier}'"
            yield Finding("problem", item.name, text)
    versions = [f"{item.name} {importlib.metadata.version(item.name)}" for item in needed if item.name not in wrong]
    yield Finding("ok", "packages", ", ".join(versions))
    for extra, meaning in EXTRAS.items():
        parts = [item for item in declared if is_required(item, extra) and not is_required(item, "")]
        unmet = [item.name for item in parts if check_installed(item) is not True]
        if unmet:
            yield Finding(
                "note", f"extra {extra}", f"{', '.join(unmet)} not found: {meaning}; pip install 'camelid[{extra}]'"
            )
        else:
            yield Finding("ok", f"extra {extra}", "found")
    if importlib.util.find_spec("vllm"):
        yield Finding("ok", "vllm", "found")
    else:
        yield Finding("note", "vllm", "not found: --engine vllm needs it; the native engine doesn't")


def is_required(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement counts on this machine for an extra ("" = without any)."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def check_installed(requirement: Requirement) -> str | Literal[True]:
    """Whether a package is here in a version that will do; a text says what is wrong."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    return requirement.specifier.contains(version, prereleases=True) or f"{version} is not {requirement.specifier}"


def machine() -> Finding:
    """Cores and memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("ok", "machine", f"{cores} CPU cores, {memory:.0f} GiB of memory, {platform.platform()}")


def gpu() -> Iterator[Finding]:
    """GPUs, their driver, and what attention will use on them."""
    driver = nvidia_driver()
    try:
        from finetune.parallel.devices import cuda_build, list_gpus

        devices = list_gpus()
    except (ImportError, OSError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Finding("problem", "torch", f"does not start ({first}); reinstall: pip install --force-reinstall torch")
        return
    for number, device in enumerate(devices):
        text = f"{device.name}, {device.memory / 2**30:.0f} GiB, driver {driver or 'unknown'}"
        if device.bf16:
            yield Finding("ok", f"GPU {number}", f"{text}, bfloat16")
        else:
            yield Finding("warning", f"GPU {number}", f"{text}, no bfloat16: train with run.precision=fp32")
    if devices and importlib.util.find_spec("flash_attn"):
        yield Finding("ok", "attention", "flash-attn")
    elif devices:
        yield Finding("ok", "attention", "torch's own flash-attention")
    elif driver and cuda_build() is None:
        yield Finding(
            "problem", "GPU", f"driver {driver} is here, but torch is a CPU build: see pytorch.org/get-started"
        )
    elif driver:
        yield Finding("problem", "GPU", f"torch (CUDA {cuda_build()}) cannot use driver {driver}: update the driver")
    else:
        yield Finding(
            "note", "GPU", "none: fine for data, evaluation and the demo; a 7B needs one (try `finetune --plan`)"
        )


def nvidia_driver() -> str | None:
    """The version of the NVIDIA driver, None without a working one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return lines[0] if lines else None


def disk(what: str, folder: Path) -> Finding:
    """Free space where `folder` is or will be."""
    here = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(here).free
    text = f"{free / 1e9:,.0f} GB free in {folder}"
    if not os.access(here, os.W_OK):
        return Finding("warning", f"disk, {what}", f"{text}, which you may not write to")
    if free < DISK:
        return Finding("warning", f"disk, {what}", f"{text}; a 7B model alone takes 13.5 GB: free some, or move")
    return Finding("ok", f"disk, {what}", text)


def accelerate(path: Path) -> Finding:
    """The configuration that `accelerate launch` takes where it is given none."""
    if path.exists():
        return Finding("note", "accelerate", f"{path} counts for `accelerate launch` without --config_file")
    return Finding("ok", "accelerate", "no configuration of your own; recipes/launch/*.yaml are ready to use")


def sandbox() -> Finding:
    """Whether programs can be run apart from this machine (evaluation and data of code)."""
    missing = {name: why_missing(name) for name in SANDBOXES if name != UNPROTECTED.name}
    working = [name for name, reason in missing.items() if reason is None]
    if working:
        return Finding("ok", "sandbox", f"{' and '.join(working)} works")
    return Finding("note", "sandbox", f"only --sandbox {UNPROTECTED.name} for programs: {missing[DEFAULT]}")


def api(base_url: str | None) -> Finding:
    """Whether the API takes the key: one request for the list of models. The key itself is never printed."""
    if base_url is None and not os.environ.get("OPENAI_API_KEY"):
        return Finding(
            "note", "API", "no OPENAI_API_KEY: `offline` and model folders work; others need it or --base-url"
        )
    from camelid.models.openai_api import list_models

    where = base_url or os.environ.get("OPENAI_BASE_URL") or "OpenAI"
    try:
        models = asyncio.run(list_models(base_url, TIMEOUT))
    except UserError as error:  # an address that can't be one
        return Finding("problem", "API", str(error))
    if not isinstance(models, Failure):
        return Finding("ok", "API", f"{where} answers: {len(models)} models")
    if models.kind == "authentication":  # its text may hold part of the key
        return Finding("problem", "API", f"{where} refuses the key; set OPENAI_API_KEY to one that is valid there")
    if models.kind == "not_found":
        return Finding("warning", "API", f"{where} has no list of models; check that the address ends in /v1")
    detail = models.detail.replace(os.environ.get("OPENAI_API_KEY") or "\n", "[key]")
    return Finding("problem", "API", f"{detail}; check the address and the network")
