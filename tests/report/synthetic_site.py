"""Entries of an HTML report from synthetic records, friendly and hostile, and a reader of the written pages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from repro.experiments.types import Arm
from repro.report.build import compile_report
from repro.report.html import Entry

from . import synthetic as S

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror=alert(1)> {{ 7 * 191 }} </script> \" ' & `code` **bold**"
)


def with_samples(records: list[dict], questions: int = 3, text: str = "10;15;#11") -> list[dict]:
    """The records with a stored completion of each of the first questions."""
    for record in records:
        for name, entry in record["outcomes"].items():
            record["samples"] = [
                {"set": name, "question": q, "prompt": f"prompt {q}", "completion": f"{text} seed {record['seed']}",
                 "gold": "11", "outcome": entry["samples"][place][0]}
                for place, q in enumerate(entry["questions"][:questions])
            ]  # fmt: skip
    return records


def entry(
    evidence: str = "stored", scale: str = "micro", records: list[dict] | None = None, files=(), **changes
) -> Entry:
    records = with_samples(S.records(scale=scale)) if records is None else records
    suffix = "" if scale == "micro" else f"@{scale}"
    report = compile_report(S.experiment(**changes), records, S.timing(scale=scale), suffix)
    return Entry(report, evidence, records, tuple(files))


def hostile() -> Entry:
    """An arm, a set, questions, completions, an error and a ledger line that would like to be markup."""
    experiment = S.experiment()
    arms = tuple(replace(arm, display=HOSTILE) if arm.id == "tbrm-n1" else arm for arm in experiment.arms)
    claims = tuple(replace(claim, sentence=f"{claim.sentence} {HOSTILE}") for claim in experiment.claims)
    name = HOSTILE.replace("/", "")  # the one sign that no set may have
    records = with_samples(S.records(set_name=name), text=HOSTILE)
    for record in records:
        outcome = record["outcomes"][name]
        outcome["questions"] = [f"{HOSTILE} {q}" for q in outcome["questions"]]
        outcome["levels"] = ["__proto__", HOSTILE] * 32
        for sample, question in zip(record["samples"], outcome["questions"], strict=False):
            sample.update(question=question, prompt=HOSTILE, gold=HOSTILE)
        record["provenance"]["cpu"] = HOSTILE
        record["config"]["method"]["note"] = HOSTILE
    records.append(S.failed("brm-n4", 0) | {"error": {"message": HOSTILE, "step": 3}})
    changes = {"arms": (*arms, Arm("extra", HOSTILE, HOSTILE, core=False)), "claims": claims}
    return entry(records=records, **changes)


class Page(HTMLParser):
    """What a test wants to know of a page: text, elements, ids, links, headings."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def pages(root: Path) -> dict[str, Page]:
    return {str(p.relative_to(root)): Page(p.read_text(encoding="utf-8")) for p in sorted(root.rglob("*.html"))}


def data(root: Path, key: str):
    """The value that the script of `key` hands to the page."""
    text = (root / f"{key}.js").read_text(encoding="utf-8")
    name, value = re.fullmatch(r'repro\.add\(("[^"]*"),(.*)\);\n', text, re.DOTALL).groups()
    return json.loads(value)
