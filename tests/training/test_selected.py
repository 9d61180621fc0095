"""Token selection and entropies: what goes through the head, that it changes no gradient, and what is counted."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from trl.trainer import utils

from repro.tasks.verdict import VerdictTokens
from repro.training import microstep
from repro.training import rollout as rollout_module
from repro.training import trainer as trainer_module

from .fakes import Picked
from .helpers import make_trainer, reward_by_text


def trained(base, folder, method, monkeypatch, **train):
    """A trainer after its steps, gradients before the first update, and the micro-batches that the losses saw."""
    trainer = make_trainer(base, "", folder, method=method, **{"steps": 1, **train})
    reward_by_text(trainer)
    gradients, micros, clip, loss = [], [], trainer._clip_grad_norm, method.loss

    def spy_clip(model):
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
        return clip(model)

    trainer._clip_grad_norm = spy_clip
    monkeypatch.setattr(method, "loss", lambda micro: micros.append(micro) or loss(micro))
    trainer.train()
    return trainer, gradients[0], micros


def judged(monkeypatch):
    monkeypatch.setattr(trainer_module.verdict, "tokens", lambda *args: VerdictTokens((3, 4), 5, 6, 7))
    monkeypatch.setattr(trainer_module.verdict, "get", lambda name: None)


@pytest.mark.parametrize("options", [{}, {"beta": 0.1}, {"verdict": "policy"}, {"minibatches": 2}], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_selection_changes_neither_loss_nor_gradient(base, tmp_path, monkeypatch, options, temperature):
    if "verdict" in options:
        judged(monkeypatch)
    found = {}
    for selected in (False, True):
        method = Picked(selected=selected, **options)
        found[selected] = trained(base, tmp_path / str(selected), method, monkeypatch, temperature=temperature)
    (all_tokens, plain, _), (some, narrow, _) = found[False], found[True]
    assert some.health.rows[0]["loss"] == all_tokens.health.rows[0]["loss"]
    assert plain.keys() == narrow.keys()
    assert any(gradient.abs().max() > 0 for gradient in plain.values())
    assert all(torch.equal(plain[name], narrow[name]) for name in plain)


def test_the_head_that_compacts_gives_the_same_gradient(base, tmp_path, monkeypatch):
    """On CUDA the fused head gathers the labelled positions; here it is made to do so on a CPU."""
    expected = trained(base, tmp_path / "all", Picked(beta=0.1), monkeypatch)[1]
    rows, function = [], utils._ChunkedLogProbFunction
    spy = SimpleNamespace(apply=lambda hidden, *rest: rows.append(len(hidden)) or function.apply(hidden, *rest))
    monkeypatch.setattr(utils, "_ChunkedLogProbFunction", spy)
    monkeypatch.setattr(utils, "_use_triton", lambda device: True)
    _, found, micros = trained(base, tmp_path / "some", Picked(beta=0.1, selected=True), monkeypatch)
    assert rows[-2:] == [int(micro.scored.sum()) for micro in micros]
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max())), name


def test_only_weighted_tokens_are_scored(base, tmp_path, monkeypatch):
    labels, scored = [], microstep.policy_loss

    def spy(parts, model, rows, given):
        score = parts.score

        def seen(*args, scored, **kwargs):
            labels.append(scored)
            return score(*args, scored=scored, **kwargs)

        return scored(dataclasses.replace(parts, score=seen), model, rows, given)

    monkeypatch.setattr(microstep, "policy_loss", spy)
    _, _, micros = trained(base, tmp_path, Picked(selected=True, beta=0.1), monkeypatch)
    assert len(micros) == len(labels) == 2
    for micro, label in zip(micros, labels, strict=True):
        assert torch.equal(label, micro.scored)
        assert torch.equal(micro.scored, (micro.weights != 0) | (micro.kl_weights != 0))
        assert 0 < micro.scored.sum() < micro.mask.sum() and not (micro.scored & ~micro.mask).any()
        assert (micro.logps[~micro.scored] == 0).all() and (micro.logps[micro.scored] < 0).all()


def test_health_averages_the_entropy_of_scored_tokens_only(base, tmp_path, monkeypatch):
    trainer, _, micros = trained(base, tmp_path, Picked(selected=True), monkeypatch)
    entropies = [micro.entropy.detach() for micro in micros]
    scored = torch.cat([e[micro.scored] for e, micro in zip(entropies, micros, strict=True)])
    sampled = torch.cat([e[micro.mask] for e, micro in zip(entropies, micros, strict=True)])
    assert trainer.health.rows[0]["entropy"] == pytest.approx(float(scored.mean()), rel=1e-6)
    assert float(sampled.mean()) < float(scored.mean()) / 1.5  # what a mean over all sampled tokens would say


def test_a_batch_in_which_no_token_has_a_weight_changes_nothing(base, tmp_path, monkeypatch):
    trainer, gradients, micros = trained(base, tmp_path, Picked(selected=True, share=0.0), monkeypatch)
    assert not any(micro.scored.any() for micro in micros)
    assert all(not gradient.any() for gradient in gradients.values())
    row = trainer.health.rows[0]
    assert row["loss"] == 0 and row["entropy"] is None


def test_flops_of_the_update_count_the_scored_tokens(base, tmp_path, monkeypatch):
    """The trunk sees every token, the head the selected ones."""
    trainers = {s: trained(base, tmp_path / str(s), Picked(selected=s), monkeypatch) for s in (False, True)}
    flops = {s: trainer.timer.to_json()["update"]["flops"] for s, (trainer, _, _) in trainers.items()}
    trainer, _, micros = trainers[True]
    spared = sum(int((micro.mask & ~micro.scored).sum()) for micro in micros)
    assert flops[False] - flops[True] == pytest.approx(3 * spared * trainer.forward_flops.head, rel=1e-9)


def test_entropies_are_those_of_the_sampling_policy(base, tmp_path, monkeypatch):
    """The update's own figures at learning rate 0, and of the distribution that is sampled from."""
    method = Picked(share=1.0, entropies=True)
    trainer, _, micros = trained(base, tmp_path, method, monkeypatch, temperature=0.7)
    (batch,) = method.batches
    updated = torch.cat([micro.entropy for micro in micros])
    assert torch.allclose(batch.entropies[batch.mask], updated[batch.mask], atol=1e-5)
    assert batch.entropies[batch.mask].min() > 0 and not batch.entropies[~batch.mask].any()
    assert batch.old_logps is None and all(micro.old_logps is None for micro in micros)
    assert not batch.entropies.requires_grad
    assert trainer.health.rows[0]["entropy"] == pytest.approx(float(batch.entropies[batch.mask].mean()), rel=1e-4)


@pytest.mark.parametrize("minibatches", [1, 2])
def test_entropies_share_the_pass_of_the_old_log_probs(base, tmp_path, monkeypatch, minibatches):
    calls, score = [], rollout_module.score
    monkeypatch.setattr(rollout_module, "score", lambda *a, **k: calls.append(k["entropy"]) or score(*a, **k))
    method = Picked(entropies=True, old=minibatches > 1, minibatches=minibatches)
    trainer, _, micros = trained(base, tmp_path, method, monkeypatch)
    assert calls == [True, True]  # 8 rows, 4 at a time
    phase = trainer.timer.to_json()["old"]
    assert phase["calls"] == 1 and phase["flops"] > 0 and phase["tokens"] == method.batches[0].mask.sum()
    assert all((micro.old_logps is not None) == (minibatches > 1) for micro in micros)
