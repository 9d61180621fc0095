"""What every process that trains sets up first: allocator, threads, and dying together with its parent. Linux.

Not covered: systems without glibc or prctl, where the calls are skipped and only the pipe watcher of `child` remains.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# Read by torch, numpy and the hub client when they are imported, so they must be set before that. The thread counts
# decide the bits of a result on the CPU and are forced; the rest keeps what the user has set.
FORCED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    # Arrow's allocator starts a thread when it is imported; the fork server must have none.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
DEFAULTS = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "WANDB_SILENT": "true"}

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_GIB, _MIB = 1 << 30, 1 << 20


def environment() -> dict[str, str]:
    """The environment variables of a process that trains."""
    return {**DEFAULTS, **os.environ, **FORCED}


def keep_freed_memory() -> bool:
    """Let glibc reuse large freed blocks. Returns whether it was possible.

    A key-value cache that grows by concatenation gets a new large block for every token. By default glibc maps each
    one afresh and the kernel clears it page by page: growing 8 caches of (128, 4, t, 32) floats to t = 96 took 4 times
    as long as with these settings (2.1 s against 0.5 s), with 20 to 30 times the page faults.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Older glibc refuses a threshold above 32 MiB.
    mapped = mallopt(_M_MMAP_THRESHOLD, _GIB) or mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, _GIB))


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to SIGKILL this process when the one that started it ends. `parent`: its pid, if known.

    Safe between fork and exec. A parent that is gone already is noticed by its pid.
    """
    expected = os.getppid() if parent is None else parent
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != expected:
        os.kill(os.getpid(), signal.SIGKILL)


def one_thread() -> None:
    """Hold torch to one thread, if it is loaded: side by side on shared cores more threads are many times slower."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
