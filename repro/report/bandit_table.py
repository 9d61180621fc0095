"""Bandit trials as tables: Markdown sections, CSV (full precision), LaTeX and plain data for `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from repro.report import bandit_words as words
from repro.report.bandit import BanditArm, Value
from repro.report.bandit_words import ESTIMATOR_NAMES, F_NAMES
from repro.report.build import Report
from repro.report.format import MISSING, count, csv_text, fixed, markdown_table
from repro.report.latex import latex_table
from repro.statistics.bandits import LEAST_SHARE

QUANTITIES = (("mean_reward", "mean reward"), ("max", "max@k"), ("kl", "KL"), ("entropy", "entropy"))
_VARIANTS = (("naive", "naive"), ("unbiased", "leave-one-out"), ("biased", "centred"))


def bandit_sections(report: Report) -> list[str]:
    """What was measured, the estimators' variances, and the enumerated reference set-up."""
    parts = ["## Measured by this suite\n", markdown_table(*learning_columns(report)), _learning_notes(report)]
    if report.bandits:
        parts += ["### Variance of one estimate at the uniform policy\n", markdown_table(*variance_columns(report))]
        parts += [_VARIANCE_NOTE, "### Bias and variance by enumeration, 4 actions\n"]
        parts += [markdown_table(*reference_columns(report.bandits), numbers_from=1), _REFERENCE_NOTE]
    return parts


def learning_columns(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and cells: every arm after 100 and after all steps, and its mean reward at three values of KL.

    A mean over less than LEAST_SHARE of the bandits would not stand for all of them: a dash.
    """
    arms = {arm.arm: arm for arm in report.bandits}
    steps = sorted({step for arm in report.bandits for step in arm.steps[-2:]})
    nats = _nats(report.bandits)
    header = ["Arm", *[f"{title}, step {step}" for step in steps for _, title in QUANTITIES]]
    header += [f"mean reward at {words.nats(n)}" for n in nats] + ["Bandits", "Status"]
    cells = []
    for row in report.rows:
        arm = arms.get(row.arm)
        line = [row.display]
        for step in steps:
            there = arm is not None and step in arm.steps
            line += [_with_error(arm.at(name, step)) if there else MISSING for name, _ in QUANTITIES]
        found = [None if arm is None else arm.values.get(f"reward_at_kl@{n}") for n in nats]
        enough = [arm is not None and value is not None and _enough(arm, value) for value in found]
        line += [_with_error(value) if good else MISSING for value, good in zip(found, enough, strict=True)]
        cells.append([*line, MISSING if arm is None else count(_bandits(arm)), row.status])
    return header, cells


def _learning_notes(report: Report) -> str:
    return (
        "Mean over bandits ± its standard error; everything is an exact expectation under the policy. max@k: expected "
        "best reward of k samples, at the k of the arm. KL: nats, from the policy to the uniform initial policy; "
        "entropy is ln(actions) less KL. Mean reward at n nats: when the KL of a bandit first reaches n, linear "
        f"between two steps; a dash where fewer than {100 * LEAST_SHARE:.0f} % of the bandits do.\n"
    )


def variance_columns(report: Report) -> tuple[list[str], list[list[str]]]:
    """Estimators by k: Gaussian rewards (mean over reward draws) and rewards of 0 and 1."""
    samples = sorted({arm.k for arm in report.bandits})
    header = ["Estimator", *[f"Gaussian, k={k}" for k in samples], *[f"0/1, k={k}" for k in samples]]
    cells = []
    for estimator, name in ESTIMATOR_NAMES.items():
        own = {arm.k: arm for arm in report.bandits if arm.estimator == estimator}
        if own:
            gaussian = [_with_error(own[k].values["variance"]) if k in own else MISSING for k in samples]
            cells.append(
                [name, *gaussian, *[_three(own[k].bounded_variance) if k in own else MISSING for k in samples]]
            )
    return header, cells


_VARIANCE_NOTE = (
    "Total variance of one update's estimate, exact for every bandit. Gaussian: mean over the reward draws of all "
    "bandits ± its standard error, the only Monte-Carlo error there is. 0/1: half of the actions have reward 1, the "
    "others 0; exact.\n"
)


def reference_columns(arms: list[BanditArm]) -> tuple[list[str], list[list[str]]]:
    """One row per aggregation and k: bias of the unbiased and the centred variant, variance of all three."""
    rows = {arm.estimator[1]: arm.reference for arm in arms}
    header = ["f", "k", "bias, leave-one-out", "bias, centred", "bias, centred, against k-1"]
    header += [f"variance, {name}" for _, name in _VARIANTS]
    cells = []
    for at, one in enumerate(next(iter(rows.values()))):
        cell = {variant: found[at] for variant, found in rows.items()}
        line = [F_NAMES[one["objective"]], str(one["k"])]
        for variant, name in (("unbiased", "bias"), ("biased", "bias"), ("biased", "bias_fewer")):
            line.append(_bias(cell[variant][name]) if variant in cell else MISSING)
        line += [fixed(cell[variant]["variance"], 4) if variant in cell else MISSING for variant, _ in _VARIANTS]
        cells.append(line)
    return header, cells


_REFERENCE_NOTE = (
    "Exact, over all 4^k tuples of samples. Bias: largest component of the expected estimate less the gradient of "
    "E[f_k] (against k-1: of the objective with one sample fewer). Majority: tied answers share the reward.\n"
)


def bandit_csv(report: Report) -> str:
    """One row per arm in full precision; `_se` columns are standard errors over bandits."""
    names = list(dict.fromkeys(name for arm in report.bandits for name in arm.values))
    header = ["arm", "display", "objective", "variant", "scale_of_gradient", "k", "scale", "status", "seeds", "bandits"]
    header += [column for name in names for column in (name, f"{name}_se")] + ["bounded_variance"]
    arms = {arm.arm: arm for arm in report.bandits}
    rows = []
    for row in report.rows:
        arm, seeds = arms.get(row.arm), " ".join(map(str, row.seeds))
        if arm is None:
            rows.append(
                [row.arm, row.display, *[None] * 4, report.scale, row.status, seeds, *[None] * (2 + 2 * len(names))]
            )
            continue
        values = [part for name in names for part in _parts(arm.values.get(name))]
        rows.append(
            [row.arm, row.display, *arm.estimator, arm.k, report.scale, row.status, seeds, _bandits(arm), *values,
             arm.bounded_variance]
        )  # fmt: skip
    return csv_text(header, rows)


def reference_csv(arms: list[BanditArm]) -> str:
    """The enumerated set-up in full precision, one row per variant, aggregation and k."""
    found = {arm.estimator[1]: arm.reference for arm in arms}
    rows = [
        [variant, *[row[name] for name in ("objective", "k", "bias", "bias_fewer", "variance")]]
        for variant, reference in found.items()
        for row in reference
    ]
    return csv_text(["variant", "objective", "k", "bias", "bias_fewer", "variance"], rows)


def bandit_latex(report: Report) -> str:
    """Three `table*`: learning, variances by k, and the enumerated bias and variance."""
    header, cells = learning_columns(report)
    if all(row.status == "done" for row in report.rows):
        header, cells = header[:-1], [row[:-1] for row in cells]
    text = latex_table(header, cells, f"{report.title}. Mean over bandits ± standard error.", report.name)
    if report.bandits:
        title = "Total variance of one estimate at the uniform policy."
        text += "\n" + latex_table(*variance_columns(report), title, f"{report.name}-variance")
        title = "Bias and variance of the estimators by enumeration, 4 actions."
        text += "\n" + latex_table(*reference_columns(report.bandits), title, f"{report.name}-estimators")
    return text


def bandit_json(arms: list[BanditArm]) -> list[dict[str, Any]]:
    """One object per arm: names, values {name: {mean, error, count}}, exact moments."""
    names = ("arm", "display", "k", "actions", "bounded_variance", "reference")
    return [
        {
            **{name: getattr(arm, name) for name in names},
            "estimator": dict(zip(("objective", "variant", "scale"), arm.estimator, strict=True)),
            "values": {name: asdict(value) if value.count else None for name, value in arm.values.items()},
        }
        for arm in arms
    ]


def _nats(arms: list[BanditArm]) -> list[str]:
    names = dict.fromkeys(name for arm in arms for name in arm.values if name.startswith("reward_at_kl@"))
    return [name.rpartition("@")[2] for name in names]


def _bandits(arm: BanditArm) -> int:
    return sum(payload["instances"] for payload in arm.payloads)


def _enough(arm: BanditArm, value: Value) -> bool:
    return value.count >= LEAST_SHARE * _bandits(arm)


def _with_error(value: Value) -> str:
    if not value.count:
        return MISSING
    mean = fixed(value.mean, 3) if abs(value.mean) < 100 else fixed(value.mean, 1)
    return mean if value.error is None else f"{mean} ± {fixed(value.error, 3)}"


def _parts(value: Value | None) -> list[float | None]:
    return [None, None] if value is None or not value.count else [value.mean, value.error]


def _bias(value: float) -> str:
    return f"{value:.1e}" if 0 < value < 1e-4 else fixed(value, 4)


def _three(value: float) -> str:
    return f"{value:.3g}"
