"""The claims of table3: A*-PO (arXiv 2505.20686, A…) and the cost claims of TBRM (2505.15311, T7…) at its own shapes.

Each cost claim is tested twice: at micro scale, where time is measured and memory predicted, and at the shapes of the
paper, where memory and FLOPs are planned and nothing is run. The paper's own table supports less than its abstract.
"""

from typing import Any

from repro.experiments.types import Claim

OURS = "astar-po-n1"
RIVALS = {"ppo": "ppo-n1", "grpo": "grpo-n4", "rebel": "rebel-n2"}
_NAMES = {"ppo": "PPO", "grpo": "GRPO", "rebel": "REBEL"}
SIZES = ("1.5B", "3B", "7B")
TBRM_SIZE = "Math-7B"

_HOURS = {  # from the authors' results image: speed-ups and relative memory savings at 1.5B, 3B and 7B
    "ppo": ("1.57, 1.55 and 1.86 times", "2.5, 10.3 and 17.5 %"),
    "grpo": ("2.17, 2.08 and 1.83 times", "1.4, 0.9 and 1.6 %"),
    "rebel": ("1.49, 1.47 and 1.33 times", "34.3, 33.7 and 22.5 %"),
}
_KL = {"ppo": "0.151, 0.111 and 0.133", "grpo": "0.091, 0.102 and 0.172", "rebel": "0.098, 0.099 and 0.124"}
_MEAN = {"ppo": "32.36, 37.77 and 48.68", "grpo": "33.51, 38.64 and 49.12", "rebel": "33.21, 39.77 and 50.19"}
_IMAGE = "[code] results image of the authors"
_TWICE, _THIRD = 2.0, 1 / 0.7  # "2x less time" and "30 % lower peak memory" as ratios


def _claim(name: str, sentence: str, metric: str, against: str, **more: Any) -> Claim:
    """A claim with the fields that the cost claims share: A*-PO against a rival, a ratio, lower is better."""
    usual = {
        "kind": "threshold", "contrast": "ratio", "better": "lower", "margin": _TWICE, "paper": "astar_po", "arm": OURS,
    }  # fmt: skip
    return Claim(id=name, sentence=sentence, metric=metric, against=against, **{**usual, **more})


_TIME = tuple(
    _claim(
        f"A1-time-{short}",
        f"A*-PO needs 2 times less training time than {_NAMES[short]}, its stage 1 included.",
        "time_per_step",
        arm,
        evidence=f"[paper] abstract (up to 2x); {_IMAGE}",
        paper_supports=f"{_HOURS[short][0]} (1.5B, 3B, 7B); whether stage 1 is in those hours is not stated, and one "
        "run per cell.",
    )
    for short, arm in RIVALS.items()
)

_FASTER = tuple(
    _claim(
        f"A4-time-{short}",
        f"A*-PO trains faster than {_NAMES[short]}, its stage 1 included.",
        "time_per_step",
        arm,
        kind="direction",
        margin=0.0,
        evidence=_IMAGE,
        paper_supports=f"{_HOURS[short][0]} at every size.",
    )
    for short, arm in RIVALS.items()
)

_FLOPS = tuple(
    _claim(
        f"A1-flops-{short}-{size}",
        f"A*-PO needs 2 times fewer FLOPs per training prompt than {_NAMES[short]} at {size}, its stage 1 included.",
        f"planned_flops:{size}",
        arm,
        kind="exact",
        evidence=f"[paper] abstract (up to 2x less time); {_IMAGE}",
        paper_supports=f"Hours, not FLOPs: {_HOURS[short][0]} (1.5B, 3B, 7B). Rollouts per prompt of the rivals are "
        "not stated.",
    )
    for size in SIZES
    for short, arm in RIVALS.items()
)

_MEMORY = tuple(
    _claim(
        f"A2-memory-{short}{suffix}",
        f"A*-PO lowers the peak memory of {_NAMES[short]} by over 30 % ({where}).",
        metric,
        arm,
        kind="exact",
        margin=_THIRD,
        evidence=f"[paper] abstract; {_IMAGE}",
        paper_supports=f"{_HOURS[short][1]} (1.5B, 3B, 7B) in percentages whose meaning is not stated and that hold "
        "the sampling engine's pool; ours is the training step alone.",
    )
    for suffix, where, metric in (
        ("", "micro scale, predicted", "predicted_peak"),
        *((f"-{size}", f"{size}, predicted", f"planned_peak:{size}") for size in SIZES),
    )
    for short, arm in RIVALS.items()
)

_MOST = tuple(
    _claim(
        f"A8-{short}-{size}",
        f"REBEL needs more memory than {_NAMES[short]} at {size}.",
        f"planned_peak:{size}",
        RIVALS["rebel"],
        arm=RIVALS[short],
        kind="exact",
        margin=1.0,
        evidence=_IMAGE,
        paper_supports="63.34, 74.32 and 98.77 % for REBEL: the most of all four at every size.",
    )
    for size in SIZES
    for short in ("ppo", "grpo")
)

_KEEPS = tuple(
    _claim(
        f"A3-{short}",
        f"A*-PO ends nearer to the reference than {_NAMES[short]}.",
        "kl_token",
        arm,
        kind="direction",
        contrast="difference",
        margin=0.0,
        evidence=_IMAGE,
        paper_supports=f"0.069, 0.082 and 0.078 against {_KL[short]} (1.5B, 3B, 7B); which estimator the column holds "
        "is not stated.",
    )
    for short, arm in RIVALS.items()
)

_PARITY = tuple(
    _claim(
        f"A7{suffix}-{short}",
        f"A*-PO{what} is as accurate as {_NAMES[short]}.",
        "accuracy",
        arm,
        arm=ours,
        kind="non-inferior",
        contrast="difference",
        better="higher",
        margin=0.02,
        evidence=f"[derived] from {_IMAGE}" + ("; the control is ours" if suffix else ""),
        paper_supports=f"Means of four benchmarks 33.59, 38.86 and 50.32 against {_MEAN[short]} (1.5B, 3B, 7B), inside "
        "the noise of one run. The margin of 2 points is ours.",
    )
    for suffix, what, ours in (
        ("", "", OURS),
        ("-counted", ", with the samples of stage 1 taken off its budget,", "astar-po-n1-counted"),
    )
    for short, arm in RIVALS.items()
)

_FILTER = (
    _claim(
        "A11",
        "Dropping the prompts that the base always fails costs A*-PO no accuracy.",
        "accuracy",
        OURS,
        arm="astar-po-n1-filter",
        kind="non-inferior",
        contrast="difference",
        better="higher",
        margin=0.02,
        evidence="[second-hand] a news article",
        paper_supports="28 % less stage-2 time at equal or better accuracy [second-hand]; the figure could not be "
        "read. Only accuracy is tested, at equal steps.",
    ),
)

_TBRM = (
    _claim(
        "T7-memory",
        "TBRM n=1 needs 33.3 % less peak GPU memory than PPO n=1 (Qwen2.5-Math-7B, predicted).",
        f"planned_peak:{TBRM_SIZE}",
        "ppo-n1",
        arm="tbrm-n1",
        paper="tbrm",
        kind="exact",
        margin=1.5,
        evidence="[paper] section 4.3, App. G.2, Fig. 2(b)",
        paper_supports="A relative figure only (7B, 4x H100), with the sampling engine's pool; ours is the training "
        "step alone.",
    ),
    _claim(
        "T7-flops",
        "A training prompt of TBRM n=1 takes fewer FLOPs than one of PPO n=1 (Qwen2.5-Math-7B, planned).",
        f"planned_flops:{TBRM_SIZE}",
        "ppo-n1",
        arm="tbrm-n1",
        paper="tbrm",
        kind="exact",
        margin=1.0,
        evidence="[paper] section 4.3, App. G.2, Fig. 2(b): 1.3 times faster per step",
        paper_supports="Time, not FLOPs: 1.3 times, a relative figure (7B, 4x H100, 128 prompts a step).",
    ),
)

CLAIMS = (*_TIME, *_FASTER, *_FLOPS, *_MEMORY, *_MOST, *_KEEPS, *_PARITY, *_FILTER, *_TBRM)
