"""The verdict rule: four kinds of claim, from an interval of the effect to one of four words.

The effect is always large when it favours the claim's arm (see `oriented`), and `margin` is in the effect's own unit:

| kind         | boundary                                     | supported     | contradicted  |
|--------------|----------------------------------------------|---------------|---------------|
| direction    | null: 0 (difference) or 1 (ratio)            | lo > boundary | hi < boundary |
| threshold    | margin                                       | lo > boundary | hi < boundary |
| non-inferior | -margin (difference) or 1 - margin (ratio)   | lo > boundary | hi < boundary |
| exact        | margin; the effect has no error, so lo = hi  | lo > boundary | otherwise     |

In all other cases the claim is inconclusive. The seed rule: at scale smoke, or with fewer than 5 seeds (rounds for a
cost), there is no verdict, "not run", whatever the interval says.
"""

from __future__ import annotations

from typing import Literal

Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]
KINDS = ("direction", "threshold", "non-inferior", "exact")
MINIMUM_SEEDS = 5


def oriented(arm: float, rival: float, contrast: str, better: str) -> float:
    """The effect in favour of `arm`: arm - rival or arm / rival if higher is better, the reverse if lower is.

    `ZeroDivisionError` for a ratio with 0 below. Works on arrays with a nonzero denominator as well.
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"better must be higher or lower, not {better!r}")
    one, two = (arm, rival) if better == "higher" else (rival, arm)
    if contrast == "difference":
        return one - two
    if contrast == "ratio":
        return one / two
    raise ValueError(f"contrast must be difference or ratio, not {contrast!r}")


def boundary(kind: str, margin: float = 0.0, contrast: str = "difference") -> float:
    """The value of the effect at which the claim turns, by the table above."""
    null = {"difference": 0.0, "ratio": 1.0}[contrast]
    if kind == "direction":
        return null
    if kind == "non-inferior":
        if margin < 0:
            raise ValueError(f"the margin of a non-inferior claim is a loss as a positive number, not {margin}")
        return null - margin
    if kind in ("threshold", "exact"):
        return margin
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")


def verdict(kind: str, lo: float, hi: float, margin: float = 0.0, contrast: str = "difference") -> Verdict:
    """The word for an interval [lo, hi] of the effect; for kind exact lo == hi is the effect itself."""
    if not lo <= hi:
        raise ValueError(f"not an interval: [{lo}, {hi}]")
    limit = boundary(kind, margin, contrast)
    if lo > limit:
        return "supported"
    if hi < limit or kind == "exact":
        return "contradicted"
    return "inconclusive"


def no_verdict_reason(scale: str, seeds: int, unit: str = "seeds") -> str | None:
    """Why the seed rule forbids a verdict, or None if it does not."""
    if scale == "smoke":
        return "smoke runs give no verdict"
    if seeds < MINIMUM_SEEDS:
        return f"needs at least {MINIMUM_SEEDS} {unit}, has {seeds}"
    return None
