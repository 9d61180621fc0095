"""Memory of the host and facts about the machine. No torch."""

from __future__ import annotations

import os
import resource
import sys


def peak_host_rss() -> int:
    """Largest resident memory of this process so far, in bytes. Workers run one trial each, so it is the trial's own.

    Pages shared with the process it was forked from are included; its own children are not.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine() -> dict[str, int | None]:
    """{"cores": usable by this process, "memory": bytes of RAM, "memory_limit": limit of the control group or None}."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "memory_limit": _memory_limit(),
    }


def _memory_limit() -> int | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                limit = int(file.read())
        except (OSError, ValueError):
            continue
        # Version 1 says "no limit" with a number near 2**63.
        return limit if limit < 1 << 60 else None
    return None
