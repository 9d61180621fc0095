import pytest
import torch

from tests.training.helpers import make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    return make_base(tmp_path_factory.mktemp("base") / "model")
