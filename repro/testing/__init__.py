"""Tests that a method from outside the suite can import: `from repro.testing import check_method`.

`check_method` runs the contract (`repro.testing.contract`), which the suite's own methods pass as well, and a short
training through the real trainer (`repro.testing.smoke`). It needs no test runner: what is wrong is an AssertionError
with one line.
"""

from repro.testing.check import check_method

__all__ = ["check_method"]
