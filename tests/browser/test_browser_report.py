"""The HTML report in a real browser: it works by keyboard, on a phone, at night and on paper, and talks to nobody."""

import pytest
from report import synthetic as S
from report.synthetic_site import entry, hostile, with_samples

from repro.report.html import write_site

pytestmark = pytest.mark.browser

PAGES = ("index.html", "arms.html", "methods.html", "stored/table1.html", "questions.html")
PHONE = {"viewport": {"width": 375, "height": 700}, "is_mobile": True, "has_touch": True}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 504 252"><path d="M0 0H504V252"/></svg>'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    figure = folder / "figures" / "table1_accuracy.svg"
    figure.parent.mkdir()
    figure.write_text(SVG)
    small = with_samples(S.records(["base", "ppo-n1"], scale="small", shift=0.5))
    write_site([entry(files=[figure]), entry("yours", "small", small)], folder / "html")
    return folder / "html"


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "html"
    write_site([hostile()], root)
    return root


def rights(arm: str, question: int, **options) -> int:
    """Right answers of an arm to one question, over seeds and samples, from its records."""
    return sum(S.trial(arm, seed, **options)["outcomes"]["chain"]["samples"][question].count("c") for seed in range(5))


def ready(page, words: str = "Right answers"):
    """Wait until the page of questions shows a table whose caption has these words."""
    page.wait_for_selector(f"#place caption:has-text('{words}')", state="attached")


@pytest.mark.parametrize("which", ["site", "hostile_site"])
def test_pages_load_without_an_error_or_a_request(which, open_page, request):
    for name in PAGES:
        page, watch = open_page(request.getfixturevalue(which), name)
        if name == "questions.html":
            ready(page)
            page.select_option("#show", "stored")
            page.click("#place tbody tr:not([hidden]) button")
            page.wait_for_selector("#detail:not([hidden])")
        assert (watch.errors, watch.requests) == ([], []), name
        assert page.evaluate("[typeof window.hacked, document.querySelectorAll('img[src=x], main script').length]") == [
            "undefined", 0
        ]  # fmt: skip
        assert (
            page.evaluate("getComputedStyle(document.querySelector('.skip')).position") == "absolute"
        )  # has its style


def test_hostile_words_are_shown_as_they_are(hostile_site, open_page):
    from report.synthetic_site import HOSTILE

    page, watch = open_page(hostile_site, "questions.html#a=stored/table1/tbrm-n1&b=stored/table1/base")
    ready(page)
    page.click("#place tbody tr button")
    page.wait_for_selector("#detail:not([hidden])")
    assert HOSTILE in page.text_content("#detail") and HOSTILE in page.text_content("#place caption")
    assert HOSTILE in page.text_content("#pair pre") and "1337" not in page.text_content("main")
    assert not watch.errors


def test_the_policy_of_the_pages_blocks_code_and_network(site, open_page):
    page, _ = open_page(site, "index.html")
    blocked = page.evaluate(
        """async () => {
            const found = [];
            document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/x.png";
            document.body.append(image);
            await fetch("http://127.0.0.1:9/").catch(() => null);
            await new Promise((resolve) => setTimeout(resolve, 200));
            return [typeof window.hacked, found.sort().join(" ")];
        }"""
    )
    assert blocked == ["undefined", "connect-src img-src script-src-elem"]


def test_tables_sort_by_keyboard_and_say_so(site, open_page):
    page, watch = open_page(site, "arms.html")
    titles = page.eval_on_selector_all("#arms-table thead th", "all => all.map(one => one.textContent.trim())")
    column = titles.index("Estimate [95 %]")
    head = page.locator("#arms-table thead th").nth(column)
    cells = f"rows => rows.map(row => row.cells[{column}].dataset.value)"
    values = {}
    for order in ("descending", "ascending"):
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        values[order] = page.eval_on_selector_all("#arms-table tbody tr", cells)
    numbers = {order: [float(v) for v in found if v] for order, found in values.items()}
    assert numbers["descending"] == sorted(numbers["descending"], reverse=True) and len(numbers["descending"]) >= 7
    assert numbers["ascending"] == sorted(numbers["ascending"])
    assert values["descending"][-1] == values["ascending"][-1] == ""  # an arm that was not run comes last, both ways
    page.locator("#arms-table thead th").nth(titles.index("Arm")).locator("button").click()
    assert head.get_attribute("aria-sort") is None
    names = page.eval_on_selector_all("#arms-table tbody th", "all => all.map(one => one.textContent)")
    assert names == sorted(names, key=str.lower) and not watch.errors


def test_filters_hide_rows_and_count_what_is_left(site, open_page):
    page, _ = open_page(site, "index.html")
    rows = "#claims-table tbody tr"
    everything = page.locator(rows).count()
    assert page.inner_text(".filters [role=status]") == f"{everything} rows"
    page.fill(".filters input", "tbrm  PREDICTED_peak")
    assert page.locator(f"{rows}:visible").count() == 1
    assert page.inner_text(".filters [role=status]") == f"1 of {everything} rows"
    page.fill(".filters input", "")
    page.select_option(".filters select >> nth=0", "supported")
    shown = page.locator(f"{rows}:visible")
    assert 0 < shown.count() < everything
    assert all("supported" in text for text in shown.all_inner_texts())


def test_two_arms_side_by_side(site, open_page):
    page, watch = open_page(site, "stored/table1.html")
    page.click("text=two arms side by side")
    ready(page)
    page.select_option("#first", "stored/table1/tbrm-n4")
    page.select_option("#second", "stored/table1/ppo-n1")
    ready(page, "TBRM n=4 and PPO n=1")
    assert page.locator("#place tbody tr").count() == 64
    texts = page.locator("#place tbody tr").nth(2).locator("td").all_inner_texts()
    assert texts[1:3] == [f"{rights(arm, 2)} of 40" for arm in ("tbrm-n4", "ppo-n1")]
    page.select_option("#show", "stored")
    assert page.inner_text("#shown") == "3 of 64 rows"
    page.select_option("#show", "first")
    better = sum(rights("tbrm-n4", q) > rights("ppo-n1", q) for q in range(64))
    assert page.inner_text("#shown") == f"{better} of 64 rows"
    page.select_option("#show", "")
    page.locator("#place tbody button").nth(1).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "detail-title"
    assert page.inner_text("#detail-title") == "Question 1" and "prompt 1" in page.inner_text("#asked")
    left, right = page.locator("#pair article").all_inner_texts()
    for arm, text in (("tbrm-n4", left), ("ppo-n1", right)):
        letters = S.trial(arm, 3)["outcomes"]["chain"]["samples"][1]
        assert letters in text and "Stored completions (5)" in text and "10;15;#11 seed 3" in text
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # back to the table
    assert page.evaluate("document.activeElement.textContent") == "1"
    address = page.url
    page.goto("about:blank")
    page.goto(address)  # it holds what was shown
    page.wait_for_selector("#detail:not([hidden])")
    assert page.inner_text("#detail-title") == "Question 1" and page.input_value("#first") == "stored/table1/tbrm-n4"
    assert (watch.errors, watch.requests) == ([], [])


def test_arms_of_two_reports_are_compared_on_the_questions_they_share(site, open_page):
    page, _ = open_page(site, "questions.html#a=stored/table1/ppo-n1&b=yours/table1@small/ppo-n1")
    ready(page)
    texts = page.locator("#place tbody tr").nth(5).locator("td").all_inner_texts()
    assert texts[1:3] == [f"{rights('ppo-n1', 5)} of 40", f"{rights('ppo-n1', 5, shift=0.5)} of 40"]


@pytest.mark.parametrize("which", ["site", "hostile_site"])
def test_no_page_is_wider_than_a_phone(which, open_page, request):
    for name in PAGES:
        page, _ = open_page(request.getfixturevalue(which), name, **PHONE)
        if name == "questions.html":
            ready(page)
            page.select_option("#show", "stored")
            page.click("#place tbody tr:not([hidden]) button")
            page.wait_for_selector("#detail:not([hidden])")
        width, shown = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width <= shown == 375, name
        assert page.evaluate("visualViewport.scale") == 1, name  # not shrunk to fit either


def test_wide_tables_scroll_in_a_box_that_the_keyboard_reaches(site, open_page):
    page, _ = open_page(site, "arms.html", **PHONE)
    box = page.locator(".scroll").first
    assert box.evaluate("one => one.scrollWidth > one.clientWidth") and box.get_attribute("tabindex") == "0"
    box.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(100):  # it glides
        if box.evaluate("one => one.scrollLeft > 0"):
            return
        page.wait_for_timeout(100)
    pytest.fail("the arrow key did not scroll the table")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_light_or_dark(scheme, site, open_page):
    from axe_playwright_python.sync_playwright import Axe

    grounds = set()
    for name in PAGES:
        page, _ = open_page(site, name, color_scheme=scheme)
        if name == "questions.html":
            ready(page)
            page.click("#place tbody tr button")
            page.wait_for_selector("#detail:not([hidden])")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        result = Axe().run(page)  # contrast of at least WCAG AA, names, order of headings, scopes …
        assert result.violations_count == 0, (name, result.generate_report())
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        images = page.eval_on_selector_all("figure img", "all => all.map(one => getComputedStyle(one).backgroundColor)")
        assert set(images) <= {"rgb(255, 255, 255)"}, name
    assert grounds == {{"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]}


def test_the_keyboard_skips_to_the_content_and_shows_where_it_is(site, open_page):
    page, _ = open_page(site, "index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    style = "(() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]; })()"
    assert page.evaluate(style) == ["solid", "3px"]


def test_paper_shows_everything_in_dark_ink(site, open_page):
    page, _ = open_page(site, "stored/table1.html", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("header").is_visible()
    assert page.locator("details:not([open])").count() == 0
    assert page.eval_on_selector_all(
        ".scroll", "all => all.every(one => getComputedStyle(one).overflowX === 'visible')"
    )
    assert len(page.pdf()) > 10_000


def test_without_scripts_every_table_is_still_there(site, open_page):
    page, watch = open_page(site, "index.html", java_script_enabled=False)
    assert page.locator("#claims-table tbody tr:visible").count() > 5
    assert not page.locator(".filters").is_visible() and page.locator("thead button").count() == 0
    page.goto(f"file://{site}/questions.html")
    assert page.locator("#needs-script").is_visible() and not watch.errors


def test_a_missing_file_of_data_is_named(site, open_page):
    page, _ = open_page(site, "questions.html")
    ready(page)
    block = site / "stored" / "data" / "table1" / "4-0-0.js"
    text = block.read_text()
    block.unlink()
    try:
        page.select_option("#first", "stored/table1/tbrm-n4")
        ready(page, "TBRM n=4")
        page.click("#place tbody tr button")
        page.wait_for_selector("#summary:has-text('4-0-0.js cannot be read: write the report again')")
    finally:
        block.write_text(text)
