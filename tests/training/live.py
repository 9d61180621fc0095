"""Bytes of all tensors that are really alive, counted by weak references alone: independent of the planner."""

from __future__ import annotations

import contextlib
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """`with LiveBytes(tensors) as live:` counts storages from then on; `live.phase(name)` keeps a peak by itself."""

    def __init__(self, start=()):
        super().__init__()
        self.now = self.peak = 0
        self.peaks: dict[str, int] = {}
        self.known: set[int] = set()
        for tensor in start:
            self.add(tensor)

    @contextlib.contextmanager
    def phase(self, name: str):
        """The peak inside the block, kept in `peaks`; a phase inside another pauses it."""
        outer, self.peak = self.peak, self.now
        try:
            yield
        finally:
            self.peaks[name] = max(self.peak, self.peaks.get(name, 0))
            self.peak = max(outer, self.now)

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result
