"""The pages of the HTML report: what they say, that they hang together, and that nothing untrusted becomes markup."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from repro.report.build import report
from repro.report.html import write_site
from repro.report.html.board import merged, ranked, table
from repro.report.html.tables import to_html
from repro.report.html.write import MARKER
from repro.report.markdown import measured_columns
from repro.report.standings import Group, Row

from . import synthetic as S
from .synthetic_site import HOSTILE, Page, entry, hostile, pages


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Tables and figures of the synthetic experiment, as the report writes them."""
    return report(S.experiment(), S.records(), S.timing(), tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp("site") / "html"
    write_site([entry(files=drawn.files), entry("yours", "small")], root)
    return root


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "html"
    write_site([hostile()], root)
    return root


def test_the_overview_has_every_claim_with_its_verdict_at_every_scale(site, drawn):
    index = pages(site)["index.html"]
    for verdict in drawn.verdicts:
        assert verdict.claim.sentence in index.text and verdict.effect in index.text
        assert f"table1 {verdict.claim.id}" in index.text
    assert "Scale micro, stored" in index.text and "Scale small, yours" in index.text
    assert index.text.count("4 of 6 at 1.5B, 3 of 6 at 7B") == len(drawn.verdicts)
    assert {"stored/table1.html", "yours/table1@small.html"} <= {a["href"] for a in index.all("a")}


def test_the_page_of_an_experiment_has_its_table_figures_claims_ledger_settings_and_command(site, drawn):
    page = pages(site)["stored/table1.html"]
    _, rows = measured_columns(drawn)
    for cell in [cell for row in rows for cell in row]:
        assert cell in page.text
    for line in drawn.experiment.ledger:
        assert line.ours in page.text and line.why in page.text
    assert drawn.command in page.text and "train.completions_per_step" in page.text
    assert "14.3" in page.text  # of the paper's own table
    assert len(page.all("img")) == len([p for p in drawn.files if p.suffix == ".svg"]) > 2
    assert all(image["alt"] and int(image["width"]) > 100 for image in page.all("img"))
    assert {"tables/table1.csv", "tables/table1.tex"} <= {a["href"] for a in page.all("a")}
    assert "Training, all trials" in page.text and "2 cores" not in page.text and "synthetic" in page.text


def test_every_link_and_every_file_of_a_page_is_there(site):
    found = pages(site)
    for name, page in found.items():
        links = [a.get("href") for a in page.all("a") + page.all("link")]
        links += [a["src"] for a in page.all("img") + page.all("script")]
        for link in links:
            parts = urlsplit(link)
            if parts.scheme in ("https", "data"):
                assert link.startswith("https://arxiv.org/abs/") or link == "data:,"
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            assert target.resolve().is_file(), (name, link)
            if parts.fragment and not parts.path.endswith("questions.html"):
                assert parts.fragment in found[str(target.resolve().relative_to(site))].ids, (name, link)


@pytest.mark.parametrize("which", ["site", "hostile_site"])
def test_pages_are_built_for_everybody(which, request):
    for name, page in pages(request.getfixturevalue(which)).items():
        assert page.all("html") == [{"lang": "en"}], name
        levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), (name, levels)
        assert len(page.ids) == len(set(page.ids)), name
        assert len(page.all("table")) == len(page.all("caption"))
        assert all(th.get("scope") in ("col", "row") for th in page.all("th")), name
        assert page.elements[[tag for tag, _ in page.elements].index("body") + 1][1]["href"] == "#main"


@pytest.mark.parametrize("which", ["site", "hostile_site"])
def test_pages_forbid_the_network_and_inline_code(which, request):
    for name, page in pages(request.getfixturevalue(which)).items():
        (policy,) = [
            meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
        ]
        assert "default-src 'none'" in policy and "unsafe" not in policy, name
        assert not page.all("style")
        assert all(script.get("src", "").endswith(".js") for script in page.all("script"))
        for _, attributes in page.elements:
            assert not any(key == "style" or key.startswith("on") for key in attributes), (name, attributes)


def test_nothing_untrusted_becomes_markup_or_a_template(hostile_site):
    found = pages(hostile_site)
    shown = " ".join(HOSTILE.split())
    for name in ("index.html", "arms.html", "stored/table1.html"):
        assert shown.replace("`", "") in found[name].text.replace("`", ""), name
        assert "1337" not in found[name].text, name
        assert all(image.get("src") != "x" for image in found[name].all("img")), name
        assert all("src" in script for script in found[name].all("script")), name
    for path in hostile_site.rglob("*.js"):
        if path.parent.name != "assets":
            text = path.read_text(encoding="utf-8")
            assert text.isascii() and "<" not in text, path


def test_markdown_tables_take_no_markup_from_cells():
    html = str(to_html("## A\n\n| Arm | V* |\n| --- | ---: |\n| <b> [x](http://e) ![i](http://e) *em* | `1` |\n"))
    page = Page(html)
    assert {tag for tag, _ in page.elements} == {
        "h2", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "code"
    }  # fmt: skip
    assert "<b> [x](http://e) ![i](http://e) *em*" in page.text


def test_two_reports_of_the_same_records_have_the_same_bytes(site, tmp_path, drawn):
    write_site([entry(files=drawn.files), entry("yours", "small")], tmp_path / "again")
    first = {p.relative_to(site): p.read_bytes() for p in site.rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*") if p.is_file()}
    assert first == again and len(first) > 20 and MARKER in {str(path) for path in first}


def test_rows_of_any_source_fill_the_table_of_arms():
    rows = ranked(
        [
            {"experiment": "t", "arm": "a", "display": "A", "scale": "micro", "evidence": "stored", "estimate": 0.25},
            {"experiment": "t", "arm": "b", "display": "B", "scale": "micro", "evidence": "stored", "estimate": 0.5,
             "lo": 0.4, "hi": 0.6, "p_best": 0.9},
            {"experiment": "t", "arm": "c", "display": "C", "scale": "micro", "evidence": "stored"},
        ]
    )  # fmt: skip
    assert [(row["arm"], row["rank"]) for row in rows] == [("b", 1), ("a", 2), ("c", None)]
    reported = {"experiment": "t", "arm": "d", "display": "D", "scale": "paper", "evidence": "reported", "seeds": 1}
    made = table([*rows, reported])
    titles = [column.title for column in made["columns"]]
    assert "P(best)" in titles and "Hardware" not in titles
    texts = [dict(zip(titles, (cell["text"] for cell in row["cells"]), strict=True)) for row in made["rows"]]
    assert texts[0]["Estimate [95 %]"] == "50.0 % [40.0, 60.0]" and texts[1]["Estimate [95 %]"] == "25.0 %"
    assert texts[2]["Rank"] == texts[3]["P(best)"] == "–"
    assert [(column.key, values) for column, values in made["filters"]] == [
        ("scale", ["micro", "paper"]), ("evidence", ["stored", "reported"])
    ]  # fmt: skip


def test_the_leaderboard_ranks_the_arms_that_it_has_and_adds_imported_ones():
    reports = ranked(
        [
            {"experiment": name, "arm": arm, "display": arm, "scale": "micro", "evidence": "stored",
             "estimate": estimate, "greedy": 0.75, "link": f"stored/{name}.html"}
            for name, arm, estimate in (("t", "a", 0.5), ("t", "b", 0.25), ("t", "c", 0.125), ("u", "a", 0.5))
        ]
    )  # fmt: skip
    rows = [board_row("b", 1, "stored", 0.25), board_row("a", 2, "imported", 0.25), board_row("a", 3, "stored", 0.2)]
    found = merged(reports, [Group("t", "micro", ("chain",), "s", "accuracy", rows)])
    assert [(row["experiment"], row["arm"], row["evidence"], row["rank"], row["estimate"]) for row in found] == [
        ("t", "b", "stored", 1, 0.25),
        ("t", "a", "imported", 2, 0.25),
        ("t", "a", "stored", 3, 0.2),
        ("t", "c", "stored", None, 0.125),
        ("u", "a", "stored", 1, 0.5),
    ]
    known, imported = found[0], found[1]
    assert (known["p_best"], known["greedy"], known["link"]) == (0.75, 0.75, "stored/t.html")
    assert "link" not in imported and "greedy" not in imported
    assert merged(reports, []) == reports


def board_row(arm, rank, evidence, estimate):
    return Row(
        rank, "t", arm, arm.upper(), "grpo", evidence, estimate, 0.1, 0.9, 0.75, (0, 1), 20.0, None, 1024, None, 6400.0,
        ("a test",), ("abc",), False,
    )  # fmt: skip
