"""Results in words: those of the published tables, word for word; and the README's summary of them."""

import re
from collections import Counter
from pathlib import Path

import pytest
from sitegen import committed

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows(text: str, start: str, end: str) -> list[list[str]]:
    """The body of the table between two marks."""
    lines = [line for line in text.split(start)[1].split(end)[0].splitlines() if line.startswith("|")]
    return [cells(line) for line in lines[2:]]


@pytest.mark.parametrize(
    "table,most_claims",
    [
        ("table1", 8),
        ("table2", 10),
        ("table3", 12),
        ("table4", 20),
        ("table5", 25),
        ("table5-svamp", 10),
        ("figure1", 15),
    ],
)
def test_results_show_the_published_numbers(table, most_claims):
    page = (ROOT / "docs" / "results" / f"{table}.md").read_text()
    shown = page.split(f"<!-- results {table} -->")[1].split("<!-- /results -->")[0]
    published = [
        cells(line) for line in (ROOT / "paper_tables" / f"{table}.md").read_text().splitlines() if "|" in line
    ]
    found = [cells(line) for line in shown.splitlines() if line.startswith("|") and "---" not in line]
    arms = [row for row in found if len(row) == 7][1:]
    claims = [row for row in found if len(row) == 3][1:]
    assert len(arms) >= 5 and len(claims) >= most_claims
    for arm in arms:
        assert any(row[0] == arm[0] and set(arm) <= set(row) for row in published), arm
    for claim, effect, verdict in claims:
        key, sentence = claim.split(": ", 1)
        assert any(row[:2] == [key, sentence] and {effect, verdict} <= set(row) for row in published), key


def test_readme_counts_the_verdicts():
    counted = {}
    for first, _, *numbers in rows(README, "<!-- counts -->", "<!-- /counts -->"):
        name, link = re.fullmatch(r"\[`(.+)`\]\((.+)\)", first).groups()
        assert link == f"docs/results/{name}.md"
        counted[name] = [int(number) for number in numbers]
    expected = {}
    for experiment in committed.published():
        found = Counter(one.verdict for one in committed.verdicts(experiment.id).values())
        expected[experiment.id] = [found[word] for word in committed.VERDICTS]
    assert counted == expected


def test_readme_names_every_verdict_of_the_main_experiment():
    named = dict(rows(README, "<!-- verdicts table1 -->", "<!-- /verdicts -->"))
    experiment = next(one for one in committed.published() if one.id == "table1")
    verdicts = committed.verdicts("table1")
    assert named == {f"{c.id}: {c.sentence}": f"**{verdicts[c.id].verdict}**" for c in experiment.claims}
