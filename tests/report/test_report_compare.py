"""A fresh run against the published records."""

from __future__ import annotations

import re

from repro.report.compare import compare_with_published

from . import synthetic as S


def line(lines, arm):
    return next(text for text in lines if text.split()[0] == arm)


def test_equal_records_are_identical_whatever_was_measured():
    fresh = S.records()
    for record in fresh:
        record["cost"]["train_seconds"] *= 3
        record["provenance"]["cpu"] = "another"
    lines = compare_with_published(fresh, S.records())
    assert len(lines) == 6 and all(text.endswith("identical") for text in lines[1:])


def test_fewer_seeds_are_identical_on_those_they_share():
    lines = compare_with_published(S.records(seeds=[0]), S.records())
    assert line(lines, "tbrm-n4").endswith("identical on the one seed both have")
    assert "(1 seed)" in line(lines, "tbrm-n4") and "(5 seeds)" in line(lines, "tbrm-n4")


def test_one_changed_answer_is_no_longer_identical():
    fresh = S.records()
    fresh[0]["metrics"]["chain/accuracy"] += 1e-9
    lines = compare_with_published(fresh, S.records())
    assert "within noise" in line(lines, "base") and "identical" in line(lines, "ppo-n1")


def test_a_small_change_is_within_and_a_large_one_beyond_noise():
    published = S.records()
    others = [
        r | {"seed": r["seed"] - 5, "key": S.trial(r["arm"], r["seed"] - 5)["key"]}
        for r in S.records(seeds=range(5, 10))
    ]
    near = line(compare_with_published(others, published), "tbrm-n1")
    far = line(compare_with_published(S.records(shift=2.0), published), "tbrm-n1")
    assert "within noise" in near and "beyond noise" in far
    difference, lo, hi = map(
        float, re.search(r"([+-][\d.]+) points, 95 % interval \[([+-][\d.]+), ([+-][\d.]+)\]", far).groups()
    )
    assert 0 < lo < difference < hi


def test_other_settings_and_other_questions_are_named():
    fresh = [r | {"key": "f" * 64} for r in S.records(["base"])]
    assert "other settings or code" in compare_with_published(fresh, S.records())[1]
    fresh = S.records(["base"], questions=32)
    assert "other test questions" in compare_with_published(fresh, S.records())[1]


def test_nothing_to_compare_with():
    assert compare_with_published(S.records(["base"], scale="smoke"), S.records()) == [
        "No published records of table1@smoke: nothing to compare with."
    ]
    assert compare_with_published([S.failed("base", 0)], S.records())[0].startswith("No finished trial")
    assert line(compare_with_published([S.trial("brm-n4", 0)], S.records()), "brm-n4").endswith("not published")
