"""pass@k against brute force, its identities, and its refusals."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.evaluation import pass_at_k


@pytest.mark.parametrize("n", range(1, 8))
def test_equals_enumeration_of_all_subsets(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-15)


@given(st.data())
def test_equals_exact_binomials_for_large_n(data):
    n = data.draw(st.integers(1, 2000))
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    exact = 1.0 if c > n - k else 1 - math.comb(n - c, k) / math.comb(n, k)
    assert pass_at_k(n, c, k) == pytest.approx(exact, abs=1e-12)


@given(st.integers(1, 10_000), st.data())
def test_pass_at_1_is_the_accuracy_for_every_n(n, data):
    c = data.draw(st.integers(0, n))
    assert pass_at_k(n, c, 1) == pytest.approx(c / n, abs=1e-15)


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 10))
def test_pass_at_1_does_not_depend_on_n(numerator, extra, factor):
    n = numerator + extra
    assert pass_at_k(n * factor, numerator * factor, 1) == pytest.approx(pass_at_k(n, numerator, 1), abs=1e-12)


def test_unbiased_under_binomial_sampling():
    """The expectation over c ~ Binomial(n, p) is 1 - (1 - p)^k, exactly, for every n >= k."""
    for p, k in itertools.product((0.0, 0.1, 0.5, 0.93, 1.0), (1, 2, 5)):
        for n in range(k, 12):
            c = np.arange(n + 1)
            chance = np.array([math.comb(n, int(i)) * p**i * (1 - p) ** (n - i) for i in c])
            assert float(chance @ pass_at_k(n, c, k)) == pytest.approx(1 - (1 - p) ** k, abs=1e-12)


def test_arrays_broadcast_and_never_decrease_in_k():
    result = pass_at_k(np.array([[8], [16]]), np.array([[1], [3]]), np.array([1, 2, 4, 8]))
    assert result.shape == (2, 4)
    assert (np.diff(result, axis=1) > 0).all()
    assert isinstance(pass_at_k(4, 1, 2), float)
    assert pass_at_k([4.0, 4.0], [0, 4], 4).tolist() == [0.0, 1.0]
    assert pass_at_k(np.array([], dtype=int), np.array([], dtype=int), 1).shape == (0,)


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        (4, 2, 5, "k = 5 exceeds n = 4"),
        ([8, 4], [0, 0], 8, "exceeds n = 4"),
        (4, 2, 0, "k must be at least 1"),
        (0, 0, 1, "exceeds n = 0"),
        (4, 5, 1, "c must lie"),
        (4, -1, 1, "c must lie"),
        (4, 1.5, 1, "c must be whole"),
        (4, float("nan"), 1, "c must be whole"),
        (float("inf"), 1, 1, "n must be whole"),
        (4, "2", 1, "c must be whole"),
        ([4, 4], [1, 1, 1], 1, "do not fit"),
    ],
)
def test_bad_input_is_refused(n, c, k, message):
    with pytest.raises(InputError, match=message):
        pass_at_k(n, c, k)


def test_importing_the_estimators_loads_no_torch():
    code = "import sys, repro.evaluation; sys.exit(bool({'torch', 'pandas', 'transformers'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
