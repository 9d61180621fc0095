"""The methods that select tokens, as real trainings: their figures in the record, and their forms with verdicts."""

from __future__ import annotations

import pytest

from repro.methods.catalogue import create
from repro.tasks.verdict import VerdictTokens
from repro.training import trainer as trainer_module

from .helpers import make_trainer, reward_by_text

OPTIONS = [
    {"name": "sgrpo", "alpha": 1, "p": 0.5},
    {"name": "tspmo"},
    {"name": "tspmo", "n": 2, "replay": True},
    {"name": "grpo-entropy", "top_entropy": 0.5},
]


@pytest.fixture
def verdict_tokens(monkeypatch):
    """Verdicts of a task without words for them."""
    monkeypatch.setattr(trainer_module.verdict, "tokens", lambda *args: VerdictTokens((3, 4), 5, 6, 7))
    monkeypatch.setattr(trainer_module.verdict, "get", lambda name: None)


def rows(base, folder, options: dict) -> list[dict]:
    trainer = make_trainer(base, "", folder, method=create(options), steps=2)
    reward_by_text(trainer)
    trainer.train()
    return trainer.health.rows


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_share_of_trained_tokens_and_a_group_are_recorded(base, tmp_path, options):
    for row in rows(base, tmp_path, options):
        assert 0 < row["token_share"] < 1
        group = row["group"]
        assert len(group["tokens"]) == len(group["weights"]) == options.get("n", 4)
        assert any(weight != 0 for weights in group["weights"] for weight in weights)
        assert row["grad_norm"] > 0


@pytest.mark.parametrize("verifier", ["policy", "separate"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_form_with_verdicts_selects_the_same_tokens(base, tmp_path, verdict_tokens, options, verifier):
    """The rollouts of the first batch are those of the method itself, and so is what is trained of them."""
    plain = rows(base, tmp_path / "plain", options)
    judged = rows(base, tmp_path / "judged", {**options, "name": f"{options['name']}-v", "verifier": verifier})
    for figure in ("reward", "token_share", "group"):
        assert judged[0][figure] == plain[0][figure]
    assert all(0 <= row["verdict_accuracy"] <= 1 and row["verdict_loss"] > 0 for row in judged)
