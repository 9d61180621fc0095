"""Errors in one line, with nothing in them that a file could not hold."""

from repro.errors import TrialError, explain, writable


def test_lone_surrogates_become_escapes():
    assert explain(ValueError("bad \ud800")) == "ValueError: bad \\ud800"
    assert str(TrialError("bad \udfff")) == "bad \\udfff"
    assert writable("± 😀 \x00") == "± 😀 \x00"
