"""What torch finds on this machine: GPUs, how the processor computes, which attention kernel training will use."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Gpu:
    """One CUDA device.

    Attributes:
        memory: bytes.
        bf16: whether it computes in bfloat16, as all recipes do.
    """

    name: str
    memory: int
    bf16: bool


def list_gpus() -> list[Gpu]:
    """The CUDA devices that torch can use."""
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [Gpu(device.name, device.total_memory, device.major >= 8) for device in found]  # Ampere was the first


def cuda_build() -> str | None:
    """The CUDA version that this torch was built for; None for a CPU build."""
    version: str | None = torch.version.cuda
    return version


def cpu_has_bf16() -> bool:
    """Whether torch can reach bfloat16 units of the processor: AVX512-BF16 or AMX, so AVX512 at the least.

    Without them a product in bfloat16 took 7 to 10 times as long as in float32 (2048 x 256 x 256 to 2048 x 1024 x 1024,
    torch 2.13, 2 cores of an AMD EPYC with AVX2).
    """
    return torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "NO AVX", "AVX2")
