"""What the page of one experiment shows beside its tables: figures, settings, cost, and where the records were made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from repro.experiments.resolve import NAMES, flatten
from repro.experiments.types import Experiment
from repro.report.format import count, seconds

Record = dict[str, Any]
CAPTIONS = {
    "accuracy": "Accuracy of every arm with its 95 % interval",
    "curves": "Accuracy on held-out questions while training",
    "cost": "Time of a training step by phase, and memory",
    "health": "What training looks like from inside: reward, length, entropy, KL and gradients",
    "tradeoff": "Accuracy against training time",
    "memory": "Predicted peak memory by component at the papers' model sizes",
    "scaling": "Accuracy against the number of samples, by the rule that chooses an answer",
    "lambda": "Accuracy and verifier against the weight of the verdicts",
    "calibration": "How often answers are right, against the verifier's score",
    "budgets": "Accuracy under length budgets",
    "passk": "pass@k against k",
    "objectives": "The trained objectives while training",
    "k": "What changes with k",
    "levels": "pass@k by level of difficulty",
    "tokens": "Accuracy against the share of tokens that are trained",
    "fit": "Accuracy on questions of training and of the test",
    "groups": "One group of completions, and which of its tokens are trained",
    "bandit": "Bandits: reward, best of k and KL while training",
    "variance": "Variance of one gradient estimate",
}
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def figures(name: str, files: Iterable[Path]) -> list[dict[str, Any]]:
    """The pictures of the report `name` among `files`: caption, file names by kind, and size in CSS pixels."""
    known = {path.name: path for path in files}
    found = []
    for path in sorted(path for path in known.values() if path.suffix == ".svg"):
        kind = path.stem.removeprefix(f"{name}_")
        width, height = _size(path)
        found.append(
            {
                "kind": kind,
                "caption": CAPTIONS.get(kind, kind.replace("_", " ").capitalize()),
                "width": width,
                "height": height,
                "svg": path.name,
                "others": [path.stem + ending for ending in (".png", ".csv") if path.stem + ending in known],
            }
        )
    order = list(CAPTIONS)
    return sorted(found, key=lambda f: order.index(f["kind"]) if f["kind"] in order else len(order))


def _size(path: Path) -> tuple[int, int]:
    """Width and height in CSS pixels, so that a page does not jump while its pictures load."""
    with path.open(encoding="utf-8", errors="replace") as file:
        match = _SIZE.search(file.read(2000))
    points = map(float, match.groups()) if match else (504.0, 360.0)
    width, height = (round(one * 4 / 3) for one in points)
    return width, height


def settings(experiment: Experiment, records: Sequence[Record]) -> dict[str, list]:
    """`shared`: (field, value) that all arms have; `own`: (arm, [(field, value)]) of what differs."""
    one_each = {r["arm"]: r["config"] for r in reversed(records)}
    configs = {arm: _fields(config) for arm, config in one_each.items()}
    if not configs:
        return {"shared": [], "own": []}
    first = next(iter(configs.values()))
    shared = {f: v for f, v in first.items() if all(other.get(f) == v for other in configs.values())}
    own = [
        (arm.display, [(f, v) for f, v in configs[arm.id].items() if f not in shared])
        for arm in experiment.arms
        if arm.id in configs
    ]
    return {"shared": list(shared.items()), "own": own}


def _fields(config: dict[str, Any]) -> dict[str, str]:
    left_out = (*NAMES, "scale", "seed")
    return {f: json.dumps(v, ensure_ascii=False) for f, v in flatten(config).items() if f not in left_out}


def cost(records: Sequence[Record]) -> dict[str, str]:
    """Heading -> words: what all trials together took."""
    done = [r["cost"] for r in records if r["status"] == "done"]
    if not done:
        return {}
    training, evaluation = (sum(c.get(name) or 0.0 for c in done) for name in ("train_seconds", "evaluate_seconds"))
    bases = {r["hashes"].get("base"): r["base"]["seconds"] for r in records if (r.get("base") or {}).get("seconds")}
    failed = len(records) - len(done)
    words = {
        "Trials": f"{count(len(done))} done" + (f", {count(failed)} failed" if failed else ""),
        "Training, all trials": seconds(training),
        "Evaluation, all trials": seconds(evaluation),
        "Base models, trained once": seconds(sum(bases.values())) if bases else "",
        "Completions sampled in training": count(sum(c.get("completions") or 0 for c in done)),
    }
    return {heading: text for heading, text in words.items() if text}


def origin(records: Sequence[Record]) -> dict[str, str]:
    """Heading -> words: machine, versions and commits that the records name."""
    made = [r.get("provenance") or {} for r in records]
    dirty = sum(bool(p.get("dirty")) for p in made)
    commits = _distinct(str(p["commit"])[:7] for p in made if p.get("commit"))
    packages = next((p["packages"] for p in made if isinstance(p.get("packages"), dict)), {})
    words = {
        "Machine": _distinct(machine(r) for r in records),
        "Suite": _distinct(p.get("repro") for p in made),
        "Commit": commits + (f" ({dirty} of {len(made)} records with uncommitted changes)" if dirty else ""),
        "Python": _distinct(p.get("python") for p in made),
        "Packages of the first record": ", ".join(f"{name} {version}" for name, version in packages.items()),
    }
    return {heading: text for heading, text in words.items() if text}


def machine(record: Record) -> str:
    """The hardware of a record in words; "" where it does not say."""
    provenance = record.get("provenance") or {}
    return str(provenance.get("measured_on") or provenance.get("gpu") or provenance.get("cpu") or "")


def _distinct(words: Iterable[Any]) -> str:
    return "; ".join(dict.fromkeys(str(word) for word in words if word))
