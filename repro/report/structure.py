"""A report as plain data for `--json`: stable keys, full precision, rates as fractions, seconds, bytes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from repro.report.bandit_table import bandit_json
from repro.report.build import Report
from repro.report.passk_table import passk_json
from repro.report.planned import planned_json
from repro.report.scaling_table import scaling_json


def to_json(report: Report) -> dict[str, Any]:
    """JSON-able: dicts, lists, strings, numbers, booleans, null. Reported numbers stand apart under `reported`."""
    paper = report.paper
    # Only reports that have something of the kind have these keys, so that they never stand there empty.
    more = {"scaling": scaling_json(report.experiment, report.scaling)} if report.scaling else {}
    if report.passk:
        more["passk"] = passk_json(report.passk)
    if report.bandits:
        more["bandits"] = bandit_json(report.bandits)
    if report.phases:
        more["phases"] = {"device": report.device, "rows": [asdict(row) for row in report.phases]}
    if report.planned:
        more["planned"] = planned_json(report.planned)
    return {
        "id": report.name,
        "experiment": report.experiment.id,
        "title": report.experiment.title,
        "scale": report.scale,
        "setting": dict(report.setting),
        "arms": [_plain(asdict(row)) for row in report.rows],
        "claims": [{**asdict(v.claim), "result": _plain(asdict(v.result))} for v in report.verdicts],
        "noise_floor": [_plain(asdict(row)) for row in report.noise],
        "ledger": [asdict(line) for line in report.experiment.ledger],
        "reported": {
            "paper": paper["id"],
            "tables": [t for t in paper["tables"] if report.experiment.id in t.get("beside", ())],
            "cost": paper["cost"] if report.experiment.id in paper.get("cost", {}).get("beside", ()) else None,
        },
        **more,
        "command": report.command,
        "files": [str(path) for path in report.files],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
