"""A scored pool of samples in a record from outside: what is right passes, every kind of damage is named."""

import copy

import pytest
from store_samples import record_of

from repro.errors import InputError
from repro.store.record import check_record
from repro.store.records import decode_record, encode_record

QUESTIONS, SAMPLES = 3, 4


def scaling():
    rates = dict.fromkeys(("accuracy", "accuracy_normalised", "base_rate", "yes_rate", "mass"), 0.5)
    return {
        "sizes": [1, 2, 4],
        "curves": {rule: [[0, 500, 1000]] * 3 for rule in ("majority", "best", "weighted")},
        "none": {"majority": [0.25, 0.0, 0.0]},
        "verifier": {
            "right": [0, 2, 4],
            **rates,
            "accuracy_parsed": None,
            "auc": 0.7,
            "auc_normalised": 1,
            "auc_within": None,
            "calibration": [[3, 0.04, 0.0], *[[0, None, None]] * 8, [9, 0.97, 1.0]],
        },
        "budgets": {
            "tokens": [4, 8],
            "sizes": [1, 2, 4],
            "majority": [[0.1, 0.2, 0.3]] * 2,
            "weighted": [[0.1, 0.2, 0.3]] * 2,
            "early": {"thresholds": [0.0, 0.5], "accuracy": [0.1, 0.3], "mean_tokens": [4, 6.5]},
        },
    }


def record_with(entry):
    record = record_of(questions=QUESTIONS, n=SAMPLES)
    record["outcomes"]["chain"]["scaling"] = entry
    return record


def test_a_whole_entry_passes_and_survives_the_file():
    record = record_with(scaling())
    check_record(record)
    assert decode_record(encode_record(record), "x") == record


@pytest.mark.parametrize("entry", [None, {**scaling(), "budgets": None}])
def test_what_may_be_absent(entry):
    check_record(record_with(entry))


DAMAGE = [
    (("sizes",), [1, 2, 8], "beyond the 4 samples"),
    (("sizes",), [1, 4, 2], "must increase"),
    (("sizes",), [0, 1, 2], "positive"),
    (("sizes",), [], "positive"),
    (("sizes",), [1.0, 2.0, 4.0], "whole"),
    (("sizes",), None, "positive"),
    (("curves",), [], "not an object"),
    (("curves", "worst"), [[0] * 3] * 3, "majority, best, weighted"),
    (("curves", "majority"), [[0] * 3] * 2, "3 rows"),
    (("curves", "majority"), [[0] * 2] * 3, "3 numbers"),
    (("curves", "majority"), [[0, 0, 1001]] * 3, "0 to 1000"),
    (("curves", "majority"), [[0, 0, -1]] * 3, "0 to 1000"),
    (("curves", "majority"), [[0, 0, 0.5]] * 3, "whole numbers"),
    (("curves", "majority"), [[0, 0, True]] * 3, "whole numbers"),
    (("none",), None, "not an object"),
    (("none", "worst"), [0, 0, 0], "unknown rule"),
    (("none", "majority"), [0, 0], "3 numbers"),
    (("none", "majority"), [0, 0, 1.5], "0 to 1"),
    (("verifier",), "good", "not an object"),
    (("verifier", "right"), [0, 1, 5], "0 to 4"),
    (("verifier", "right"), [0, 1], "3 numbers"),
    (("verifier", "accuracy"), None, "not a share"),
    (("verifier", "mass"), float("nan"), "not a share"),
    (("verifier", "yes_rate"), 1.01, "not a share"),
    (("verifier", "auc"), -0.1, "neither"),
    (("verifier", "auc"), "0.5", "neither"),
    (("verifier", "calibration"), [[0, None, None]] * 9, "10 bins"),
    (("verifier", "calibration"), [[0, None]] * 10, "a bin is"),
    (("verifier", "calibration"), [[0, 0.5, None]] * 10, "not empty"),
    (("verifier", "calibration"), [[1, None, 0.5]] * 10, "not empty"),
    (("verifier", "calibration"), [[13, 0.5, 0.5]] * 10, "not a count"),
    (("budgets",), [], "not an object"),
    (("budgets", "tokens"), [8, 4], "increase"),
    (("budgets", "sizes"), [1, 2], "differ"),
    (("budgets", "weighted"), [[0.1, 0.2, 0.3]], "2 rows"),
    (("budgets", "majority"), [[0.1, 0.2, 1.3]] * 2, "0 to 1"),
    (("budgets", "early"), None, "not an object"),
    (("budgets", "early", "thresholds"), 0.5, "not a list"),
    (("budgets", "early", "accuracy"), [0.1], "2 numbers"),
    (("budgets", "early", "mean_tokens"), [float("inf"), 1], "must be numbers"),
    (("budgets", "early", "mean_tokens"), [-1, 1], "must be numbers"),
]


@pytest.mark.parametrize(
    ("path", "value", "words"), DAMAGE, ids=lambda v: ".".join(v) if isinstance(v, tuple) else None
)
def test_damage_is_named_in_one_line(path, value, words):
    entry = copy.deepcopy(scaling())
    parent = entry
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    with pytest.raises(InputError, match=words) as caught:
        check_record(record_with(entry))
    assert "chain" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", ["text", 5, [], True])
def test_another_thing_than_an_object(entry):
    with pytest.raises(InputError, match="not an object"):
        check_record(record_with(entry))
