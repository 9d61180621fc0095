import pytest
from store_samples import config_of, record_of


@pytest.fixture
def make_config():
    return config_of


@pytest.fixture
def make_record():
    return record_of
