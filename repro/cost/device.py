"""The device that computes, and its peak rate: what utilisation is measured against.

Peaks are the makers' dense figures (without sparsity): bf16 by tensor cores with fp32 accumulation, fp32 by the plain
units, because PyTorch leaves TF32 off by default. A device that is not in the table is measured.
Not covered: several devices, power limits, and CPUs by several threads (trials run on one).
"""

from __future__ import annotations

import time
from typing import Literal

import torch

from repro.store.provenance import cpu_model

# Part of the card's name -> (bf16, fp32) FLOP/s; the first match counts.
CARDS = {
    "B200": (2250e12, 75e12),
    "H200": (989.4e12, 66.9e12),
    "H100 PCIe": (756e12, 51.2e12),
    "H100 NVL": (835e12, 60e12),
    "H100": (989.4e12, 66.9e12),
    "A100": (312e12, 19.5e12),
    "L40S": (362e12, 91.6e12),
    "L4": (121e12, 30.3e12),
    "A10G": (70e12, 31.5e12),
    "A10": (125e12, 31.2e12),
    "RTX 4090": (165.2e12, 82.6e12),
    "RTX 3090": (71e12, 35.6e12),
}
_SIZE, _REPEATS = 512, 12


def device(precision: Literal["fp32", "bf16"] = "fp32") -> dict[str, str | float]:
    """{"name", "flops": peak FLOP/s, "how": where the peak comes from} of the device on which trials run."""
    if not torch.cuda.is_available():
        return {"name": cpu_model(), "flops": _measured("cpu", torch.float32), "how": "fp32 matmul on one thread"}
    name = torch.cuda.get_device_name()
    return {"name": name, **card(name, precision)}


def card(name: str, precision: str) -> dict[str, str | float]:
    """{"flops", "how"} of a CUDA device by its name; measured where the name is unknown."""
    # Whole words: an L40S is no L4, an A100 no A10.
    words = f" {name.replace('-', ' ')} "
    for part, (bf16, fp32) in CARDS.items():
        if f" {part} " in words:
            return {"flops": bf16 if precision == "bf16" else fp32, "how": f"{part}, dense {precision}, as specified"}
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return {"flops": _measured("cuda", dtype, 16 * _SIZE), "how": f"{precision} matmul, measured"}


def _measured(where: str, dtype: torch.dtype, size: int = _SIZE) -> float:
    """FLOP/s of the fastest of some products of two square matrices; on a CPU by one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        square = torch.ones((size, size), dtype=dtype, device=where)
        fastest = min(_seconds(square, square) for _ in range(_REPEATS))
    finally:
        torch.set_num_threads(threads)
    return 2 * size**3 / fastest


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    if left.is_cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    left @ right
    if left.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started
