"""Seconds per step of two arms side by side: from a timing record that holds both, else timed here, now.

Two published arms keep the times that they were published with. Everything else is timed on this machine: times of
different machines are never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.cli.opponents import STORED, published
from repro.cli.pipeline import interleaved, time_configs
from repro.experiments.plan import identity
from repro.report.rivals import Arm
from repro.store.config import TrialConfig
from repro.store.provenance import cpu_model, usable_cores
from repro.store.workspace import Workspace

if TYPE_CHECKING:
    from repro.cli.comparison import Match

Record = dict[str, Any]


def cost_reference(match: Match) -> Arm | None:
    """The arm whose cost the new one's is a ratio of: the one it is held against, or the best trained one after it."""
    if not match.arm.trained:
        return None
    if match.rival.trained:
        return match.rival
    trained = [one for one in match.rivals if one.trained and one.core] or [one for one in match.rivals if one.trained]
    return max(trained, key=lambda one: one.score("accuracy"), default=None)


def time_beside(
    match: Match,
    records: Sequence[Record],
    workspace: Workspace,
    data_dir: Path | None,
    tell: Callable[[str], None],
) -> tuple[Record | None, str]:
    """(a timing record that has the arm and its reference, why there is none). `TrialError` if a step fails.

    `records`: of the workspace. `tell` gets lines about progress.
    """
    reference = cost_reference(match)
    if reference is None:
        return None, f"time per step: {match.arm.id} is not trained, or no arm it can be compared with is"
    configs = {
        match.arm.id: replace(match.opponents.arm.config, seed=match.seeds[0]),
        reference.id: replace(match.opponents.config(reference.id), seed=match.seeds[0]),
    }
    if all(STORED in one.evidence for one in (match.arm, reference)):
        stored = published(match.opponents.experiment.id, match.opponents.scale)
        return _holding(stored, configs), (
            "time per step: no published timing record holds both arms, and times of two runs say nothing"
        )
    machine = cpu_model(), usable_cores()
    # A GPU is known only once torch is imported: times that were taken on one are taken again.
    here = [
        r for r in records
        if (r["provenance"].get("cpu"), r["provenance"].get("cores"), r["provenance"].get("gpu")) == (*machine, None)
    ]  # fmt: skip
    known = _holding(here, configs)
    if known is None and not interleaved(configs):
        return None, "time per step: steps on several processes or with vLLM cannot take turns in one process"
    if known is None:
        tell("timing steps of both arms, taking turns, once nothing else of yours trains here")
    return known or time_configs(configs, workspace, data_dir, lambda event: tell(event["message"])), ""


def _holding(records: Sequence[Record], configs: Mapping[str, TrialConfig]) -> Record | None:
    """The last timing record among `records` that timed all of `configs` as they are, whatever the seed."""

    def seedless(config: Mapping[str, Any]) -> str:
        return identity({**config, "seed": 0})

    wanted = {(arm, seedless(config.to_json())) for arm, config in configs.items()}
    found = [
        r for r in records
        if r["kind"] == "timing" and r["status"] == "done"
        and wanted <= {(arm, seedless(config)) for arm, config in r["config"].get("arms", {}).items()}
    ]  # fmt: skip
    return max(found, key=lambda r: str(r["provenance"].get("finished")), default=None)
