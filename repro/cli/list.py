"""List experiments, methods, tasks and claims.

JSON keys: experiments [{id, title, paper, summary, scales, arms [{id, display, method, core}], claims [id]}],
methods [{name, summary, paper, plugin}], tasks [{name, summary, generated, hub, licence, plugin}],
claims [{experiment, id, paper, kind, metric, arm, against, sentence}]. plugin names the distribution or file of a
plug-in and is null for what is built in; an installed plug-in is not imported, so its other keys may be null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from repro import plugins
from repro.cli.common import add_json, add_method, columns, print_json, ready_for_plugins
from repro.experiments.registry import experiments
from repro.methods.catalogue import METHODS
from repro.tasks.catalogue import TASKS


def add_arguments(parser) -> None:
    add_method(parser)
    add_json(parser)


def main(args) -> int:
    ready_for_plugins(args)
    for text in args.methods:
        plugins.add("method", text)
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
    print(columns([(m["name"], m["summary"] or f"plug-in of {m['plugin']}") for m in content["methods"]]))
    print("\ntasks")
    print(columns([(t["name"], _sort(t), t["summary"] or f"plug-in of {t['plugin']}") for t in content["tasks"]]))
    print("\nclaims")
    print(columns([(f"{c['experiment']} {c['id']}", c["kind"], c["sentence"]) for c in content["claims"]]))
    return 0


def _sort(task: dict[str, Any]) -> str:
    return {True: "generated", False: "real", None: ""}[task["generated"]]


def _plugged(kind: plugins.Kind, known: Iterable[str], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of the installed plug-ins that are not loaded: all keys null but the name and where it comes from."""
    found = plugins.installed(kind).items()
    rows = [(name, plugins.distribution(point)) for name, point in found if name not in known]
    return [{**dict.fromkeys(keys), "name": name, "plugin": where} for name, where in rows]


def catalogue() -> dict[str, list[dict[str, Any]]]:
    found = list(experiments().values())
    methods = [
        {"name": m.name, "summary": m.summary, "paper": m.paper, "plugin": plugins.origin("method", m.name)}
        for m in METHODS.values()
    ]
    tasks = [
        {
            "name": t.name,
            "summary": t.summary,
            "generated": t.generated,
            "hub": list(t.hub),
            "licence": t.licence,
            "plugin": plugins.origin("task", t.name),
        }
        for t in TASKS.values()
    ]
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
        "methods": methods + _plugged("method", METHODS, tuple(methods[0])),
        "tasks": tasks + _plugged("task", TASKS, tuple(tasks[0])),
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
