"""One arm against another by paired scores: difference, interval, P(improvement), and how many seeds would settle it.

All of it follows from the differences d[s, q] of the scores of seed s on question q, which both arms share (shape
(S, Q), or one such array per evaluation set; several sets count alike). `repro.statistics.bootstrap` splits them in
seed effects and question effects, and so does the variance of their mean:

    var(mean) = between_seeds / S + of_questions

`between_seeds` is the variance of the seeds' mean differences (training and sampled answers both), `of_questions` that
of the mean of Q drawn questions, without its share of the answers' noise, which the seeds hold already. More seeds
shrink the first part alone: the questions stay the same ones. With S seeds the bootstrap's draws are spread as

    mean + t(S - 1) * sqrt(between_seeds / S) + z * sqrt(of_questions)        (Student's t, standard normal z)

so the 95 % interval is mean ± h(S), where h(S) is the 0.975 quantile of that sum without the mean. If the true
difference on these questions is the measured one, the mean of S seeds is normal around it with variance
between_seeds / S. The interval excludes 0 where that mean exceeds the width, which is itself found from the S seeds:
their variance is between_seeds times chi-squared(S - 1) / (S - 1), independent of the mean. So

    power(S) = E[ Phi( (|mean| - h(S; that variance)) / sqrt(between_seeds / S) ) ]

which without a question part is the power of a t-test (noncentral t). As S grows, h(S) falls to
z(0.975) * sqrt(of_questions). Where |mean| is not above that, no number of seeds can settle
it: that takes more questions.

Not covered: the error of `between_seeds` itself, which is large at few seeds (at 5 the true standard deviation may be
0.6 to 2.9 times the estimated one); correction for several comparisons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from repro.statistics.bootstrap import Scores, difference_draws, effects, percentile_interval
from repro.statistics.verdict import MINIMUM_SEEDS

LEVEL, POWER = 0.95, 0.8
_GRID = 1000  # points at which a normal distribution is taken
_WIDTHS, _ROUGH_GRID = 24, 100  # the same for the widths that seeds may be found to have, of which a power is a mean
_CERTAIN = 200  # so many seeds leave no doubt about the width


@dataclass(frozen=True)
class Spread:
    """The two parts of the variance of a mean paired difference, in the scores' unit squared."""

    mean: float
    seeds: int
    between_seeds: float | None  # of one seed; None with a single seed
    of_questions: float  # of the mean; does not shrink with seeds


@dataclass(frozen=True)
class Difference:
    """`estimate` = mean(arm) - mean(rival), a score's unit; `lo`, `hi`: its interval at LEVEL.

    `p_improvement`: the share of the two-level bootstrap's draws of the difference that lie above 0, draws of exactly 0
    counting half. It is about the means of both arms. (It is not rliable's probability of improvement, the chance that
    one random run beats another, which tables show beside their claims.)
    """

    estimate: float
    lo: float
    hi: float
    p_improvement: float
    spread: Spread


def paired_difference(arm: Scores, rival: Scores, rng: np.random.Generator) -> Difference:
    """`arm`, `rival`: scores of the same seeds on the same questions, as in `repro.statistics.bootstrap`."""
    draws = difference_draws(arm, rival, rng)
    lo, hi = percentile_interval(draws, LEVEL)
    pairs = [(arm, rival)] if isinstance(arm, np.ndarray) else zip(arm, rival, strict=True)
    found = spread([np.subtract(one, two) for one, two in pairs])
    return Difference(found.mean, lo, hi, p_improvement(draws), found)


def p_improvement(draws: np.ndarray) -> float:
    """The share of draws (R,) above 0, zeros counting half: equal arms have 0.5."""
    return float((draws > 0).mean() + (draws == 0).mean() / 2)


def spread(differences: Scores) -> Spread:
    """The variance of the mean of paired differences by its two levels; `ValueError` as `effects`."""
    parts = effects(differences)
    seeds = len(parts.seeds)
    sizes = [len(one) for one in parts.questions]
    # Sets count alike, so that each of the K sets' means enters with weight 1 / K.
    of_questions = (
        sum(one.var(ddof=1) / size for one, size in zip(parts.shrunk(), sizes, strict=True) if size > 1)
        / len(sizes) ** 2
    )
    between = float(parts.seeds.var(ddof=1)) if seeds > 1 else None
    return Spread(parts.mean, seeds, between, float(of_questions))


def half_width(found: Spread, seeds: int, level: float = LEVEL, grid: int = _GRID) -> float:
    """h(S) of the formula above, for S = `seeds`. `ValueError` for fewer than 2."""
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    if seeds < 2 or found.between_seeds is None:
        raise ValueError("an interval over seeds needs at least 2 of them")
    share = 0.5 + level / 2
    seed_part, question_part = math.sqrt(found.between_seeds / seeds), math.sqrt(found.of_questions)
    most = float(stdtrit(seeds - 1, share)) * seed_part, _normal(share) * question_part
    if 0 in most:
        return float(max(most))
    shifts = question_part * _normal(_middles(grid))

    def missing(width: float) -> float:
        return float(stdtr(seeds - 1, (width - shifts) / seed_part).mean()) - share

    return float(brentq(missing, 0.0, 2 * sum(most), rtol=1e-6))


def power_at(found: Spread, seeds: int, level: float = LEVEL) -> float:
    """The chance that the interval of `seeds` seeds excludes 0 on the right side, if the difference is as measured."""
    from scipy.special import chdtri, ndtr

    error = math.sqrt(found.between_seeds / seeds)
    if error == 0 or seeds > _CERTAIN:
        room = abs(found.mean) - half_width(found, seeds, level)
        return float(ndtr(room / error)) if error > 0 else float(room > 0)
    variances = found.between_seeds * chdtri(seeds - 1, _middles(_WIDTHS)) / (seeds - 1)
    widths = [half_width(replace(found, between_seeds=one), seeds, level, _ROUGH_GRID) for one in variances]
    return float(ndtr((abs(found.mean) - np.array(widths)) / error).mean())


def settled_by_seeds(found: Spread, level: float = LEVEL) -> bool:
    """Whether enough seeds would settle the sign; if not, the choice of questions alone leaves it open."""
    return bool(abs(found.mean) > _normal(0.5 + level / 2) * math.sqrt(found.of_questions))


def seeds_to_settle(found: Spread, level: float = LEVEL, power: float = POWER) -> int | None:
    """The fewest seeds, at least MINIMUM_SEEDS, at which `power_at` reaches `power`.

    None where it cannot be told (a single seed) or no number of seeds is enough (see `settled_by_seeds`).
    """
    if found.between_seeds is None or not settled_by_seeds(found, level):
        return None

    def enough(seeds: int) -> bool:
        return power_at(found, seeds, level) >= power

    low, high = MINIMUM_SEEDS - 1, MINIMUM_SEEDS
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _middles(count: int) -> np.ndarray:
    """`count` shares that cut 0 … 1 evenly, each in the middle of its part."""
    return (np.arange(count) + 0.5) / count


def _normal(share):
    """The standard normal's quantile of a share, or of an array of them."""
    from scipy.special import ndtri

    return ndtri(share)
