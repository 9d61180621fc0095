"""The predicted training-phase peak of a trial: one update of its code on fake tensors (`repro.cost.training_peak`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from repro.cost import StepParts, training_peak
from repro.store.files import write_whole
from repro.training import planned_step

# Part of the cache's identity: raise it when the prediction itself changes.
SEMANTICS = 3


def predicted_peak(setup, cache: Path) -> dict:
    """{"total": bytes, "components": {...}} of one update at this trial's shapes: full micro-batch, longest lengths.

    Leaves out the generation phase and its key-value cache, gradients kept from earlier micro-steps of the update (the
    planner has both: `repro.training.planner`), the allocator's rounding, and the Python process. The number does not
    depend on the seed, so it is computed once per arm and kept in `cache`.
    """
    config = setup.config
    longest = max(setup.task.tokens(prompt.question) for prompt in setup.rl) if setup.task.generated else None
    prompt = min(longest or config.train.max_prompt, config.train.max_prompt)
    more = _verdict_turn(setup)
    if setup.method.needs().selected:
        more.append(setup.method.selected_tokens(config.train.max_completion))
    identity = json.dumps(
        [SEMANTICS, setup.base.digest, config.method, config.to_json()["train"], prompt, *more], sort_keys=True
    )
    path = cache / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
    if path.exists():
        try:
            return json.loads(path.read_text())
        except ValueError:
            path.unlink()  # a torn file: computed again
    peak = training_peak(lambda: _build(setup, prompt))
    write_whole(path, json.dumps(peak).encode())
    return peak


def _verdict_turn(setup) -> list[str]:
    """The verdict turn lengthens the rows of the methods that train on it."""
    return [setup.hashes["verdict"]] if setup.method.needs().verdict != "none" else []


def _build(setup, prompt: int) -> StepParts:
    from transformers import AutoConfig

    from repro.training.tokenizer import load_tokenizer

    width = 0
    if setup.method.needs().verdict != "none":
        # A generated task's tokenizer has one token per character; the turn of a chat model is about 20 tokens.
        width = setup.verdict_tokens(load_tokenizer(setup.base.folder), [0]).width
    shape = AutoConfig.from_pretrained(setup.base.folder)
    return planned_step.update(planned_step.Form(shape, setup.config.train, prompt, width), setup.method, held=[])
