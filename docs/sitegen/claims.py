"""Each claim with its evidence: the registered sentence, what the paper's own numbers support, and our verdict."""

from __future__ import annotations

import re
from collections import Counter

from repro import papers
from repro.experiments.types import Claim, Experiment
from repro.report.html.claims import SIGNS
from sitegen import committed
from sitegen.committed import VERDICTS, Verdict
from sitegen.words import block, plain, table, title

_KINDS = {
    "direction": "direction: the whole interval must lie on the right side of no effect",
    "threshold": "threshold: the whole interval must lie beyond the size that the claim names",
    "non-inferior": "non-inferior: the whole interval must lie above the loss that still counts as a match",
    "exact": "exact: computed without sampling error, so there is no interval",
}
_LETTERS = {"astar_po": "C"}  # papers whose claims have another letter in their data file than in experiments
_INTRODUCTION = """# Claims and verdicts

Every claim is a contrast of two arms on one metric. Its verdict is computed from stored records and holds for the scale
that it names; [how](../statistics.md). All verdicts below are at scale micro, but for those about memory and FLOPs that
name a model's shapes.

"""
_TAGS = """## Evidence tags

| Tag | The number or sentence stands in |
| --- | --- |
| [paper] | the paper's own text, table or figure |
| [code] | the authors' released code |
| [other] | another paper or an independent implementation: a check of the direction, not this paper's result |
| [second-hand] | a source about the paper: context only |
| [derived] | arithmetic on tagged numbers |
"""


def pages() -> dict[str, str]:
    found = [(experiment, committed.verdicts(experiment.id)) for experiment in committed.published()]
    details = {f"claims/{experiment.id}.md": _page(experiment, verdicts) for experiment, verdicts in found}
    return {"claims/index.md": _index(found), **details}


def badge(verdict: str) -> str:
    return f'<span class="verdict {verdict.replace(" ", "-")}">{SIGNS[verdict]} {verdict}</span>'


def _index(found: list[tuple[Experiment, dict[str, Verdict]]]) -> str:
    counts = []
    for experiment, verdicts in found:
        numbers = Counter(one.verdict for one in verdicts.values())
        link = f"[{experiment.id}]({experiment.id}.md)"
        counts.append((link, plain(experiment.title), *(str(numbers[word] or "–") for word in VERDICTS)))
    parts = [_INTRODUCTION, table(("Experiment", "Title", *map(badge, VERDICTS)), counts, numbers_from=2), _TAGS]
    for experiment, verdicts in found:
        rows = [
            (f"[{claim.id}]({experiment.id}.md#{anchor(claim.id)})", plain(claim.sentence), badge(verdict.verdict))
            for claim in experiment.claims
            for verdict in [verdicts[claim.id]]
        ]
        parts += [f"## {plain(experiment.title)}\n", table(("Claim", "Sentence", "Verdict"), rows)]
    return "\n".join(parts)


def _page(experiment: Experiment, verdicts: dict[str, Verdict]) -> str:
    parts = [
        title(f"Claims of {experiment.id}"),
        f"# Claims of {experiment.id}: {plain(experiment.title)}\n",
        f"{plain(experiment.summary)}\n",
        f"[Results in words](../results/{experiment.id}.md) · [the whole table](../tables/{experiment.id}.md), "
        "with every arm, setting and deviation from the paper. All records, and so the verdicts, are made again by\n",
        block(committed.command(experiment.id), "bash"),
    ]
    for claim in experiment.claims:
        parts += _claim(experiment, claim, verdicts[claim.id])
    return "\n".join(parts)


def _claim(experiment: Experiment, claim: Claim, verdict: Verdict) -> list[str]:
    paper = papers.load(claim.paper)
    reason = f": {plain(verdict.reason)}" if verdict.reason else ""
    rows = [
        ("Verdict", f"{badge(verdict.verdict)}{reason}"),
        ("Effect", plain(verdict.effect)),
        ("Tested here", plain(verdict.tested)),
        ("Kind", plain(_KINDS[claim.kind])),
        ("Paper", f"{plain(paper['title'])}, [arXiv {paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})"),
        ("Evidence", plain(claim.evidence)),
        ("The paper's own numbers support", plain(claim.paper_supports)),
    ]
    if stated := _stated(claim):
        rows.insert(6, ("What is claimed", stated))
    if claim.floor is not None:
        least = f"{100 * claim.floor.accuracy:g} %"
        rows.append(
            ("Not tested", plain(f"where `{claim.floor.arm}` scores less than {least}: there is no signal then"))
        )
    if arms := _arms(experiment, claim):
        rows.append(("These arms alone", f"`repro run {experiment.id} --arms {arms}` (fewer claims: another level)"))
    return [f"## {claim.id} {{ #{anchor(claim.id)} }}\n", f"{plain(claim.sentence)}\n", table(("", ""), rows)]


def _stated(claim: Claim) -> str:
    """The entry of the paper's data file that the claim is a part of; "" where the ids do not tell."""
    known = {entry["id"]: entry for entry in papers.load(claim.paper)["claims"]}
    first = claim.id.partition("-")[0]
    entry = known.get(claim.id) or known.get(first) or known.get(_LETTERS.get(claim.paper, "-") + first[1:])
    return plain(f"{entry['statement']} ({entry['source']}) [{entry['evidence']}]") if entry else ""


def _arms(experiment: Experiment, claim: Claim) -> str:
    """The two arms for `--arms`; "" where no run of arms answers the claim (plans and exact moments)."""
    planned = claim.metric.startswith(("planned_", "estimator:"))
    known = {arm.id for arm in experiment.arms}
    arms = dict.fromkeys([claim.arm, claim.against])
    return "" if planned or not known >= set(arms) else ",".join(arms)


def anchor(claim_id: str) -> str:
    return "claim-" + re.sub(r"[^a-z0-9]+", "-", claim_id.lower()).strip("-")
