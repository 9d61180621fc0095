"""One uninterrupted run that the others are compared with, and one cache of base models for all of them."""

import dataclasses

import pytest
from e2e_command import DRILL, left_behind, run


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory):
    """No test here may use or fill the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("REPRO_CACHE_DIR", str(folder))
        patch.delenv("REPRO_DEBUG", raising=False)
        yield folder


@dataclasses.dataclass(frozen=True)
class Whole:
    seconds: float
    left: dict


@pytest.fixture(scope="session")
def whole(tmp_path_factory, private_cache) -> Whole:
    """What an uninterrupted `repro run drill` leaves behind, and how long it took, the base model included."""
    import time

    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    run([*DRILL, "--root", "runs"], folder)
    return Whole(time.monotonic() - started, left_behind(folder / "runs"))
