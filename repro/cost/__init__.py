"""What a trial costs: time and peak memory per phase, and the predicted memory peak of a training step.

`training_peak`, `StepParts` and `static_logprob_head` need torch and are loaded on first use.
"""

from __future__ import annotations

import importlib

from repro.cost.phases import PHASES, PhaseTimer

_LAZY = {"StepParts": "peak", "training_peak": "peak", "static_logprob_head": "head"}

__all__ = ["PHASES", "PhaseTimer", "StepParts", "static_logprob_head", "training_peak"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"repro.cost.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
