"""The folder with real public data: REPRO_DATA_DIR, else `shared/data` beside the checkout; tests skip, loudly,
without."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("REPRO_DATA_DIR") or beside)
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED on real data: no folder {folder}; set REPRO_DATA_DIR to one with svamp/, gsm8k/, ...")
    return folder
