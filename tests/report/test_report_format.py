"""Numbers as text: fixed, escaped, machine-readable."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.report import format as f


def test_fixed_digits_and_missing():
    assert f.fixed(1.005, 1) == "1.0"
    assert f.fixed(-0.0001, 2) == "0.00"
    assert f.fixed(None) == f.fixed(math.nan) == f.fixed(math.inf) == f.MISSING
    assert f.percent_interval(0.5634, 0.54, 0.58) == "56.3 ± 2.0"
    assert f.percent_interval(0.5634, None, None) == "56.3"
    assert [f.signed(v) for v in (0.5, -0.5, 0.0, -0.001, None)] == ["+0.50", "-0.50", "0.00", "0.00", f.MISSING]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123, "1.23 ms"),
        (0.84, "840 ms"),
        (0.9996, "1.00 s"),
        (1.75, "1.75 s"),
        (75.02, "75.0 s"),
        (99.96, "1.7 min"),
        (144, "2.4 min"),
        (7200, "2.0 h"),
        (None, f.MISSING),
    ],
)
def test_seconds(value, text):
    assert f.seconds(value) == text


def test_size():
    assert [f.size(v) for v in (2**20, 2**30, None)] == ["1.0 MiB", "1.00 GiB", f.MISSING]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_markdown_cell_never_breaks_its_table(cells):
    lines = f.markdown_table([f"c{i}" for i in range(len(cells))], [cells]).removesuffix("\n").split("\n")
    assert len(lines) == 3
    unescaped = lines[2].replace("\\|", "")
    assert unescaped.count("|") == len(cells) + 1
    assert "<" not in lines[2]


@given(st.text())
def test_tex_leaves_no_special_character_bare(text):
    out = f.tex(text)
    assert out.isascii() and "\n" not in out
    bare = out
    for token in (
        r"\textbackslash{}",
        r"\textasciitilde{}",
        r"\textasciicircum{}",
        r"\textless{}",
        r"\textgreater{}",
        r"$\pm$",
        r"$\times$",
        r"$-$",
        r"$\geq$",
        r"$\leq$",
        r"\&",
        r"\%",
        r"\$",
        r"\#",
        r"\_",
        r"\{",
        r"\}",
    ):
        bare = bare.replace(token, "")
    assert not set(bare) & set("\\&%$#_{}~^")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_csv_keeps_every_bit(value):
    rows = list(csv.reader(io.StringIO(f.csv_text(["x", "y"], [[value, None]]))))
    assert float(rows[1][0]) == value and rows[1][1] == ""


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot create .*file: a "):
        f.write_text(tmp_path / "file" / "table.md", "x")


def test_writing_replaces_whole_files_and_leaves_nothing_behind(tmp_path):
    f.write_text(tmp_path / "a.md", "one")
    f.write_text(tmp_path / "a.md", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["a.md"] and (tmp_path / "a.md").read_text() == "two"


def test_a_chance_is_never_certain():
    values = (None, 0.0, 0.0099, 0.01, 0.496, 0.99, 0.9901, 1.0)
    assert [f.chance(value) for value in values] == ["–", "<0.01", "<0.01", "0.01", "0.50", "0.99", ">0.99", ">0.99"]


def test_text_that_is_no_utf8_is_written_with_escapes(tmp_path):
    assert f.write_text(tmp_path / "x.md", "bad \ud800 ±").read_bytes() == "bad \\ud800 ±".encode()
