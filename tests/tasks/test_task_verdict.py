"""The verdict turn: one token for Yes and No in every template's words, or one clear line."""

from __future__ import annotations

import pytest

from repro import tasks
from repro.errors import InputError
from repro.tasks import templates, verdict
from repro.tasks.tokenizer import build


def test_every_template_has_a_turn_that_asks_for_one_word():
    for name in templates.TEMPLATES:
        found = verdict.get(name)
        assert found.yes != found.no and found.turn
        assert len(found.sha256) == 64
    chat = verdict.get("qwen-math")
    assert "Is this solution correct? Answer Yes or No" in chat.turn and (chat.yes, chat.no) == ("Yes", "No")


def test_the_micro_turn_is_single_symbols_of_the_ladder():
    tokenizer = build(tasks.load("ladder", {}).vocabulary())
    found = verdict.tokens(verdict.get("micro"), tokenizer, [tokenizer.eos_token_id])
    assert tokenizer.decode([*found.turn, found.yes, found.no]) == "?YN"
    assert found.end == tokenizer.eos_token_id and found.width == 3


def test_a_tokenizer_without_the_words_is_one_clear_line():
    tokenizer = build(tasks.load("chain", {}).vocabulary())
    with pytest.raises(InputError, match="verification") as error:
        verdict.tokens(verdict.get("micro"), tokenizer, [1])
    assert "\n" not in str(error.value)


def test_a_word_of_several_tokens_is_refused():
    tokenizer = build([*"?YesNo"[:4], "N", "o"])
    with pytest.raises(InputError, match="one token for 'Yes'"):
        verdict.tokens(verdict.Verdict("?", "Yes", "No"), tokenizer, [1])


def test_an_unknown_template_is_one_clear_line():
    with pytest.raises(InputError, match="no verdict turn"):
        verdict.get("haiku")
