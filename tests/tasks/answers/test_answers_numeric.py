"""The numeric checker as properties: total, three-valued, exact, blind to dressing, linear, and never an evaluator."""

import time
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repro.tasks.answers import check_last_number, check_number, check_numeric, extract_number, parse_number
from repro.tasks.outcome import Outcome

PIECES = [
    "\\boxed{",
    "}",
    "{",
    "####",
    "#",
    "\n",
    "$",
    "%",
    "\\",
    "\\text{",
    "^",
    "_",
    ",",
    ".",
    "-",
    "+",
    "1",
    "23",
    "e9",
    " ",
    "x",
    "=",
    "\u00b2",
    "/",
]
hostile = st.one_of(
    st.text(), st.lists(st.sampled_from(PIECES)).map("".join), st.text().map(lambda text: f"\\boxed{{{text}}}")
)
numbers = st.decimals(min_value=-(10**12), max_value=10**12, places=3, allow_nan=False)

PLACES = ["\\boxed{%s}", "so $\\boxed{%s}$.", "#### %s", "1 + 1 = 2\n#### %s\n", "It is %s", "It is %s."]
PLACES += ["The answer is $%s$.", "**Answer:** %s", "first \\boxed{9e9}, no: \\boxed{%s}", "\\boxed{x = %s}"]
PLACES += ["\\boxed{%s}\nChecked 3 times."]
UNITS = ["", "%", "\\%", " apples", "\\text{ cm}", " dollars", " km", "\\text{ cm}^2", "^\\circ"]


@given(hostile, hostile)
@example("\\boxed{1e999999999}", "1")
@example("9" * 30_000, "9")
@example("\ud800 \\boxed{\udfff1}", "1")
def test_any_text_gives_an_outcome(completion, gold):
    assert isinstance(check_numeric(completion, gold), Outcome)
    assert isinstance(check_number(completion, gold), Outcome)


@given(numbers, st.sampled_from(PLACES), st.sampled_from(UNITS), st.booleans(), st.booleans(), st.booleans())
def test_one_number_in_any_dress_is_correct(number, place, unit, commas, currency, unicode_minus):
    digits = f"{abs(number):,f}" if commas else f"{abs(number):f}"
    sign = "" if number >= 0 else "\u2212" if unicode_minus else "-"
    dressed = sign + ("\\$" if currency and "$%s$" not in place else "") + digits + unit
    completion = place % dressed
    assert extract_number(completion) == number
    assert check_numeric(completion, str(number)) is Outcome.CORRECT


@given(numbers, numbers, st.sampled_from(PLACES), st.sampled_from(UNITS))
def test_another_number_is_wrong(gold, given_number, place, unit):
    if gold != given_number:
        assert check_numeric(place % f"{given_number:,f}{unit}", f"{gold:f}") is Outcome.WRONG


@given(
    st.integers(0, 999), st.sampled_from(["+", "*", "/", "-", "^", "=", ",", ":", "or", "\\times"]), st.integers(0, 999)
)
def test_an_expression_in_the_box_is_never_worked_out_nor_cut(first, operator, second):
    completion = f"\\boxed{{{first}{operator} {second}}}"
    for gold in {first, second, first + second, first * second, first - second}:
        assert check_numeric(completion, str(gold)) is Outcome.UNPARSED


REPEATED = [
    "^\\circ",
    "\\text{",
    "1,",
    "1 ",
    "1.1.",
    "1e",
    "a1",
    "\\boxed{",
    "####\n",
    "9",
    "-",
    "{",
    "\\",
    "\\,",
    "\\!",
    "x^",
]
LONG = [piece * 10**5 for piece in REPEATED] + [
    start + " " * 10**6 + "5" for start in ("^", "\\text", "\\boxed", "-", "x =")
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: repr(text[:8]))
def test_time_is_bounded_for_any_length(text):
    start = time.process_time()
    for completion in (text, f"\\boxed{{{text}}}", f"#### {text}"):
        check_numeric(completion, "5")
    assert time.process_time() - start < 1.0  # about 20 ms when nothing backtracks


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e-999999999", "1" * 101, "3 \\times 10^{999999999}"])
def test_a_gigantic_number_is_not_read(text):
    assert parse_number(text) is None
    assert check_numeric("\\boxed{1}", text) is Outcome.UNPARSED


def test_only_the_tail_is_scanned():
    assert extract_number("\\boxed{5}" + " word" * 10_000) is None
    assert extract_number("word " * 10_000 + "\\boxed{5}") == Decimal(5)


def test_values_are_exact():
    assert extract_number("\\boxed{0.1}") == Decimal("0.1")
    assert check_numeric("\\boxed{9007199254740993}", "9007199254740992") is Outcome.WRONG
    assert (
        check_numeric("\\boxed{12345678901234567890123456789012345}", "12345678901234567890123456789012346")
        is Outcome.WRONG
    )


@settings(max_examples=50)
@given(st.integers(-(10**60), 10**60))
def test_a_marker_of_the_task_needs_the_whole_fragment(number):
    assert check_number(f" {number}\n", str(number)) is Outcome.CORRECT
    assert check_number(f"{number} {number}", str(number)) is Outcome.UNPARSED


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("#5", "5"), ("8-3=5", "5"), ("10-5", "5"), ("it is -5.", "-5"), ("(2)-7", "7"), ("1,234 of them", "1234"),
        ("1, 2, 3", "3"), ("12,34", "34"), ("3.50 dollars", "3.5"), ("\\boxed{\\frac{1}{2}}", "2"), ("\uff15", "5"),
        ("5 million", "5"), ("about 7 or 8 (maybe 9?)", "9"), ("\u22124", "-4"), ("", None), ("none", None),
    ],
)  # fmt: skip
def test_the_last_number_is_read_whatever_stands_around_it(text, last):
    assert check_last_number(text, last or "0").value == ("u" if last is None else "c")
    assert last is None or check_last_number(text, last + "1").value == "w"


@given(hostile)
def test_lenient_reading_takes_any_text_and_sees_all_that_strict_reading_sees(text):
    assert check_last_number(text, "7") in Outcome
    if extract_number(text) is not None:
        assert check_last_number(text, "7") is not Outcome.UNPARSED
