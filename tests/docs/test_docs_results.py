"""The README's results are those of the published tables, word for word."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


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
def test_readme_shows_the_published_numbers(table, most_claims):
    shown = (ROOT / "README.md").read_text().split(f"<!-- results {table} -->")[1].split("<!-- /results -->")[0]
    published = [
        cells(line) for line in (ROOT / "paper_tables" / f"{table}.md").read_text().splitlines() if "|" in line
    ]
    rows = [cells(line) for line in shown.splitlines() if line.startswith("|") and "---" not in line]
    arms = [row for row in rows if len(row) == 7][1:]
    claims = [row for row in rows if len(row) == 3][1:]
    assert len(arms) >= 5 and len(claims) >= most_claims
    for arm in arms:
        assert any(row[0] == arm[0] and set(arm) <= set(row) for row in published), arm
    for claim, effect, verdict in claims:
        key, sentence = claim.split(": ", 1)
        assert any(row[:2] == [key, sentence] and {effect, verdict} <= set(row) for row in published), key
