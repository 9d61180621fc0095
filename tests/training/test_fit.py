"""A checkpoint that cannot do a task is told so, in one line, before anything is sampled."""

import shutil

import pytest
import torch
from checkpoint_files import checkpoint, edit_config

from repro import tasks
from repro.errors import InputError
from repro.training.evaluate import encode
from repro.training.fit import check_fit, load_model, model_config
from repro.training.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


def fit(folder, task="chain", options=None, max_completion=16):
    loaded, tokenizer = tasks.load(task, options), load_tokenizer(folder)
    ids = encode(tokenizer, loaded, loaded.prompts("test", 20), 4096)
    check_fit(tokenizer, folder, loaded, ids, max_completion)
    return max(map(len, ids))


def test_what_fits_passes_up_to_the_last_token(tiny):
    longest = fit(tiny)
    assert fit(tiny, max_completion=128 - longest) == longest
    with pytest.raises(InputError, match=f"room for 128 tokens.* up to {longest} .*lower .* to {128 - longest}"):
        fit(tiny, max_completion=129 - longest)


def test_prompts_that_are_too_long_by_themselves(copy):
    with pytest.raises(InputError, match="it cannot hold them"):
        fit(edit_config(copy, max_position_embeddings=4))


def test_characters_that_the_tokenizer_lacks(tiny):
    with pytest.raises(InputError, match=r"no token for \*, which task multiply") as error:
        fit(tiny, "multiply")
    assert "\n" not in str(error.value)


def test_prompts_that_are_mostly_unknown(tiny):
    class Letters:
        name, template = "letters", tasks.load("chain").template

    tokenizer = load_tokenizer(tiny)
    ids = [tokenizer("how many are there in 12+3=")["input_ids"]]
    with pytest.raises(InputError, match="does not know 81 % of the tokens .* template micro"):
        check_fit(tokenizer, tiny, Letters(), ids, 4)
    check_fit(tokenizer, tiny, Letters(), [tokenizer("12+3= now")["input_ids"]], 4)
    with pytest.raises(InputError, match="does not know 0 %"):  # a tokenizer that drops what it does not know
        check_fit(tokenizer, tiny, Letters(), [[5], []], 4)


def test_weights_must_belong_to_the_config(copy):
    assert load_model(copy, dtype=torch.float32).config.num_hidden_layers == 2
    with pytest.raises(InputError, match="missing or of another shape"):
        load_model(edit_config(copy, num_hidden_layers=3, layer_types=["full_attention"] * 3))


def test_weights_of_another_shape(copy):
    with pytest.raises(InputError, match="copy"):
        load_model(edit_config(copy, hidden_size=32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"model_type": "t5"}, "is a t5, not a causal"), ({"model_type": "of-mine"}, "of-mine"),
     ({"model_type": None}, "cannot be used")],
)  # fmt: skip
def test_a_config_that_is_of_no_language_model(copy, changes, words):
    with pytest.raises(InputError, match=words) as error:
        model_config(edit_config(copy, **changes))
    assert "\n" not in str(error.value)
