"""Test-time scaling as Markdown and as plain data: accuracy against N, samples needed, the verifier, empty votes.

Rates are printed in percent. Everything is a mean over seeds and questions of one set; intervals are in the figures and
with the claims.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from repro.experiments.types import Experiment
from repro.report.format import MISSING, fixed, markdown_table, percent
from repro.report.scaling import RULE_NAMES, RULES, ArmScaling, Scaling, pairs
from repro.statistics.efficiency import efficiency, samples_to_reach

MOST_IN_FULL = 12  # core arms: with more (a tuning grid), and for ablations, every rule would be too much to take in
NOTES = (
    "Accuracy with N samples of the pool of a question, mean over questions, subsets of the pool and seeds. Majority "
    "vote needs no verifier; weighted vote sums the verifier's P(Yes) over the samples with the same answer; best-of-N "
    "takes the answer of the highest P(Yes); pass@N is the ceiling of every rule. The verifier of an arm without ^V is "
    "the same model with the same prompt, not trained to verify (LLM-as-a-judge)."
)


def scaling_section(experiment: Experiment, scaling: Scaling) -> list[str]:
    """Blocks of Markdown under one heading; [] if nothing of this kind was measured."""
    if not scaling:
        return []
    parts = ["## Test-time scaling\n", NOTES + "\n"]
    for name, arms in scaling.items():
        parts += [f"### Accuracy against the number of samples N: {name}, %\n", _rules_table(arms)]
    if needed := _needed_table(experiment, scaling):
        parts += ["### Samples needed to match the base method's best majority vote\n", needed]
    parts += ["### The verifier\n", _verifier_table(scaling)]
    parts += ["### Votes without any parsed answer, %\n", _none_table(scaling)]
    return parts


def _rules_table(arms: dict[str, ArmScaling]) -> str:
    sizes = sorted({n for one in arms.values() for n in one.sizes})
    full = sum(one.core for one in arms.values()) <= MOST_IN_FULL
    cells = []
    for one in arms.values():
        rules = RULES if one.core and full else RULES[:2]
        cells += [[one.display, RULE_NAMES[rule], *[percent(one.at(rule, n)) for n in sizes]] for rule in rules]
    return markdown_table(["Arm", "Rule", *[f"N={n}" for n in sizes]], cells, numbers_from=2)


def samples_needed(base: ArmScaling, other: ArmScaling) -> dict[str, float | None] | None:
    """What `other` needs by weighted vote for the best majority accuracy of `base`: target, both N, and their ratio.

    `samples` is None if the pool ends before the target; then the true factor is below `factor`. None if the two were
    evaluated at different sizes. Point estimates: the claims carry the intervals.
    """
    if base.sizes != other.sizes:
        return None
    majority, weighted = (np.array([one.mean(rule)]) for one, rule in ((base, "majority"), (other, "weighted")))
    target = float(majority.max())
    needed = float(samples_to_reach(base.sizes, weighted, target)[0])
    return {
        "target": target,
        "base_samples": float(samples_to_reach(base.sizes, majority, target)[0]),
        "samples": needed if math.isfinite(needed) else None,
        "factor": float(efficiency(base.sizes, majority, weighted, censored=1.0)[0]),
    }


def _needed_table(experiment: Experiment, scaling: Scaling) -> str | None:
    header = ["Base method", "Set", "Best majority accuracy %", "at N", "^V, weighted vote: N needed", "Fewer by"]
    cells = []
    for name, arms in scaling.items():
        for base, other in pairs(experiment):
            if base.id not in arms or other.id not in arms:
                continue
            found = samples_needed(arms[base.id], arms[other.id])
            if found is None:
                continue
            largest = arms[other.id].sizes[-1]
            needed = f"> {largest}" if found["samples"] is None else fixed(found["samples"], 1)
            factor = ("below " if found["samples"] is None else "") + fixed(found["factor"], 2) + "x"
            cells.append(
                [base.display, name, percent(found["target"]), fixed(found["base_samples"], 0), needed, factor]
            )
    if not cells:
        return None
    note = (
        "\nBetween two sizes the curve is a straight line over log N. A factor below 1 means that more samples are "
        "needed. It cannot exceed the N of the base method's best vote.\n"
    )
    return markdown_table(header, cells, numbers_from=2) + note


def _verifier_table(scaling: Scaling) -> str:
    header = [
        "Arm", "Set", "Verifier", "Accuracy at 0.5 %", "of parsed %", "normalised %", "AUC %", "AUC within questions %",
        "Yes %", "Correct %", "P(Yes)+P(No) %",
    ]  # fmt: skip
    keys = (
        "accuracy", "accuracy_parsed", "accuracy_normalised", "auc", "auc_within", "yes_rate", "base_rate", "mass",
    )  # fmt: skip
    names = list(scaling)
    arms = list(dict.fromkeys(arm for name in names for arm in scaling[name]))
    rows = [scaling[name][arm] for arm in arms for name in names if arm in scaling[name]]
    sets = [name for arm in arms for name in names if arm in scaling[name]]
    cells = [
        [one.display, name, one.verifier, *[percent(one.numbers[key]) for key in keys]]
        for one, name in zip(rows, sets, strict=True)
    ]
    note = (
        "\nAccuracy at 0.5: share of samples whose verdict (P(Yes) at least 0.5) is right; a sample without a parsed "
        "answer is not correct. Read it beside the share of correct samples: a verifier that always says the commoner "
        "word has the larger of Correct and 100 - Correct. Normalised: with P(Yes) / (P(Yes) + P(No)). AUC: chance "
        "that a correct sample is scored above a wrong one, over all samples, and within questions that have both.\n"
    )
    return markdown_table(header, cells, numbers_from=3) + note


def _none_table(scaling: Scaling) -> str:
    arms = {arm: one.display for rows in scaling.values() for arm, one in rows.items()}
    ends = {name: (min(s), max(s)) for name, rows in scaling.items() for s in [_all_sizes(rows)]}
    columns = [(name, n) for name, both in ends.items() for n in dict.fromkeys(both)]
    cells = []
    for arm, display in arms.items():
        line = [display]
        for name, n in columns:
            one = scaling[name].get(arm)
            known = one is not None and n in one.sizes
            line.append(percent(one.none[one.sizes.index(n)]) if known else MISSING)
        cells.append(line)
    return markdown_table(["Arm", *[f"{name}, N={n}" for name, n in columns]], cells)


def _all_sizes(rows: dict[str, ArmScaling]) -> set[int]:
    return {n for one in rows.values() for n in one.sizes}


def scaling_json(experiment: Experiment, scaling: Scaling) -> dict[str, Any]:
    """The same as data: set -> arm -> sizes, accuracy by rule, verifier, empty votes; fractions in full precision."""
    out: dict[str, Any] = {}
    for name, arms in scaling.items():
        rows = {
            one.arm: {
                "sizes": list(one.sizes),
                **{rule: list(one.mean(rule)) for rule in RULES},
                "no_parsed_answer": list(one.none),
                "verifier": {"kind": one.verifier, "lambda": one.verify_lambda, **one.numbers},
                "calibration": [list(row) for row in one.calibration],
            }
            for one in arms.values()
        }
        for base, other in pairs(experiment):
            if base.id in arms and other.id in arms:
                rows[other.id]["samples_needed"] = samples_needed(arms[base.id], arms[other.id])
        out[name] = rows
    return out
