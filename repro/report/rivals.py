"""One arm against each stored arm of an experiment, paired by seed and question, and its rank among them.

Not to be confused with `repro.report.compare`, which holds a fresh run against the published records of the same arms.

Every line is a comparison of its own at 95 %: the lines are not corrected for their number. The verdict of a line
follows the rule of the claims (`repro.statistics.verdict`): the sign is settled if the interval excludes 0, with at
least 5 common seeds and not at scale smoke.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from repro.experiments.types import Experiment
from repro.report.comparable import differences, tuning
from repro.statistics.effect import generator
from repro.statistics.pairwise import Difference, paired_difference, seeds_to_settle, settled_by_seeds
from repro.statistics.ranking import chances_of_best
from repro.statistics.scores import Missing, arm_scores
from repro.statistics.verdict import MINIMUM_SEEDS, no_verdict_reason, verdict

Record = Mapping[str, Any]
Word = Literal["better", "worse", "inconclusive", "no verdict"]


@dataclass(frozen=True)
class Arm:
    """An arm and its finished trials by seed, all of one configuration and one base model."""

    id: str
    display: str
    core: bool
    evidence: str  # "stored", "yours", "stored and yours", or "new"
    trials: Mapping[int, Record]

    @property
    def first(self) -> Record:
        return next(iter(self.trials.values()))

    @property
    def trained(self) -> bool:
        return self.first["config"]["method"]["name"] != "none"

    def score(self, metric: str) -> float:
        """Mean over sets, seeds and questions. `Missing` if its records do not have the metric."""
        return fmean(float(part.mean()) for part in arm_scores(dict(self.trials), metric)[0])


@dataclass(frozen=True)
class Meeting:
    """The arm against one rival. Scores are means over the common seeds, shares of 1; the difference is arm - rival."""

    rival: Arm
    seeds: tuple[int, ...]  # common ones
    questions: int
    score: float
    rival_score: float
    difference: Difference
    word: Word
    reason: str  # of "inconclusive" and of "no verdict"
    needed: int | None  # seeds that would settle it; None: settled, or see `by_seeds`
    by_seeds: bool  # False: no number of seeds would settle it with these questions
    notes: tuple[str, ...]  # settings that differ


@dataclass(frozen=True)
class Field:
    """All meetings of one arm, best rival first."""

    arm: Arm
    metric: str
    meetings: tuple[Meeting, ...]
    rank: int  # 1 + rivals whose score is above the arm's on the common seeds
    p_best: float | None  # chance to be the best of all; None if any of them has fewer than 5 seeds
    left_out: tuple[tuple[str, str], ...]  # (arm, why)

    def against(self, rival: str) -> Meeting:
        """`KeyError` if the two did not meet."""
        return {meeting.rival.id: meeting for meeting in self.meetings}[rival]


def meet(experiment: Experiment, arm: Arm, rivals: Sequence[Arm], metric: str) -> Field:
    """The arm against every rival with whom it shares a seed and the metric. `Missing` if that is none of them."""
    meetings, left_out = [], []
    for rival in rivals:
        try:
            meetings.append(_meeting(experiment, arm, rival, metric))
        except Missing as reason:
            left_out.append((rival.id, str(reason)))
    if not meetings:
        raise Missing("; ".join(f"{name}: {why}" for name, why in left_out) or "there is no arm to compare with")
    meetings.sort(key=lambda meeting: (-meeting.rival_score, meeting.rival.id))
    rank = 1 + sum(meeting.difference.estimate < 0 for meeting in meetings)
    return Field(arm, metric, tuple(meetings), rank, _p_best(arm, meetings, metric), tuple(left_out))


def _meeting(experiment: Experiment, arm: Arm, rival: Arm, metric: str) -> Meeting:
    seeds = tuple(sorted(arm.trials.keys() & rival.trials.keys()))
    if not seeds:
        raise Missing(f"no seed in common: {_listed(rival.trials)} there")
    (one, questions), (two, others) = (
        arm_scores({seed: side.trials[seed] for seed in seeds}, metric) for side in (arm, rival)
    )
    if questions != others:
        raise Missing("other test questions")
    rng = generator(f"{paired_difference.__name__}/{arm.id}/{rival.id}/{metric}")
    found = paired_difference(one, two, rng)
    word, reason = _verdict(arm.first["scale"], len(seeds), found)
    return Meeting(
        rival=rival,
        seeds=seeds,
        questions=sum(part.shape[1] for part in one),
        score=_mean(one),
        rival_score=_mean(two),
        difference=found,
        word=word,
        reason=reason,
        needed=None if word in ("better", "worse") else seeds_to_settle(found.spread),
        by_seeds=settled_by_seeds(found.spread),
        notes=tuple(notes(experiment, arm, rival)),
    )


def notes(experiment: Experiment, arm: Arm, rival: Arm) -> list[str]:
    """In what the two differ besides their methods."""
    one = arm.first
    return [*differences(one, rival.first), *tuning(experiment, one["scale"], arm.id, rival.id)]


def _verdict(scale: str, seeds: int, found: Difference) -> tuple[Word, str]:
    reason = no_verdict_reason(scale, seeds)
    if reason is not None:
        return "no verdict", reason
    words: dict[str, Word] = {"supported": "better", "contradicted": "worse"}
    word = words.get(verdict("direction", found.lo, found.hi), "inconclusive")
    return word, "the interval contains 0" if word == "inconclusive" else ""


def _p_best(arm: Arm, meetings: Sequence[Meeting], metric: str) -> float | None:
    field = [arm, *(meeting.rival for meeting in meetings)]
    if any(len(one.trials) < MINIMUM_SEEDS for one in field):
        return None
    scores = [arm_scores(dict(sorted(one.trials.items())), metric)[0] for one in field]
    chances = chances_of_best(scores, [sorted(one.trials) for one in field], generator(f"best/{arm.id}/{metric}"))
    return float(chances[0])


def _mean(scores: Sequence[np.ndarray]) -> float:
    return fmean(float(part.mean()) for part in scores)


def _listed(seeds: Mapping[int, Any]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
