"""One row per arm from the stored records: the measured numbers behind the table, the bars and the terminal view.

Rates are fractions in [0, 1], times seconds, memory bytes. Means run over the seeds whose trial is done. An accuracy
over several sets is their plain mean. The interval is the 95 % two-level bootstrap over seeds and questions.

Not covered: correction for many comparisons; that belongs to the claims.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from repro.errors import InputError
from repro.experiments.types import Arm, Experiment
from repro.report.interval import accuracy_interval
from repro.statistics.costs import round_seconds
from repro.statistics.trial_metrics import TRIAL_METRICS, TRIAL_RATES, Missing
from repro.store.outcomes import KL

Record = dict[str, Any]
DEV = "dev"
# What is paid again at each training step. Peak memory leaves out sampling, whose pool depends on the engine.
STEP_PHASES = ("generate", "extra_rollouts", "reward", "old", "ref", "value", "credit", "update", "optimizer")
NOT_TRAINING = ("base", "stage1", "generate", "extra_rollouts", "evaluate")


@dataclass(frozen=True)
class ArmSummary:
    """Everything the report says about one arm. None means: not measured."""

    arm: str
    display: str
    method: str
    core: bool
    status: str  # "done", "not run", "incomplete: …", "failed …"
    task: str | None = None  # name of the task that it was trained on
    seeds: tuple[int, ...] = ()  # done
    accuracy: float | None = None
    lo: float | None = None
    hi: float | None = None
    protocol: float | None = None  # as accuracy, but greedy on sets with one sample: how the papers score such sets
    by_seed: tuple[float, ...] = ()  # accuracy, in the order of `seeds`
    metrics: dict[str, float] = field(default_factory=dict)  # mean over sets: greedy, pass@k, truncated, unparsed
    kl: float | None = None  # nats per response, to the base; mean over the sets that have it
    kl_token: float | None = None  # nats per token
    sets: dict[str, dict[str, float]] = field(default_factory=dict)  # set -> metric -> mean over seeds
    train_seconds: float | None = None  # resumed trials left out; stage 1 included
    stage1_seconds: float | None = None  # of it in stage 1, as recorded by the trial that sampled it
    step_seconds_prompts: float | None = None  # median round of the timing record, equal prompts, stage 1 included
    step_seconds_completions: float | None = None
    step_stage1_prompts: float | None = None  # of it stage 1
    step_stage1_completions: float | None = None
    predicted_peak: float | None = None
    predicted_components: dict[str, float] = field(default_factory=dict)
    measured_peak: float | None = None  # largest peak_allocated of a training phase, on an accelerator
    completions: float | None = None
    prompts: float | None = None
    updates: float | None = None


def trials(records: Iterable[Record], experiment: Experiment) -> list[Record]:
    """The trial records of one experiment at one scale and variant, sorted by arm order and seed.

    `InputError`: mixed scales or variants, an arm that the experiment does not know, two records of one trial.
    """
    order = {arm.id: i for i, arm in enumerate(experiment.arms)}
    chosen = [r for r in records if r["kind"] == "trial" and r["experiment"] == experiment.id]
    unknown = sorted({r["arm"] for r in chosen} - set(order))
    if unknown:
        raise InputError(f"records of {experiment.id} name unknown arms: {', '.join(unknown)}")
    if len({(r["scale"], r.get("variant")) for r in chosen}) > 1:
        raise InputError(f"records of {experiment.id} mix several scales or variants: report them one at a time")
    twice = [name for name, times in Counter(r["id"] for r in chosen).items() if times > 1]
    if twice:
        raise InputError(f"several records of {min(twice)}, of different settings or code: pass one of them")
    return sorted(chosen, key=lambda r: (order[r["arm"]], r["seed"], r["key"]))


def set_names(records: Sequence[Record]) -> list[str]:
    """Evaluation sets of the first done record, labelled ones in the order of its settings; without dev if there are
    others."""
    done = [r for r in records if r["status"] == "done"]
    if not done:
        return []
    labels = [one.get("name") for one in done[0]["config"].get("evaluation", {}).get("sets", ())]
    names = sorted(done[0]["outcomes"], key=lambda name: labels.index(name) if name in labels else -1)
    return [name for name in names if name != DEV] or names


def summarise(
    experiment: Experiment, records: Sequence[Record], timing: Record | None, intervals: bool = True
) -> list[ArmSummary]:
    """Core arms always, other arms once they have a record, in the experiment's order.

    `intervals=False` leaves out the bootstrap, for a view that is redrawn often.
    """
    chosen = trials(records, experiment)
    wanted = sorted({r["seed"] for r in chosen})
    sets = set_names(chosen)
    rows = []
    for arm in experiment.arms:
        own = [r for r in chosen if r["arm"] == arm.id]
        if own or arm.core:
            rows.append(_row(arm, own, wanted, sets, timing, intervals, experiment.metrics))
    return rows


def _row(
    arm: Arm,
    own: list[Record],
    wanted: list[int],
    sets: list[str],
    timing: Record | None,
    intervals: bool,
    asked: Sequence[str],
) -> ArmSummary:
    done = [r for r in own if r["status"] == "done"]
    base = {
        "arm": arm.id,
        "display": arm.display,
        "method": arm.method,
        "core": arm.core,
        "status": _status(own, wanted),
        "task": own[0]["config"].get("task", {}).get("name") if own else None,
        "seeds": tuple(r["seed"] for r in done),
        "step_seconds_prompts": step_seconds(timing, "prompts_equal", arm.id),
        "step_seconds_completions": step_seconds(timing, "completions_equal", arm.id),
        "step_stage1_prompts": stage1_share(timing, "prompts_equal", arm.id),
        "step_stage1_completions": stage1_share(timing, "completions_equal", arm.id),
    }
    if not done:
        return ArmSummary(**base)
    per_set = {name: _means(done, name) for name in sets}
    by_seed = tuple(fmean(r["metrics"][f"{name}/accuracy"] for name in sets) for r in done) if sets else ()
    lo, hi = accuracy_interval(done) if intervals else (None, None)
    costs = [r["cost"] for r in done]
    unbroken = [c for c in costs if not c["resumed"]] if arm.trained else []
    timed = [c["train_seconds"] for c in unbroken]
    offline = [c["phases"]["stage1"]["seconds"] for c in unbroken if "stage1" in c["phases"]]
    predicted = [c["predicted_peak"] for c in costs if c["predicted_peak"]]
    measured = [peak for r in done if (peak := measured_peak(r)) is not None]
    worst = max(predicted, key=lambda p: p["total"], default=None)
    shared = [k for k in per_set[sets[0]] if all(k in per_set[name] for name in sets)] if sets else []
    return ArmSummary(
        **base,
        accuracy=fmean(by_seed) if sets else None,
        lo=lo,
        hi=hi,
        by_seed=by_seed,
        protocol=fmean(_protocol(done[0], name, per_set[name]) for name in sets) if sets else None,
        metrics={k: fmean(per_set[name][k] for name in sets) for k in shared if k not in ("accuracy", *KL)}
        | _trial_rates(done, asked),
        **{k: _divergence(per_set, k) for k in KL},
        sets=per_set,
        train_seconds=fmean(timed) if timed else None,
        stage1_seconds=fmean(offline) if offline else None,
        predicted_peak=worst["total"] if worst else None,
        predicted_components=dict(worst["components"]) if worst else {},
        measured_peak=max(measured, default=None),
        completions=fmean(c["completions"] for c in costs),
        prompts=fmean(c["prompts"] for c in costs),
        updates=fmean(c["updates"] for c in costs),
    )


def _trial_rates(done: list[Record], asked: Sequence[str]) -> dict[str, float]:
    """Means of the rates of whole trials that the experiment asks for; an arm that is not trained has none."""
    rates = {}
    for name in [name for name in TRIAL_RATES if name in asked]:
        with contextlib.suppress(Missing):
            rates[name] = fmean(TRIAL_METRICS[name](record) for record in done)
    return rates


def _status(own: list[Record], wanted: list[int]) -> str:
    done = [r["seed"] for r in own if r["status"] == "done"]
    if not own:
        return "not run"
    parts = []
    for r in own:
        if r["status"] != "done":
            error = r["error"] or {}
            at = "" if error.get("step") is None else f" at step {error['step']}"
            parts.append(f"failed{at} (seed {r['seed']}: {error.get('message', 'no message')})")
    known = {r["seed"] for r in own}
    missing = [s for s in wanted if s not in known]
    if missing:
        parts.append("not run: seed " + ", ".join(map(str, missing)))
    if not parts:
        return "done"
    return f"incomplete, {len(done)} of {len(wanted)} seeds; " + "; ".join(parts) if done else "; ".join(parts)


def _means(done: list[Record], name: str) -> dict[str, float]:
    """Mean over seeds of every metric of one set that all seeds have, in a fixed order (pass@k and votes by number)."""
    keys = [k.split("/", 1)[1] for k in done[0]["metrics"] if k.split("/", 1)[0] == name]
    values = {k: [r["metrics"].get(f"{name}/{k}") for r in done] for k in keys}
    means = {k: fmean(v) for k, v in values.items() if None not in v}
    return dict(sorted(means.items(), key=lambda kv: _place(kv[0])))


def _divergence(per_set: dict[str, dict[str, float]], metric: str) -> float | None:
    """Mean of a KL metric over the sets that have it: not every set need be compared with the base."""
    values = [means[metric] for means in per_set.values() if metric in means]
    return fmean(values) if values else None


def _place(metric: str) -> tuple[int, str, int, str]:
    rule, _, n = metric.partition("@")
    return (1, rule, int(n), metric) if n.isdigit() else (0, "", 0, metric)


def _protocol(record: Record, name: str, means: dict[str, float]) -> float:
    single = len(record["outcomes"][name]["samples"][0]) == 1
    return means["greedy"] if single and "greedy" in means else means["accuracy"]


def pass_k(metric: str) -> int:
    """The k of `pass@k`, 0 for other metrics."""
    return int(metric.removeprefix("pass@")) if metric.startswith("pass@") else 0


def common_passes(rows: Iterable[ArmSummary]) -> set[str]:
    """Names of the pass@k that every evaluated arm has."""
    names = [{metric for metric in row.metrics if pass_k(metric)} for row in rows if row.seeds]
    return set.intersection(*names) if names else set()


def largest_pass(rows: Iterable[ArmSummary]) -> str | None:
    """Name of the pass@k with the largest k that every evaluated arm has, e.g. "pass@8"."""
    return max(common_passes(rows), key=pass_k, default=None)


def stand_in(names: Iterable[str], metric: str) -> str:
    """`metric`; for `majority@64` where no pool was that large (a smoke run) the same rule at the largest N there is.

    `names`: the metrics that were measured.
    """
    names = set(names)
    rule, _, n = metric.partition("@")
    if not n.isdigit() or metric in names:
        return metric
    sizes = [int(name.partition("@")[2]) for name in names if re.fullmatch(rf"{re.escape(rule)}@\d+", name)]
    return f"{rule}@{max(sizes)}" if sizes else metric


def has_scaling(rows: Iterable[ArmSummary]) -> bool:
    """Whether an arm was evaluated with pools of samples and a verifier."""
    return any("verifier_accuracy" in metrics for row in rows for metrics in row.sets.values())


def step_seconds(timing: Record | None, mode: str, arm: str) -> float | None:
    """Median seconds of one training step with its share of stage 1, from the timing record; `mode` as there."""
    rounds = timing_rounds(timing, mode, arm)
    return median(round_seconds(r) for r in rounds) if rounds else None


def stage1_share(timing: Record | None, mode: str, arm: str) -> float | None:
    """Median seconds of stage 1 that a step is charged; None for an arm without such a stage."""
    shares = [r["stage1_seconds"] for r in timing_rounds(timing, mode, arm) if "stage1_seconds" in r]
    return median(shares) if shares else None


def timing_rounds(timing: Record | None, mode: str, arm: str) -> list[dict[str, Any]]:
    """The rounds of one arm, or [] if it was not timed."""
    if timing is None or timing["status"] != "done":
        return []
    return timing["timing"].get(mode, {}).get(arm, {}).get("rounds", [])


def measured_peak(record: Record) -> float | None:
    """Largest allocated bytes over the training phases, sampling apart, measured on an accelerator; None on a CPU."""
    phases = record["cost"]["phases"]
    peaks = [cost.get("peak_allocated") for name, cost in phases.items() if name not in NOT_TRAINING]
    return max((p for p in peaks if p), default=None)
