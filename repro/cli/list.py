"""List experiments, methods, tasks and claims.

JSON keys: experiments [{id, title, paper, summary, scales, arms [{id, display, method, core}], claims [id]}],
methods [{name, summary, paper}], tasks [{name, summary, generated, hub, licence}],
claims [{experiment, id, paper, kind, metric, arm, against, sentence}].
"""

from __future__ import annotations

from typing import Any

from repro.cli.common import add_json, columns, print_json
from repro.experiments.registry import experiments
from repro.methods.catalogue import METHODS
from repro.tasks.catalogue import TASKS


def add_arguments(parser) -> None:
    add_json(parser)


def main(args) -> int:
    content = catalogue()
    if args.json:
        print_json(content)
        return 0
    print("experiments")
    print(columns([(e["id"], e["title"], ", ".join(e["scales"])) for e in content["experiments"]]))
    print("\narms (* core)")
    for experiment in content["experiments"]:
        if not experiment["id"].endswith("-tuning"):
            name = experiment["id"]
            print(columns([(f"{name}/{a['id']}", "*" if a["core"] else " ", a["display"]) for a in experiment["arms"]]))
    print("\nmethods")
    print(columns([(m["name"], m["summary"]) for m in content["methods"]]))
    print("\ntasks")
    print(columns([(t["name"], "generated" if t["generated"] else "real", t["summary"]) for t in content["tasks"]]))
    print("\nclaims")
    print(columns([(f"{c['experiment']} {c['id']}", c["kind"], c["sentence"]) for c in content["claims"]]))
    return 0


def catalogue() -> dict[str, list[dict[str, Any]]]:
    found = list(experiments().values())
    return {
        "experiments": [
            {
                "id": e.id,
                "title": e.title,
                "paper": e.paper,
                "summary": e.summary,
                "scales": list(e.scales),
                "arms": [{"id": a.id, "display": a.display, "method": a.method, "core": a.core} for a in e.arms],
                "claims": [claim.id for claim in e.claims],
            }
            for e in found
        ],
        "methods": [{"name": m.name, "summary": m.summary, "paper": m.paper} for m in METHODS.values()],
        "tasks": [
            {"name": t.name, "summary": t.summary, "generated": t.generated, "hub": list(t.hub), "licence": t.licence}
            for t in TASKS.values()
        ],
        "claims": [
            {
                "experiment": e.id,
                "id": c.id,
                "paper": c.paper,
                "kind": c.kind,
                "metric": c.metric,
                "arm": c.arm,
                "against": c.against,
                "sentence": c.sentence,
            }
            for e in found
            for c in e.claims
        ],
    }
