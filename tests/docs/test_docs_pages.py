"""Pages written by hand: their commands parse, their links lead somewhere, their examples run."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from sitegen import cli, links, pages

from repro import plugins, tasks
from repro.cli.main import VERBS, build_parser
from repro.experiments.registry import experiments
from repro.tasks.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = [ROOT / name for name in links.COPIED] + sorted((ROOT / "docs").rglob("*.md"))
PAGES = pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
_QUOTED = re.compile(r"`(repro [a-z][^`]*)`")


def calls(text: str) -> list[list[str]]:
    """The arguments of every call of `repro` in lines of shell."""
    found = []
    for line in text.splitlines():
        for part in re.split(r"&&|;|\|", line.partition(" #")[0]):
            words = shlex.split(part)
            if words and Path(words[0]).name == "repro":
                found.append(words[1:])
    return found


def in_blocks(text: str) -> list[list[str]]:
    return [words for block in _BLOCK.findall(text) for words in calls(block)]


def quoted(text: str) -> list[list[str]]:
    """Of running text, where a command may be left unfinished: `repro new method NAME`, `repro run`."""
    return [words.split()[1:] for words in _QUOTED.findall(links.FENCE.sub("", text))]


@PAGES
def test_commands_parse(path):
    text = path.read_text()
    for words in in_blocks(text):
        args = build_parser(words[0]).parse_args(words)
        for name in args.ids if words[0] in ("run", "plan", "report", "publish") else []:
            assert re.split("[/@]", name)[0] in experiments(), words
    for words in quoted(text):
        assert words[0] in VERBS, words
        verb = cli.subparsers(build_parser(words[0]))[words[0]]
        known = {o for one in [verb, *cli.subparsers(verb).values()] for a in one._actions for o in a.option_strings}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_commands_are_found():
    text = (
        "`repro list`\n```bash\n.venv/bin/repro run table1 --arms all  # all\nrepro status; repro doctor && ls\n```\n"
    )
    assert in_blocks(text) == [["run", "table1", "--arms", "all"], ["status"], ["doctor"]] and quoted(text) == [
        ["list"]
    ]
    texts = [path.read_text() for path in WRITTEN]
    assert sum(len(in_blocks(one)) for one in texts) > 45 and sum(len(quoted(one)) for one in texts) > 30


@PAGES
def test_links_lead_somewhere(path):
    """In the repository, where people read them first; the site's are checked by `mkdocs build --strict`."""
    for target, anchor in links.links(path.read_text()):
        place = (path.parent / target).resolve() if target else path
        assert place.exists() and place.is_relative_to(ROOT), target
        if anchor:
            assert anchor[1:] in anchors(place.read_text()), f"{target}{anchor}"


def anchors(text: str) -> set[str]:
    """As GitHub and MkDocs name the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", links.FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_are_turned_for_the_site():
    text = "[a](docs/gpu.md#top) ![b](figures/x.png) [c](paper_tables/table1.md) [d](paper_tables) [e](https://x.org)"
    assert links.for_site(text, "README.md") == (
        "[a](gpu.md#top) ![b](figures/x.png) [c](tables/table1.md) [d](tables/index.md) [e](https://x.org)"
    )
    text = "[a](../../figures/x.png) [b](../gpu.md) [c](../../README.md)\n```text\n[d](../../figures/x.png)\n```\n"
    assert links.for_site(text, "docs/results/table1.md") == (
        "[a](../figures/x.png) [b](../gpu.md) [c](../index.md)\n```text\n[d](../../figures/x.png)\n```\n"
    )


def test_no_page_is_both_written_and_made():
    assert not set(pages()) & {path.relative_to(ROOT / "docs").as_posix() for path in WRITTEN[len(links.COPIED) :]}


def test_the_example_of_the_statistics_is_true(monkeypatch):
    monkeypatch.chdir(ROOT)  # it reads the published records
    text = (ROOT / "docs" / "statistics.md").read_text()
    session = "\n".join(re.findall(r"^```pycon\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(session, {}, "statistics.md", None, 0)
    assert len(test.examples) > 30
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test, out=said.append).failed
    assert not failed, "".join(said)


def test_the_example_of_a_task_is_a_task(tmp_path, plugged):
    text = (ROOT / "docs" / "adding_a_task.md").read_text()
    source = re.search(r"<!-- example remainder.py -->\n```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]
    path = tmp_path / "remainder.py"
    path.write_text(source)
    assert plugins.add("task", str(path)) == "remainder"
    task = tasks.load("remainder", {"rl": 40})
    rl, test = task.prompts("rl"), task.prompts("test")
    assert len(rl) == 40 and test and not {p.question for p in rl} & {p.question for p in test}
    assert task.check([p.solution for p in test], test) == [Outcome.CORRECT] * len(test)
    assert task.check(["7;9"], test[:1]) == [Outcome.UNPARSED]
    assert set("".join(p.question + p.solution for p in rl + test)) <= set(task.symbols)

    import numpy as np

    rng = np.random.default_rng(0)
    slips = [task.demonstration(prompt, rng, noise=1.0) for prompt in rl]
    assert task.check(slips, rl) == [Outcome.WRONG] * len(rl)
    assert set("".join(slips)) <= set(task.symbols)
