"""Tests that need isolation fail in CI where there is none, and skip loudly elsewhere."""

import os

import pytest

from repro.tasks.sandbox import isolation


@pytest.fixture(scope="session")
def isolated():
    found = isolation()
    if not found.available:
        message = f"NOT TESTED in a sandbox: {found.missing}"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return found
