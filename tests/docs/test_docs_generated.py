"""Pages made from the code: every verb, method, claim and task is on one, with what the code says of it."""

import html
import re
from dataclasses import fields

import pytest
from sitegen import cli, committed, outside, pages
from sitegen.words import code, plain

from repro.cli.main import VERBS, build_parser
from repro.experiments.registry import experiments
from repro.methods import configs
from repro.methods.catalogue import METHODS
from repro.tasks.catalogue import TASKS

PAGES = pages()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_help(verb):
    section = re.search(rf"^## {verb} \{{.*?(?=^## |\Z)", PAGES["cli.md"], re.DOTALL | re.MULTILINE)[0]
    parser = build_parser(verb)
    parsers = [cli.subparsers(parser)[verb], *cli.subparsers(cli.subparsers(parser)[verb]).values()]
    for one in parsers:
        assert f"usage: {one.prog} " in section
        assert all(option in section for action in one._actions for option in action.option_strings)


def test_help_does_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.pages()["cli.md"] == PAGES["cli.md"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page(name):
    entry = METHODS[name]
    page = PAGES["methods/verified.md" if entry.inner else f"methods/{name}.md"]
    assert entry.module in page and f"`{name}`" in page or f"# {name}\n" in page
    config = "VerdictConfig" if entry.inner else entry.config
    for field in fields(getattr(configs, config)):
        assert f"| {code(field.name)} | {code(repr(field.default))} |" in page
    assert re.search(r"^1\. ", page, re.MULTILINE), "its deviations"
    assert "\n```{ .text .formula" in page, "its formula: a block of the docstring, indented by four"
    assert "## Cost" in page and "## What it needs of the trainer" in page


def test_methods_of_published_arms_have_their_costs():
    assert "| [table1](../tables/table1.md) | TBRM n=4 | 893 ms |" in PAGES["methods/tbrm.md"].replace("  ", " ")
    assert "[table2]" in PAGES["methods/verified.md"]


@pytest.mark.parametrize("experiment", [one for one in experiments().values() if one.claims], ids=lambda one: one.id)
def test_every_claim_has_its_evidence(experiment):
    page, verdicts = PAGES[f"claims/{experiment.id}.md"], committed.verdicts(experiment.id)
    assert list(verdicts) == [claim.id for claim in experiment.claims]
    for claim, section in zip(experiment.claims, page.split("\n## ")[1:], strict=True):
        found = verdicts[claim.id]
        assert section.startswith(f"{claim.id} {{")
        assert all(plain(text) in section for text in (claim.sentence, claim.evidence, claim.paper_supports))
        assert found.verdict in committed.VERDICTS and f"{found.verdict}</span>" in section
        assert plain(found.effect) in section and (found.effect or found.verdict == "not run")
        assert plain(claim.sentence) in PAGES["claims/index.md"]


def test_claims_quote_the_data_file_of_their_paper():
    assert "| What is claimed | Peak memory is over 30 % lower (" in PAGES["claims/table3.md"]
    told = sum(PAGES[f"claims/{one.id}.md"].count("| What is claimed |") for one in committed.published())
    assert told > 0.9 * sum(len(one.claims) for one in committed.published())


def test_every_task_is_listed():
    for task in TASKS.values():
        (row,) = [line for line in PAGES["tasks.md"].splitlines() if line.startswith(f"| {code(task.name)} |")]
        assert plain(task.summary) in row and all(hub in row for hub in task.hub)


def test_every_table_is_a_page():
    for path in committed.TABLES.glob("*.md"):
        assert path.read_text() in PAGES[f"tables/{path.name}"] and f"({path.name})" in PAGES["tables/index.md"]


@pytest.mark.parametrize(
    "text", ["A*-PO, V*", "a_b_c [x] <b>&amp;</b> \\ # | {y}", "a ` alone", "RL^V `n=1` E[f_{k-1}]"]
)
def test_plain_text_shows_every_character(text):
    markdown = pytest.importorskip("markdown", reason="NOT TESTED: Markdown is not installed")
    shown = markdown.markdown(plain(text).replace("\\|", "|"))  # cells of tables keep the pipe
    assert html.unescape(re.sub("<.*?>", "", shown)) == (text.replace("`", "") if text.count("`") == 2 else text)


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img srcset="a.png 1x, https://example.org/b.png 2x">',
        '<p style="background: url(https://example.org/a.png)">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<iframe src="https://example.org"></iframe>',
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(page, tmp_path):
    (tmp_path / "index.html").write_text(page)
    assert len(outside.remote(tmp_path)) == 1


def test_links_and_own_files_load_nothing_from_elsewhere(tmp_path):
    (tmp_path / "index.html").write_text(
        '<link rel="canonical" href="https://example.org/"><a href="https://arxiv.org/abs/1">paper</a>'
        '<script src="assets/x.js"></script><img src="data:image/png;base64,aa">https://example.org'
    )
    (tmp_path / "x.css").write_text("a { background: url(data:image/png;base64,aa); } /* https://example.org */")
    assert outside.remote(tmp_path) == []
    (tmp_path / "x.css").write_text("@font-face { src: url(https://example.org/f.woff2); }")
    assert outside.remote(tmp_path) == ["x.css: https://example.org/f.woff2"]
