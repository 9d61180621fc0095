"""The result of `repro compare` in the terminal. Plain text, so that a name from outside is never more than that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from repro.cli.common import columns, duration
from repro.report.beside import Cost, Ratio
from repro.report.comparable import budget
from repro.report.format import chance, count, fixed, percent, signed
from repro.report.rivals import Arm, Meeting
from repro.statistics.pairwise import POWER

if TYPE_CHECKING:
    from repro.cli.comparison import Match, Result
    from repro.experiments.plan import Plan

MANY_SEEDS = 1000
HELD_EQUAL = {"completions_equal": "equal completions", "prompts_equal": "equal prompts"}


def dry(match: Match, plan: Plan) -> str:
    """What --dry-run says of one comparison."""
    arm, rival = match.arm, match.rival
    lines = [
        f"{match.name}, scale {match.opponents.scale}: {named(arm)} would be held against {named(rival)}, "
        f"{match.because}",
        f"  paired: seeds {_listed(match.seeds)}, and the questions of the stored records",
        f"  and a line for each of: {', '.join(one.id for one in match.rivals if one is not rival) or 'no other arm'}",
    ]
    if match.to_run:
        own = {config.id for config in match.to_run}
        seconds = [trial.estimated_seconds for trial in plan.trials if trial.id in own]
        each = duration(None if None in seconds else sum(seconds) / len(seconds))
        lines += [
            f"  to run: {match.to_run[0].experiment_id}/{arm.id}, seeds {_listed(c.seed for c in match.to_run)}: "
            f"about {each} each, {plan.jobs} at a time; base model and timing come on top",
            "  before that its base model and questions are held against those of the stored records by their hashes",
        ]
    else:
        lines.append(f"  to run: nothing, all its trials are done ({arm.evidence})")
    return "\n".join([*lines, *_notes(match), *_others(match)])


def told(result: Result) -> str:
    """One comparison: a line per stored arm, the rank, what differs, the cost, and a sentence to quote."""
    match, field = result.match, result.field
    meeting = field.against(match.against)
    rows = [
        ("", "stored arm", "its %", f"{field.arm.id} %", "difference", "95 % interval", "P(improvement)", "seeds",
         "verdict"),
        *(_row(one, one is meeting) for one in field.meetings),
    ]  # fmt: skip
    best = "" if field.p_best is None else f", P(best of them) {chance(field.p_best)}"
    lines = [
        f"{match.name}, scale {match.opponents.scale}: {field.metric} of {named(field.arm)}, paired by seed and "
        "question with each stored arm",
        columns(rows),
        f"  > held against {match.against}, {match.because}; lines are not corrected for their number",
        f"  rank {field.rank} of {len(field.meetings) + 1}{best}",
    ]
    if meeting.word in ("inconclusive", "no verdict"):
        lines.append(f"  to settle it against {match.against}: {to_settle(meeting)}")
    lines += [*_cost(result.cost), *_notes(match), *_others(match)]
    lines += [f"  not compared with {arm}: {why}" for arm, why in field.left_out]
    return "\n".join([*lines, "", sentence(result)])


def sentence(result: Result) -> str:
    """One sentence that can be quoted: what, on what, how much, how sure, and at which cost."""
    match, field = result.match, result.field
    meeting = field.against(match.against)
    arm, rival, found = field.arm, meeting.rival, meeting.difference
    ends = {
        "better": "better",
        "worse": "worse",
        "inconclusive": "inconclusive",
        "no verdict": f"without a verdict ({meeting.reason})",
    }
    side = "above" if found.estimate > 0 else "below" if found.estimate < 0 else "from"
    step, beside = result.cost.step.get("completions_equal"), result.cost.rival
    parts = [
        f"On {match.name} (scale {match.opponents.scale}, {_count(meeting.seeds, 'seed')}, "
        f"{count(meeting.questions)} questions), {arm.id} reaches {percent(meeting.score)} % {field.metric}, "
        f"{fixed(abs(100 * found.estimate))} points {side} {named(rival)} (95 % interval "
        f"{_interval(found.lo, found.hi)}, P(improvement) {chance(found.p_improvement)}): {ends[meeting.word]}",
        f"it ranks {field.rank} of {len(field.meetings) + 1}",
    ]
    if step is not None:
        parts.append(f"a training step takes {fixed(step.ratio, 2)} times as long as one of {beside}")
    tuned = [budget(match.opponents.experiment, match.opponents.scale, one.id) for one in (arm, rival)]
    if arm.trained and rival.trained and (tuned[0] is None) != (tuned[1] is None):
        parts.append(f"unlike {rival.id}, it was not tuned" if tuned[1] else f"unlike it, {rival.id} was not tuned")
    return "; ".join(parts) + "."


def to_settle(meeting: Meeting) -> str:
    """How many seeds would settle a comparison that is open."""
    if meeting.difference.spread.between_seeds is None:
        return "run 2 seeds or more to say how many it takes"
    if not meeting.difference.estimate:
        return "there is no difference to settle"
    if not meeting.by_seeds:
        return (
            "more seeds alone will not do, because the choice of these questions leaves it open: more questions would"
        )
    many = meeting.needed is not None and meeting.needed > MANY_SEEDS
    needed = f"more than {count(MANY_SEEDS)}" if many else f"about {meeting.needed}"
    return (
        f"{needed} seeds of both arms, with a chance of {100 * POWER:.0f} %, if the difference is as measured (by the "
        f"spread of {_count(meeting.seeds, 'seed')})"
    )


def summary(results: Sequence[Result]) -> str:
    """How often which verdict came out, over several experiments."""
    words = Counter(one.field.against(one.match.against).word for one in results)
    return f"in {len(results)} experiments: {', '.join(f'{word} in {times}' for word, times in words.items())}"


def not_compared(refused: Mapping[str, str]) -> list[str]:
    """The experiments without a comparison, each with its reason."""
    return ["not compared:\n" + "\n".join(f"  {line}" for line in reasons(refused))] if refused else []


def reasons(refused: Mapping[str, str]) -> list[str]:
    return [why if why.startswith(name) else f"{name}: {why}" for name, why in refused.items()]


def named(arm: Arm) -> str:
    return arm.id if arm.display == arm.id else f"{arm.display} ({arm.id})"


def _row(one: Meeting, chosen: bool) -> tuple[str, ...]:
    found = one.difference
    kind = "" if one.rival.core else ", ablation"
    where = "" if one.rival.evidence == "stored" else f", {one.rival.evidence}"
    return (
        ">" if chosen else "",
        f"{named(one.rival)}{kind}{where}",
        percent(one.rival_score),
        percent(one.score),
        signed(100 * found.estimate),
        _interval(found.lo, found.hi),
        chance(found.p_improvement),
        str(len(one.seeds)),
        one.word if one.word != "no verdict" else f"no verdict: {one.reason}",
    )


def _interval(lo: float, hi: float) -> str:
    return f"{signed(100 * lo)} to {signed(100 * hi)}"


def _notes(match: Match) -> list[str]:
    """What differs beside the method: in full for the arm it is held against, for the others what comes on top."""
    (against, first), *others = match.notes.items()
    lines = [f"  settings that differ from {against}'s:", *(f"    {note}" for note in first)]
    if not first:
        lines = [f"  settings beside the method: as {against}'s"]
    more: dict[str, list[str]] = {}
    for rival, notes in others:
        for note in notes:
            if note not in first:
                # The words of a budget are of one arm each.
                text = "only one of the two was tuned" if note.startswith("tuning: ") else note
                more.setdefault(text, []).append(rival)
    return lines + [f"    and beside {', '.join(rivals)}: {text}" for text, rivals in more.items()]


def _others(match: Match) -> list[str]:
    """The arms that are not compared, by reason, and seeds that only the one side has."""
    by_reason: dict[str, list[str]] = {}
    for arm, why in match.refused:
        by_reason.setdefault(f"cannot be compared ({why})", []).append(arm)
    if match.opponents.absent:
        by_reason["without records of these settings"] = list(match.opponents.absent)
    lines = [f"  {why}: {', '.join(arms)}" for why, arms in by_reason.items()]
    alone = [seed for seed in match.seeds if seed not in match.rival.trials]
    if alone:
        lines.append(f"  seeds {_listed(alone)} are not paired: {match.against} has no records of them")
    return lines


def _cost(found: Cost) -> list[str]:
    parts = [f"{_times(ratio)} at {HELD_EQUAL[name]}" for name, ratio in found.step.items()]
    lines = []
    if parts:
        taken = f"steps of both taking turns on {found.timed_on}"
        lines.append(f"  time per step beside {found.rival}: {'; '.join(parts)} ({taken})")
    if found.memory is not None:
        lines.append(f"  peak memory beside {found.rival}: {fixed(found.memory, 2)} times ({found.memory_kind})")
    return lines + [f"  {why}" for why in found.why if why]


def _times(found: Ratio) -> str:
    interval = "" if found.lo is None else f" [{fixed(found.lo, 2)}, {fixed(found.hi, 2)}]"
    return f"{fixed(found.ratio, 2)} times{interval}"


def _listed(seeds) -> str:
    return ", ".join(map(str, seeds))


def _count(items: Sequence, what: str) -> str:
    return f"{len(items)} {what}{'s' if len(items) != 1 else ''}"
