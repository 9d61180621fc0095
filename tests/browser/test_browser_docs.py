"""The documentation's site in a real browser: built as by `tox -e docs`, read from the folder, without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PHONE = {"viewport": {"width": 375, "height": 700}, "is_mobile": True, "has_touch": True}
READ = (
    "index.html", "statistics.html", "cli.html", "claims/table3.html", "methods/ksample.html", "results/table1.html",
    "tables/table5.html",
)  # fmt: skip
PICTURES = {"index.html": 1, "results/table1.html": 4}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="NOT TESTED: the documentation as a site (pip install 'repro-bench[docs]')")
    target = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_pages_load_without_an_error_or_a_request(site, open_page, options):
    for name in READ:
        page, watch = open_page(site, name, **options)
        page.wait_for_load_state("load")
        widths = page.evaluate("Array.from(document.querySelectorAll('article img')).map(one => one.naturalWidth)")
        assert all(widths) and len(widths) == PICTURES.get(name, 0), name
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
        assert (watch.errors, watch.requests) == ([], []), name


def test_the_search_finds_a_claim(site, open_page):
    page, watch = open_page(site, "index.html")
    page.click("input.md-search__input")
    page.keyboard.type("REBEL needs more memory than GRPO", delay=20)
    page.wait_for_selector(".md-search-result__item a[href*='claims/table3.html']", state="attached")
    assert (watch.errors, watch.requests) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_our_content_can_be_read(site, open_page, scheme):
    """What the pages and their style decide; the theme's own frame (its search dialog, its landmarks) is left out."""
    from axe_playwright_python.sync_playwright import Axe

    for name in ("statistics.html", "claims/table1.html"):
        page, _ = open_page(site, name, color_scheme=scheme)
        found = Axe().run(page, context={"include": [["article"]], "exclude": [[".md-code__nav"]]})
        assert found.violations_count == 0, (name, found.generate_report())
