"""A guarded method that must leave the global random generators alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from repro.methods.guard import Guarded


class Watched(Guarded):
    """TrialError also where a function of the method draws from a global generator of the CPU, or seeds it.

    The generators are left as they were, whatever it does.
    """

    def _ask(self, name: str, *given: Any) -> Any:
        saved = _states()
        try:
            # The state right behind a fresh seed would hide that the same seed is set again.
            torch.rand(()), np.random.random(), random.random()
            before = _states()
            answer = super()._ask(name, *given)
            used = [library for library, state in _states().items() if state != before[library]]
        finally:
            torch.set_rng_state(torch.tensor(saved["torch"], dtype=torch.uint8))
            np.random.set_state(saved["numpy"])
            random.setstate(saved["random"])
        if used:
            where = f"the global generator of {used[0]}"
            raise self._wrong(name, f"draws from {where}, or seeds it: draw from batch.generator alone, in credit")
        return answer


def _states() -> dict[str, Any]:
    """State of every global generator, by library; equal states compare equal."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (kind, keys.tolist(), *rest),
        "random": random.getstate(),
    }
