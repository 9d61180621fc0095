"""`check_method` as a plug-in's own tests call it, with real training; and the suite's methods pass it, too."""

from __future__ import annotations

import pytest
from plugin_files import method_file

from repro.methods import catalogue
from repro.testing import check_method

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plugged", "private_cache")]


@pytest.fixture(scope="module")
def private_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def test_a_new_method_passes(tmp_path):
    check_method(method_file(tmp_path), {"n": 3, "baseline": "batch"})


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"        return loss, {": "        loss = loss * 2 if loss > 0 else loss * 2\n        return loss, {"},
         "its memory cannot be predicted"),
        ({"        return loss, {": "        global STEPS\n        STEPS += 1\n        return loss * STEPS, {",
          "@dataclass": "STEPS = 0\n\n\n@dataclass"}, "change the gradient|two calls|end differently"),
    ],
)  # fmt: skip
def test_what_only_training_shows(tmp_path, edits, said):
    with pytest.raises(AssertionError, match=said):
        check_method(method_file(tmp_path, edits=edits))


@pytest.mark.parametrize("name", [entry.name for entry in catalogue.METHODS.values() if entry.inner is None])
def test_the_suites_own_methods_pass(name):
    check_method(name)
