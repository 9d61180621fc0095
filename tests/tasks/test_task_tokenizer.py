"""The micro tokenizer: fixed special ids, exact round trips, unchanged by saving."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.tasks import load
from repro.tasks.tokenizer import build

SYMBOLS = load("chain").vocabulary()


BUILT = build(SYMBOLS)


@pytest.fixture
def tokenizer():
    return BUILT


def test_ids_and_size(tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert len(tokenizer) == len(SYMBOLS) + 3
    assert tokenizer("".join(SYMBOLS))["input_ids"] == list(range(3, 3 + len(SYMBOLS)))
    assert tokenizer("1?\n")["input_ids"][1:] == [2, 2]
    padded = tokenizer(["1+2=", "12+34="], padding=True)["input_ids"]
    assert padded[0][:2] == [0, 0] and len(padded[0]) == 6


@given(text=st.text(alphabet=SYMBOLS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_decode_is_exact(text):
    ids = BUILT(text)["input_ids"]
    assert len(ids) == len(text) and BUILT.decode(ids) == text
    assert BUILT.decode([*ids, 1, 0], skip_special_tokens=True) == text


def test_save_and_load(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = load("chain").prompts("dev", 1)[0].solution
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert (loaded.padding_side, loaded.pad_token_id, loaded.eos_token_id) == ("left", 0, 1)


def test_symbols_are_single_and_distinct():
    with pytest.raises(ValueError, match="single characters"):
        build(["ab"])
    with pytest.raises(ValueError, match="distinct"):
        build(["a", "a"])
