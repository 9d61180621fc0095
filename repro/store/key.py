"""The trial key: a hash of everything that decides a trial's result, and of nothing else.

Names (experiment, arm, variant) and what leaves the result alone (trackers, checkpoints, processes) are not in it; nor
are commit, package versions and hardware, which a record keeps as provenance.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from repro.store.config import TrialConfig

_NAMES = ("experiment", "arm", "variant")
# Settings that came after the first records: at these values a trial is what it was before they existed.
_LATER = (
    {"name": None, "verify": False, "kl": False, "vote": False, "lenient": False, "shots": 0},
    {"backend": "transformers", "budgets": [], "dev_pass": None, "curve": None, "completions": "few"},
)
_WITHOUT_EFFECT = ("trackers", "keep_checkpoints", "checkpoint_every", "processes")


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only; NaN and infinity are a `ValueError`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def content_hash(value: Any) -> str:
    """sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def trial_key(config: TrialConfig, hashes: dict[str, Any]) -> str:
    """64 hex digits. `hashes` must hold "prompts" and "base"; the latter stands for a folder's path."""
    missing = {"prompts", "base"} - set(hashes)
    if missing:
        raise ValueError(f"trial_key needs the hashes of {', '.join(sorted(missing))}")
    return content_hash({"config": deciding(config.to_json()), "hashes": hashes})


def deciding(config: dict[str, Any]) -> dict[str, Any]:
    """The part of `TrialConfig.to_json()` that decides the result."""
    content = {name: value for name, value in config.items() if name not in _NAMES}
    content["train"] = {name: value for name, value in config["train"].items() if name not in _WITHOUT_EFFECT}
    content["evaluation"] = before(config["evaluation"])
    content["base"] = {name: value for name, value in config["base"].items() if name != "path"}
    return _same_numbers(content)


def before(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Evaluation settings in JSON without later additions that are at their neutral values."""
    of_set, of_all = _LATER
    kept = {name: value for name, value in evaluation.items() if name not in of_all or value != of_all[name]}
    if "sets" in kept:
        kept["sets"] = [
            {name: value for name, value in one.items() if name not in of_set or value != of_set[name]}
            for one in kept["sets"]
        ]
    return kept


def _same_numbers(value: Any) -> Any:
    """1 and 1.0 are one setting, so they must not be two keys."""
    if isinstance(value, dict):
        return {key: _same_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_same_numbers(item) for item in value]
    return int(value) if type(value) is float and value.is_integer() else value
