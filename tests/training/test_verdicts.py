"""Verdicts in training: where the turn stands, whose gradient it is, and lambda = 0 as the base method bit for bit."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from repro import tasks
from repro.methods.catalogue import create
from repro.methods.configs import build, to_json
from repro.tasks import verdict
from repro.tasks.verdict import VerdictTokens
from repro.training import micro
from repro.training.forward import score
from repro.training.verdicts import Judge, append_verdict, verdict_scores

from . import helpers
from .helpers import RECIPE, make_trainer, reward_by_text

LADDER = {"name": "ladder", "options": {"levels": ["sum2", "sum3"], "rl": 24, "dev": 12, "test": 16}}
TOKENS = VerdictTokens(turn=(20, 21), yes=30, no=31, end=1)


@pytest.fixture(scope="session")
def ladder_base(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("ladder") / "model"
    folder.mkdir(parents=True)
    task = tasks.load(LADDER["name"], LADDER["options"])
    micro.build(micro.Recipe.from_json({**RECIPE, "verdicts": 0.3}), task, folder, lambda event: None)
    return folder


@pytest.fixture
def ladder(monkeypatch):
    monkeypatch.setattr(helpers, "TASK", LADDER)


def method(name: str, **options):
    return create(to_json(name, build(name, options)))


def test_the_turn_follows_the_end_token_and_replaces_only_padding():
    ids = torch.tensor([[5, 6, 1, 0, 0], [5, 6, 7, 8, 9], [1, 0, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()
    rows = append_verdict(ids, mask, torch.tensor([1.0, 0.0, 0.0]), TOKENS, [1])
    texts = [row[: at + 1].tolist() for row, at in zip(rows.completion_ids, rows.at, strict=True)]
    assert texts == [[5, 6, 1, 20, 21, 30], [5, 6, 7, 8, 9, 1, 20, 21, 31], [1, 20, 21, 31]]
    assert rows.attention.sum(1).tolist() == [6, 9, 4]
    assert rows.verdict.tolist() == [30, 31, 31]
    scored = rows.scored(mask)
    assert scored.sum(1).tolist() == [4, 6, 2]
    assert all(scored[i, at] for i, at in enumerate(rows.at))


def test_appending_changes_the_completions_log_probs_by_rounding_only(ladder_base, ladder, tmp_path):
    """The model is causal: what comes after the end token cannot reach back."""
    trainer = make_trainer(ladder_base, "", tmp_path, method=method("grpo-v"))
    torch.manual_seed(1)
    prompts = torch.randint(3, 13, (6, 5))
    ids = torch.randint(3, 13, (6, 7))
    lengths = torch.tensor([7, 5, 3, 1, 6, 7])
    mask = torch.arange(7) < lengths.unsqueeze(1)
    rows = append_verdict(ids, mask, torch.ones(6), trainer.verdict, trainer.eos_token_ids)
    plain = score(trainer.model, torch.cat([prompts, ids], 1), torch.cat([torch.ones_like(prompts), mask.long()], 1), 7,
                  temperature=1.0)  # fmt: skip
    longer = torch.cat([prompts, rows.completion_ids], 1)
    seen = torch.cat([torch.ones_like(prompts), rows.attention], 1)
    both = score(trainer.model, longer, seen, 7 + trainer.verdict.width, temperature=1.0, scored=rows.scored(mask))
    gap = (plain.logps - both.logps[:, :7])[mask].abs().max()
    assert gap < 1e-5
    said = both.logps.gather(1, rows.at.unsqueeze(1)).squeeze(1)
    judge = Judge("separate", AutoModelForCausalLM.from_pretrained(ladder_base, dtype=torch.float32))
    alone = judge.model_logps(longer, seen, 5 + rows.at, rows.verdict)
    assert torch.allclose(said, alone, atol=1e-5)


def weights_after(base, folder, chosen, **changes):
    trainer = make_trainer(base, "", folder, method=chosen, **changes)
    reward_by_text(trainer)
    trainer.train()
    return trainer, {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize(
    "name,options", [("grpo", {"n": 4, "minibatches": 2}), ("loo", {"n": 4}), ("vineppo", {"n": 4})]
)
def test_lambda_0_is_the_base_method_bit_for_bit(ladder_base, ladder, tmp_path, name, options):
    plain, first = weights_after(ladder_base, tmp_path / "a", method(name, **options))
    zero, second = weights_after(ladder_base, tmp_path / "b", method(f"{name}-v", verify_lambda=0.0, **options))
    some, third = weights_after(ladder_base, tmp_path / "c", method(f"{name}-v", verify_lambda=0.5, **options))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert plain.health.rows == zero.health.rows and zero.verdict is None
    assert any(not torch.equal(first[key], third[key]) for key in first)
    assert "verdict_loss" in some.health.rows[0] and "verdict_loss" not in plain.health.rows[0]


def gradient(base, folder, chosen, micro_batch=8):
    """The policy's gradient of the first update, before clipping."""
    trainer = make_trainer(base, "", folder, method=chosen, steps=1, micro_batch=micro_batch)
    reward_by_text(trainer)
    found = {}
    clip = trainer._clip_grad_norm

    def keep(model):
        found.update({name: p.grad.clone() for name, p in trainer.model.named_parameters()})
        found.update(
            {f"judge.{n}": p.grad.clone() for n, p in trainer.judge.named_parameters()} if trainer.judge else {}
        )
        return clip(model)

    trainer._clip_grad_norm = keep
    trainer.train()
    return found


def test_the_verdicts_gradient_adds_to_the_methods_and_doubles_with_lambda(ladder_base, ladder, tmp_path):
    base, one, two = (
        gradient(ladder_base, tmp_path / str(i), method("grpo-v", n=4, verify_lambda=lam))
        for i, lam in enumerate((0.0, 0.5, 1.0))
    )
    for key in base:
        once, twice = one[key] - base[key], two[key] - base[key]
        assert torch.allclose(twice, 2 * once, atol=2e-5)
    assert max((one[key] - base[key]).abs().max() for key in base) > 1e-3


@pytest.mark.parametrize("kind", ["policy", "separate"])
def test_verdicts_are_trained_at_temperature_1_whatever_the_sampling(ladder_base, ladder, tmp_path, monkeypatch, kind):
    """They are read at temperature 1 as well: see `verdict_scores`."""
    chosen = method("grpo-v", n=4, verifier=kind)
    trainer = make_trainer(ladder_base, "", tmp_path, method=chosen, steps=1, temperature=0.5)
    reward_by_text(trainer)
    seen = []
    name = "verdict_loss"
    loss = getattr(chosen, name)
    monkeypatch.setattr(chosen, name, lambda micro: seen.append(micro) or loss(micro))
    inputs = []
    compute = trainer._compute_loss
    monkeypatch.setattr(trainer, "_compute_loss", lambda model, batch: inputs.append(batch) or compute(model, batch))
    trainer.train()
    untrained = AutoModelForCausalLM.from_pretrained(ladder_base, dtype=torch.float32).eval()
    batch = inputs[0]
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)]
    completions = [ids[mask].tolist() for ids, mask in zip(batch["completion_ids"], batch["mask"], strict=True)]
    yes, no = verdict_scores(untrained, None, trainer.verdict, prompts, completions, trainer.eos_token_ids)
    wanted = [y if reward > 0.5 else n for y, n, reward in zip(yes, no, batch["rewards"], strict=True)]
    assert torch.allclose(seen[0].verdict_logps.detach().exp(), torch.tensor(wanted), atol=1e-5)


@pytest.mark.parametrize("kind", ["policy", "head", "separate"])
def test_gradients_do_not_depend_on_the_micro_batches(ladder_base, ladder, tmp_path, kind):
    chosen = {"n": 4, "verify_lambda": 0.7, "verifier": kind, "balance": True}
    whole, parts = (
        gradient(ladder_base, tmp_path / str(rows), method("grpo-v", **chosen), micro_batch=rows) for rows in (8, 2)
    )
    assert whole.keys() == parts.keys()
    for key in whole:
        assert torch.allclose(whole[key], parts[key], atol=2e-6), key


def test_a_separate_verifier_leaves_the_policy_as_the_base_method_has_it(ladder_base, ladder, tmp_path):
    _, plain = weights_after(ladder_base, tmp_path / "a", method("grpo", n=4))
    trainer, judged = weights_after(ladder_base, tmp_path / "b", method("grpo-v", n=4, verifier="separate"))
    assert all(torch.equal(plain[key], judged[key]) for key in plain)
    before = AutoModelForCausalLM.from_pretrained(ladder_base, dtype=torch.float32).state_dict()
    moved = trainer.judge.network.state_dict()
    assert any(not torch.equal(before[key], moved[key]) for key in before)


def test_a_head_starts_at_one_half_and_learns_beside_the_policy(ladder_base, ladder, tmp_path):
    trainer = make_trainer(ladder_base, "", tmp_path, method=method("grpo-v", n=4, verifier="head"), steps=3)
    reward_by_text(trainer)
    hidden = torch.randn(4, trainer.judge.network.in_features)
    said = trainer.judge.head_logps(hidden, torch.tensor([1.0, 0.0, 1.0, 0.0]))
    assert torch.allclose(said, torch.full((4,), -0.693147), atol=1e-6)
    trainer.train()
    assert trainer.judge.network.weight.abs().max() > 0


def test_scores_are_probabilities_of_the_verdict_and_do_not_depend_on_the_rows_beside(ladder_base):
    tokenizer = AutoTokenizer.from_pretrained(ladder_base)
    model = AutoModelForCausalLM.from_pretrained(ladder_base, dtype=torch.float32).eval()
    ends = [tokenizer.eos_token_id]
    tokens = verdict.tokens(verdict.get("micro"), tokenizer, ends)
    prompts = [tokenizer(text)["input_ids"] for text in ("12+3=", "47+8-3=", "99-9=")]
    completions = [[*tokenizer(text)["input_ids"], *ends] for text in ("15;#15", "15:55;52;#52", "0:90;#91")]
    cut = [ids[:-1] for ids in completions]  # without its end token a sample gets one: the same scores
    yes, no = verdict_scores(model, None, tokens, prompts, completions, ends)
    assert all(0 < y < 1 and 0 < n < 1 and y + n <= 1 + 1e-6 for y, n in zip(yes, no, strict=True))
    for other in (
        verdict_scores(model, None, tokens, prompts, cut, ends),
        verdict_scores(model, None, tokens, prompts, completions, ends, rows=1),
    ):
        assert torch.allclose(torch.tensor(other[0]), torch.tensor(yes), atol=1e-6)
    with torch.no_grad():
        ids = torch.tensor([[*prompts[1], *completions[1], *tokens.turn]])
        whole = torch.softmax(model(ids).logits[0, -1], -1)
    assert whole[tokens.yes] == pytest.approx(yes[1], abs=1e-6) and whole[tokens.no] == pytest.approx(no[1], abs=1e-6)
    head = Judge.from_base("head", ladder_base)
    yes, no = verdict_scores(model, head, tokens, prompts, completions, ends)
    assert yes == [0.5] * 3 and no == [0.5] * 3


def test_a_judge_is_saved_and_loaded_whole(ladder_base, tmp_path):
    first = Judge.from_base("separate", ladder_base)
    with torch.no_grad():
        next(first.parameters()).add_(1.0)
    first.save(tmp_path)
    second = Judge.from_base("separate", ladder_base)
    second.load(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
