"""The unbiased pass@k estimator (Chen et al., arXiv 2107.03374, Eq. 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from repro.errors import InputError


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> np.ndarray | np.float64:
    """Chance that k of n samples, drawn without replacement, hold one of the c correct: 1 - C(n-c,k) / C(n,k).

    `n` samples, `c` correct ones, `k` draws: whole numbers or arrays that broadcast; the result has their common shape.
    Computed as a product of k ratios in [0, 1], without factorials, so it is exact to rounding for any n. Unbiased for
    the chance that one of k fresh samples solves the question; pass@1 is c / n for every n.
    Raises InputError for k > n (nothing unbiased exists there), k < 1, c outside 0..n, or values that are not whole.
    """
    arrays = []
    for name, value in (("n", n), ("c", c), ("k", k)):
        array = np.asarray(value)
        if array.dtype.kind not in "iu" and not (
            array.dtype.kind == "f" and np.all(np.isfinite(array) & (array == np.floor(array)))
        ):
            raise InputError(f"pass@k: {name} must be whole numbers")
        arrays.append(array.astype(np.int64))
    try:
        n, c, k = np.broadcast_arrays(*arrays)
    except ValueError:
        raise InputError(
            f"pass@k: n, c, k have shapes {', '.join(str(a.shape) for a in arrays)} that do not fit"
        ) from None
    if n.size == 0:
        return np.zeros(n.shape)
    if np.any(k < 1):
        raise InputError(f"pass@k: k must be at least 1, not {k.min()}")
    if np.any(k > n):
        where = np.argmax(k > n)
        raise InputError(f"pass@k: k = {k.flat[where]} exceeds n = {n.flat[where]} samples; draw more or lower k")
    if np.any((c < 0) | (c > n)):
        raise InputError("pass@k: c must lie between 0 and n")
    failing = np.ones(n.shape)
    for i in range(int(k.max())):
        drawn = i < k
        ratio = np.maximum(n - c - i, 0) / np.where(drawn, n - i, 1)
        failing = np.where(drawn, failing * ratio, failing)
    return (1.0 - failing)[()]
