"""How many fewer samples one curve of accuracy against the number of samples N needs than another.

The target is the baseline's best accuracy over its sizes. The factor is the N at which the baseline first has it, over
the N at which the other curve first has it: 8 means "as good with an eighth of the samples". Between two sizes the
curve is taken as a straight line over log N, so the factor moves smoothly with the curves; at a size it is exact.

Limits of the pool: a curve that is past the target at its smallest size counts as that size, so no factor exceeds
(baseline's N) / (smallest size); a curve that never gets there counts as `censored` times the largest size. Its true
factor is then only known to lie below (baseline's N) / (largest size), and the number stands in for it as a floor. Both
bounds belong beside a factor that touches them. The best of a noisy curve is a little too high and too late, which the
interval carries too.

Differs from the paper: RL^V (arXiv 2505.04842) states factors of 8 to 32 and not how they were read off.
Shape legend: S sizes, R curves (draws of a bootstrap, or one), K seeds, Q questions of one set. Curves by question are
a list of (K, Q, S) arrays, one per evaluation set; their mean is the mean of the sets' means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.statistics.bootstrap import RESAMPLES, effects, joint_draws

_ROUNDING = 1e-12  # curves that are equal but for the order of their sums must not miss each other
_CHUNK = 1000  # resamples at a time, so that memory stays at a few MiB


def samples_to_reach(sizes: Sequence[int] | np.ndarray, curve: np.ndarray, target: float | np.ndarray) -> np.ndarray:
    """The N at which each curve (R, S) first reaches its `target` (R,) or scalar: floats (R,), infinite if never.

    `sizes` (S,) are positive and strictly increasing. `ValueError` for other shapes or values that are not finite.
    """
    sizes, curve = _checked(sizes, curve)
    target = np.broadcast_to(np.asarray(target, dtype=float), curve.shape[:1])
    if not np.isfinite(target).all():
        raise ValueError("the target must be finite")
    reached = curve >= target[:, None] - _ROUNDING
    rows, first = np.arange(len(curve)), reached.argmax(axis=1)
    before = np.maximum(first - 1, 0)
    below, above = curve[rows, before], curve[rows, first]
    rise = above - below
    # The size before lies below the target, so the rise is positive wherever first > 0.
    share = np.divide(target - below, rise, out=np.ones_like(rise), where=(rise > 0) & (first > 0))
    share = np.minimum(share, 1)
    logs = np.log(sizes)
    crossing = np.where(share == 1, sizes[first], np.exp(logs[before] + share * (logs[first] - logs[before])))
    return np.where(reached.any(axis=1), crossing, np.inf)


def efficiency(
    sizes: Sequence[int] | np.ndarray, baseline: np.ndarray, curve: np.ndarray, censored: float = 2.0
) -> np.ndarray:
    """Factors (R,): samples of `baseline` (R, S) at its best accuracy over samples of `curve` (R, S) at that accuracy.

    A curve that never reaches it counts as `censored` times the largest size. Equal curves give exactly 1.
    """
    sizes, baseline = _checked(sizes, baseline)
    if np.shape(curve) != baseline.shape:
        raise ValueError(f"both curves need one shape, not {baseline.shape} and {np.shape(curve)}")
    if not censored >= 1:
        raise ValueError(f"censored must be at least 1, not {censored}")
    target = baseline.max(axis=1)
    needed = samples_to_reach(sizes, curve, target)
    needed = np.where(np.isfinite(needed), needed, censored * sizes[-1])
    return samples_to_reach(sizes, baseline, target) / needed


def compare_curves(sizes: Sequence[int], arm: Sequence[np.ndarray], rival: Sequence[np.ndarray]) -> tuple[float, float]:
    """The factor of the mean curves, and the chance that a random seed of `arm` needs fewer samples than a rival seed.

    The chance counts pairs of seeds, each by the rival seed's own best accuracy; a factor of exactly 1 counts half.
    """
    ours, theirs = (np.mean([item.mean(axis=1) for item in sets], axis=0) for sets in (arm, rival))  # (K, S)
    factor = efficiency(sizes, theirs.mean(axis=0, keepdims=True), ours.mean(axis=0, keepdims=True))[0]
    pairs = (grid.reshape(-1, len(sizes)) for grid in np.broadcast_arrays(theirs[None], ours[:, None]))
    factors = efficiency(sizes, *pairs)
    return float(factor), float(((factors > 1) + 0.5 * (factors == 1)).mean())


def efficiency_draws(
    sizes: Sequence[int],
    arm: Sequence[np.ndarray],
    rival: Sequence[np.ndarray],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    paired: bool = True,
) -> np.ndarray:
    """Draws (R,) of the factor: it is computed from each resample's two curves."""
    ours, theirs = curve_draws(arm, rival, rng, resamples, paired)
    return efficiency(sizes, theirs, ours)


def curve_draws(
    arm: Sequence[np.ndarray],
    rival: Sequence[np.ndarray],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    paired: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of both mean curves, (R, S) each: at every size what `repro.statistics.bootstrap.joint_draws` draws.

    The resample of seeds and questions is the same at every size and, as there, on both sides. Questions are drawn as
    counts: one product with all curves then takes the place of a look-up per size.
    """
    width = arm[0].shape[2]
    seed = int(rng.integers(2**63))  # one generator per size, all alike: the same seeds at every size
    ours, theirs = (np.mean([item.mean(axis=1) for item in sets], axis=0) for sets in (arm, rival))  # (K, S)
    draws = [
        joint_draws(ours[:, n, None], theirs[:, n, None], np.random.default_rng(seed), resamples, paired)
        for n in range(width)
    ]
    total = np.concatenate([np.stack(side, axis=1) for side in zip(*draws, strict=True)], axis=1)  # (R, 2S)
    columns = [effects([item[..., n] for item in sets]).shrunk() for sets in (arm, rival) for n in range(width)]
    for parts in zip(*columns, strict=True):
        stacked = np.stack(parts, axis=1)  # (Q, 2S)
        questions = len(stacked)
        if questions > 1:
            factor = np.sqrt(questions / (questions - 1)) / questions / len(arm)
            for start in range(0, resamples, _CHUNK):
                rows = total[start : start + _CHUNK]
                picked = rng.integers(questions, size=(len(rows), questions))
                picked += questions * np.arange(len(rows))[:, None]
                counts = np.bincount(picked.ravel(), minlength=picked.size).reshape(picked.shape)
                rows += counts @ stacked * factor
    return total[:, :width], total[:, width:]


def _checked(sizes: Sequence[int] | np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sizes, curve = np.asarray(sizes, dtype=float), np.asarray(curve, dtype=float)
    if sizes.ndim != 1 or not len(sizes) or sizes[0] <= 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"sizes must be positive and increasing, not {sizes.tolist()}")
    if curve.ndim != 2 or curve.shape[1] != len(sizes):
        raise ValueError(f"a curve needs shape (curves, {len(sizes)}), not {curve.shape}")
    if not np.isfinite(curve).all():
        raise ValueError("a curve must be finite")
    return sizes, curve
