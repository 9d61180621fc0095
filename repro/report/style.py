"""How every figure looks: sizes for a two-column paper, colour-blind safe colours, and files with stable bytes.

Colours are those of Okabe and Ito; an arm keeps its colour, line and marker in every figure. Line styles differ as
well, so that the figures survive a black-and-white printer.

Not covered: equal bytes across versions of matplotlib (the pins in `constraints/` fix it).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.experiments.types import Arm, Experiment
from repro.methods.ksample_configs import KsampleConfig
from repro.report.scaling import pairs
from repro.store.files import write_whole

COLUMN, PAGE = 3.4, 7.0  # widths in inches
SMALLEST_FONT = 7.0

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE, GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999",
)  # fmt: skip

# Dashed: one completion per prompt; solid: several; other patterns: ablations.
ARM_LOOKS = {
    "base": (GREY, ":", "o"), "ppo-n1": (VERMILLION, "--", "s"), "tbrm-n1": (SKY, "--", "D"),
    "grpo-n4": (ORANGE, "-", "^"),
    "tbrm-n4": (BLUE, "-", "v"), "brm-n1": (PURPLE, "--", "P"), "rloo-n4": (GREEN, "-", "X"),
    "grpo-n4-nostd": (YELLOW, "-.", "<"), "tbrm-n4-lora": (BLACK, "-.", ">"),
    "loo-n4": (BLUE, "-", "s"), "vineppo-n4": (GREEN, "-", "D"),
    "rebel-n2": (GREEN, "-", "P"), "astar-po-n1": (BLUE, "--", "*"),
}  # fmt: skip
# Arms of k-sample methods by objective and variant, or by method: one colour for one objective, on whatever task. Core
# arms have this line and marker, ablations the spare ones.
BASE_LOOK = ARM_LOOKS["base"]
OBJECTIVE_LOOKS = {
    ("mean", "unbiased"): (VERMILLION, "--", "s"), ("pass", "unbiased"): (BLUE, "-", "^"),
    ("pass", "biased"): (GREEN, "-.", "D"), ("pass", "naive"): (BLACK, ":", "X"),
    ("majority", "unbiased"): (PURPLE, (0, (5, 1, 1, 1)), "v"), ("majority", "biased"): (ORANGE, (0, (3, 1)), "<"),
    "pkpo": (SKY, "-", "P"), "passk-training": (YELLOW, "-.", "*"),
    # Methods that come with variants, on more than one task.
    "sgrpo": (BLUE, "-", "^"), "tspmo": (VERMILLION, "--", "D"), "krpo": (ORANGE, "-.", "v"),
    "grpo-entropy": (SKY, ":", "P"),
}  # fmt: skip
# Estimators of k-sample objectives, whatever the k: (objective, variant, scale).
KSAMPLE_LOOKS = {
    ("mean", "unbiased", "plain"): (VERMILLION, "-", "s"), ("mean", "unbiased", "matched"): (ORANGE, "-.", "v"),
    ("pass", "unbiased", "plain"): (BLUE, "-", "o"), ("pass", "biased", "plain"): (GREEN, "--", "D"),
    ("pass", "naive", "plain"): (BLACK, ":", "^"),
}  # fmt: skip
_SPARE = (GREEN, PURPLE, BLACK, YELLOW, SKY, VERMILLION, ORANGE, BLUE)
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = "osD^vPX*<>"

# A hatch where a colour comes a second time.
PHASE_LOOKS = {
    "stage1": (SKY, "xxxx"), "generate": (SKY, ""), "extra_rollouts": (SKY, "////"), "reward": (GREEN, ""),
    "old": (ORANGE, ""), "ref": (VERMILLION, ""), "value": (PURPLE, ""), "credit": (YELLOW, ""), "update": (BLUE, ""),
    "optimizer": (BLUE, "////"), "other": (GREY, ""),
}  # fmt: skip
# Parts of a planned peak: a companion has one colour, whatever it keeps.
PLANNED_LOOKS = {
    "parameters": (BLUE, ""), "gradients": (SKY, ""), "optimizer": (BLUE, "////"), "activations": (ORANGE, ""),
    "temporaries": (ORANGE, "////"), "reference": (GREEN, ""), "critic": (VERMILLION, ""), "judge": (PURPLE, ""),
    "kv_cache": (YELLOW, ""), "other": (GREY, ""),
}  # fmt: skip
PART_LOOKS = tuple(
    (c, hatch) for hatch in ("", "////") for c in (SKY, ORANGE, GREEN, BLUE, VERMILLION, PURPLE, YELLOW, GREY)
)

RC = {
    "font.family": "DejaVu Sans", "font.size": 8.0, "axes.titlesize": 8.0, "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0, "legend.fontsize": 7.0, "figure.dpi": 100, "savefig.dpi": 200, "axes.linewidth": 0.6,
    "lines.linewidth": 1.3, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True, "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False, "hatch.linewidth": 0.5, "svg.hashsalt": "repro", "svg.fonttype": "path",
    "axes.unicode_minus": False, "path.simplify": True, "axes.formatter.useoffset": False,
}  # fmt: skip


@contextmanager
def styled() -> Iterator[None]:
    """Context in which figures are drawn and saved; starts from matplotlib's own defaults, not the user's settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def arm_style(experiment: Experiment) -> dict[str, dict]:
    """Colour, line style and marker of every arm: fixed for known arms, by position among the others.

    A base method and its ^V form have one colour and marker: the first dashed, the second solid. Arms that optimise one
    k-sample objective share its colour.
    """
    stems = {other.id: base.id for base, other in pairs(experiment)}
    taken = {ARM_LOOKS[arm.id][0] for arm in experiment.arms if arm.id in ARM_LOOKS}
    spare = [colour for colour in _SPARE if colour not in taken] or list(_SPARE)
    styles, others, alike = {}, 0, {}
    for arm in experiment.arms:
        if arm.id in stems:
            styles[stems[arm.id]]["linestyle"] = "--"
            styles[arm.id] = styles[stems[arm.id]] | {"linestyle": "-"}
            continue
        if arm.id in ARM_LOOKS:
            colour, line, marker = ARM_LOOKS[arm.id]
        elif not arm.trained:
            colour, line, marker = BASE_LOOK
        elif (goal := objective(arm)) in OBJECTIVE_LOOKS:
            colour, line, marker = OBJECTIVE_LOOKS[goal]
            if not arm.core:
                alike[goal] = seen = alike.get(goal, 0) + 1
                line, marker = _LINES[(seen + 1) % len(_LINES)], MARKERS[seen % len(MARKERS)]
        else:
            colour, line = spare[others % len(spare)], _LINES[others % len(_LINES)]
            marker, others = MARKERS[others % len(MARKERS)], others + 1
        styles[arm.id] = {"color": colour, "linestyle": line, "marker": marker}
    return styles


def objective(arm: Arm) -> tuple[str, str] | str:
    """What a k-sample arm optimises: (objective, variant) of method `ksample`, else the method's name."""
    if arm.method != "ksample":
        return arm.method
    config = arm.method_config
    return config.get("objective", KsampleConfig.objective), config.get("variant", KsampleConfig.variant)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) on the Agg canvas, with constrained layout and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem.png` and `stem.svg`; two runs give the same bytes."""
    paths = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, metadata=metadata)
        figure.set_layout_engine("none")  # keep the layout of the first file: both agree, and it is not computed twice
        paths.append(write_whole(stem.with_name(f"{stem.name}.{suffix}"), buffer.getvalue()))
    return paths


def ticks(most: int, integer: bool = False) -> MaxNLocator:
    """At most `most` intervals, at round numbers."""
    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=integer)
