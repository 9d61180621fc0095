"""A real headless Chromium for the tests of the HTML report; they skip loudly without one.

REPRO_CHROMIUM names the program where it is not on the path; with REPRO_REQUIRE_BROWSER=1 its absence is a failure.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `report.synthetic_site`

MILLISECONDS = 120_000  # generous: the machine may be busy


def _missing(what: str):
    if os.environ.get("REPRO_REQUIRE_BROWSER"):
        pytest.fail(f"REPRO_REQUIRE_BROWSER is set, but {what}")
    pytest.skip(f"NOT TESTED in a browser: {what} (pip install 'repro-bench[browser]', apt-get install chromium)")


@pytest.fixture(scope="module")
def chromium():
    """One browser for a module: Playwright's event loop must be gone before other tests start theirs."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        _missing("Playwright is not installed")
    names = (os.environ.get("REPRO_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if name and (path := shutil.which(name))), None)
    if program is None:
        _missing("there is no Chromium")
    arguments = ["--disable-gpu"]  # drawn in software either way, and quicker without the detour
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # it refuses to run as root
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=arguments, timeout=MILLISECONDS)
        except Error as error:  # a stub that only names another package, or a container that lets no browser run
            _missing(f"{program} does not start: {str(error).partition(chr(10))[0]}")
        yield browser
        browser.close()


class Watch:
    """What a page said and asked for: errors, and requests that are not for files."""

    def __init__(self, page):
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        page.on("dialog", lambda dialog: (self.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else self.requests.append(r.url))


@pytest.fixture
def open_page(chromium):
    """Open a page of a report in a fresh context: (page, what it said). Requests to a network are blocked."""
    contexts = []

    def call(root: Path, name: str, **options):
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        context.set_default_timeout(MILLISECONDS)
        context.route(lambda url: not url.startswith(("file:", "data:")), lambda route: route.abort())
        contexts.append(context)
        page = context.new_page()
        watch = Watch(page)
        page.goto(f"file://{root}/{name}")
        return page, watch

    yield call
    for context in contexts:
        context.close()
