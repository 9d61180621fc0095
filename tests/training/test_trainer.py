"""The trainer: what it loads, what one generation batch feeds, how critic and policy are stepped, what it logs."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from repro.cost.flops import counted
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.methods.base import Needs
from repro.methods.catalogue import create
from repro.tasks.verdict import VerdictTokens
from repro.training import arguments
from repro.training import trainer as trainer_module
from repro.training.critic import Critic
from repro.training.forward import causal_lm
from repro.training.health import COLUMNS, Health

from .helpers import METHODS, TRAIN, make_trainer, reward_by_text

# method -> (reference model, critic)
LOADED = {
    "grpo": (True, False),
    "grpo-minibatches": (False, False),  # beta 0
    "rloo": (False, False),  # beta 0
    "ppo": (True, True),
    "ppo-without-kl": (False, True),
    "tbrm": (True, False),
    "brm": (True, False),
    "astar-po": (True, False),
    "rebel-with-kl": (True, False),
    "rebel": (False, False),
}


@pytest.mark.parametrize("name", LOADED)
def test_only_what_the_method_needs_is_loaded(base, tmp_path, monkeypatch, name):
    monkeypatch.setitem(METHODS, "ppo-without-kl", {"n": 1, "kl_coefficient": 0.0})
    monkeypatch.setitem(METHODS, "rebel-with-kl", {"n": 2, "kl_coefficient": 0.05})
    loaded = []
    from_base = Critic.from_base
    monkeypatch.setattr(Critic, "from_base", lambda folder: loaded.append(folder) or from_base(folder))
    trainer = make_trainer(base, name, tmp_path)
    reference, critic = LOADED[name]
    assert (trainer.ref_model is not None) == reference
    assert (trainer.critic is not None) == critic == bool(loaded)


def test_weights_are_fp32_and_the_reference_is_frozen_apart(base, tmp_path):
    trainer = make_trainer(base, "tbrm", tmp_path, steps=2)
    reward_by_text(trainer)
    before = [p.clone() for p in trainer.ref_model.parameters()]
    trainer.train()
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.ref_model.parameters(), strict=True))
    moved = zip(trainer.model.parameters(), trainer.ref_model.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved)


@pytest.mark.parametrize("epochs,minibatches", [(1, 2), (2, 1), (2, 2)])
def test_one_batch_feeds_epochs_times_minibatches_updates(base, tmp_path, monkeypatch, epochs, minibatches):
    """Generated once; every pass hands out every row once, in the same order; one update per minibatch."""
    monkeypatch.setitem(METHODS, "ppo-passes", {"n": 1, "epochs": epochs, "minibatches": minibatches})
    trainer = make_trainer(base, "ppo-passes", tmp_path, steps=2, micro_batch=2)
    reward_by_text(trainer)
    batches, rows, norms = [], [], []
    roll_out, loss, clip = trainer_module.roll_out, trainer._compute_loss, trainer._clip_grad_norm

    def spy_roll_out(*args):
        batches.append(roll_out(*args))
        return batches[-1]

    def spy_loss(model, inputs):
        rows.append(inputs["old_logps"])
        return loss(model, inputs)

    def spy_clip(model):
        norms.append(len(rows))
        return clip(model)

    monkeypatch.setattr(trainer_module, "roll_out", spy_roll_out)
    trainer._compute_loss, trainer._clip_grad_norm = spy_loss, spy_clip
    trainer.train()
    assert len(batches) == 2
    assert trainer.state.global_step == len(norms) == 2 * epochs * minibatches
    per_update = 8 // 2 // minibatches
    assert norms == [per_update * (i + 1) for i in range(len(norms))]
    expected = [micro["old_logps"] for micros, _ in batches for _ in range(epochs) for micro in micros]
    assert len(rows) == len(expected)
    assert all(a is b for a, b in zip(rows, expected, strict=True))


def test_the_critic_is_clipped_apart_and_has_its_own_learning_rate(base, tmp_path):
    trainer = make_trainer(base, "ppo", tmp_path, steps=1, max_grad_norm=1e-3, critic_learning_rate=0.02)
    reward_by_text(trainer)
    policy, critic, clip, finish = [], [], trainer._clip_grad_norm, trainer.finish_companion_gradients

    def norm(module):
        return float(torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm())

    def spy_policy(model):
        before = norm(trainer.model)
        returned = clip(model)
        policy.append((before, norm(trainer.model), float(returned)))
        return returned

    def spy_critic():
        before = norm(trainer.critic)
        finish()
        critic.append((before, norm(trainer.critic)))

    trainer._clip_grad_norm, trainer.finish_companion_gradients = spy_policy, spy_critic
    trainer.train()
    assert len(policy) == len(critic) == 2  # one per minibatch
    for before, after, returned in policy:
        assert before > 1e-3 and after == pytest.approx(1e-3, rel=1e-2)
        assert returned == pytest.approx(before, rel=1e-4)  # the figure is the policy's, before clipping
    for before, after in critic:
        assert before > 1e-3 and after == pytest.approx(1e-3, rel=1e-2)
    groups = trainer.optimizer.param_groups
    own = {id(p) for p in trainer.critic.parameters()}
    assert [{id(p) for p in group["params"]} <= own for group in groups] == [False, False, True]
    assert {id(p) for p in groups[2]["params"]} == own
    assert groups[0]["lr"] == TRAIN.learning_rate and groups[2]["lr"] == 0.02


def test_both_networks_of_ppo_move(base, tmp_path):
    trainer = make_trainer(base, "ppo", tmp_path, steps=1)
    reward_by_text(trainer)
    before = [[p.detach().clone() for p in net.parameters()] for net in (trainer.model, trainer.critic)]
    trainer.train()
    for net, old in zip((trainer.model, trainer.critic), before, strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(old, net.parameters(), strict=True))
        assert all(p.grad is None or not p.grad.any() for p in net.parameters())  # nothing leaks into the next update


def test_ppo_of_table1_clips(base, tmp_path):
    """With one update per batch, or old log-probs taken after it, the clip fraction would be 0 for ever."""
    config = resolve(registry.get("table1"), "micro", "ppo-n1", 0)
    method = create(config.method)
    assert method.needs().epochs * method.needs().minibatches >= 2
    settings = dataclasses.replace(config.train, steps=3, learning_rate=3e-3, trackers=())
    trainer = make_trainer(base, "ppo", tmp_path, method=method, settings=settings)
    reward_by_text(trainer)
    trainer.train()
    fractions = [row["clip_fraction"] for row in trainer.health.rows]
    assert len(fractions) == 3 and all(0 <= value <= 1 for value in fractions)
    assert max(fractions) > 0, "PPO never clips: its ratio is always 1"


def test_without_a_second_update_there_is_nothing_to_clip(base, tmp_path):
    """The figure can be 0: at learning rate 0 the ratio stays 1 (to rounding) and the test above would fail."""
    trainer = make_trainer(base, "ppo", tmp_path, learning_rate=0.0, steps=2)
    reward_by_text(trainer)
    trainer.train()
    assert [row["clip_fraction"] for row in trainer.health.rows] == [0, 0]


@pytest.mark.parametrize("name", METHODS)
def test_health_rows_are_complete(base, tmp_path, name):
    trainer = make_trainer(base, name, tmp_path, steps=2)
    reward_by_text(trainer)
    trainer.train()
    rows = trainer.health.rows
    assert [row["step"] for row in rows] == [1, 2]
    absent = set() if METHODS[name]["n"] > 1 else {"zero_variance_groups"}
    if trainer.ref_model is None:
        absent.add("kl")
    if name.split("-")[0] in ("tbrm", "brm", "astar", "rebel"):
        absent.add("clip_fraction")
    for row in rows:
        assert set(COLUMNS) <= set(row)
        assert {column for column in COLUMNS if row[column] is None} == absent
        figures = {column: value for column, value in row.items() if column not in ("signal_by_level", "group")}
        assert all(isinstance(value, int | float) for value in figures.values() if value is not None)
        assert all(0 <= row[share] <= 1 for share in ("reward", "truncated", "unparsed"))
        assert 0 < row["entropy"] < 3 and 1 <= row["length"] <= TRAIN.max_completion and row["grad_norm"] > 0
    if "kl" not in absent:
        assert abs(rows[1]["kl"]) < 1


def test_health_is_averaged_over_micro_batches_and_updates():
    """Metrics are merged as sums over counts, the loss is a sum per update, and both are then means over updates."""
    health = Health()
    health.start(1, {"reward": 0.5})
    mask, entropy = torch.ones(2, 3, dtype=torch.bool), torch.full((2, 3), 2.0)
    micro = type("Micro", (), {"mask": mask, "scored": None, "entropy": entropy})
    for value, count, loss in [(1.0, 1, 3.0), (5.0, 3, 4.0), (0.0, 2, 1.0)]:
        health.add({"kl": (torch.tensor(value), torch.tensor(count))}, micro, torch.tensor(loss))
    for norm in (2.0, 4.0):
        health.norm(norm)
        health.updates += 1
    row = health.finish()
    assert (row["kl"], row["entropy"], row["loss"], row["grad_norm"]) == (1.0, 2.0, 4.0, 3.0)
    assert row["clip_fraction"] is None and row["reward"] == 0.5


def test_truncated_and_unparsed_shares(base, tmp_path):
    """With room for one token nothing can end after an answer."""
    trainer = make_trainer(base, "grpo", tmp_path, steps=1, max_completion=1)
    trainer.train()
    row = trainer.health.rows[0]
    assert row["unparsed"] == 1 and row["length"] == 1 and row["reward"] == 0 and row["zero_variance_groups"] == 1
    assert row["truncated"] > 0.5


PHASES_OF = {
    "grpo-minibatches": {"old"}, "tbrm": {"ref"}, "ppo": {"old", "ref", "value"}, "astar-po": {"ref"}, "rebel": {"old"},
}  # fmt: skip


def test_phases_are_those_of_the_method(base, tmp_path):
    for name, extra in PHASES_OF.items():
        trainer = make_trainer(base, name, tmp_path / name, steps=1)
        trainer.train()
        phases = trainer.timer.to_json()
        assert set(phases) == {"generate", "reward", "credit", "update", "optimizer"} | extra
        tokens = phases["generate"]["tokens"]
        assert tokens > 0 and all(phases[phase]["tokens"] == tokens for phase in extra | {"update", "credit"})


@pytest.mark.parametrize("name", [*PHASES_OF, "grpo-v", "grpo-v-separate"])
def test_flops_are_those_of_the_real_tokens(base, tmp_path, monkeypatch, name):
    """Against the counter run on the trained model itself, one row at a time, so without any padding."""
    monkeypatch.setitem(METHODS, "grpo-v", {"n": 4})
    monkeypatch.setitem(METHODS, "grpo-v-separate", {"n": 4, "verifier": "separate"})
    monkeypatch.setattr(trainer_module.verdict, "tokens", lambda *args: VerdictTokens((3, 4), 5, 6, 7))
    monkeypatch.setattr(trainer_module.verdict, "get", lambda name: None)
    trainer = make_trainer(base, name, tmp_path, steps=1)
    batches = []
    roll_out = trainer_module.roll_out
    monkeypatch.setattr(trainer_module, "roll_out", lambda *a: batches.append(roll_out(*a)) or batches[-1])
    trainer.train()
    phases = trainer.timer.to_json()
    plain = causal_lm(trainer.model)
    ends = set(trainer.eos_token_ids)
    once = longer = body = 0
    for inputs in batches[0][0]:
        for row in range(len(inputs["mask"])):
            scored = int(inputs["mask"][row].sum())
            length = int(inputs["prompt_mask"][row].sum()) + scored
            once += pass_flops(plain, length, scored)
            ended = int(inputs["completion_ids"][row, scored - 1]) in ends
            judged = length + 3 + (not ended)  # a row without an end gets one before the turn
            longer += pass_flops(plain, judged, scored + 1) if name == "grpo-v" else pass_flops(plain, length, scored)
            body += pass_flops(plain, length, 0)
            if name == "grpo-v-separate":
                longer += pass_flops(plain, judged, 1)
    epochs = trainer.needs.epochs
    update = longer + (body if trainer.critic is not None else 0)
    assert phases["update"]["flops"] == pytest.approx(3 * epochs * update, rel=1e-6)
    for phase in PHASES_OF.get(name, set()) - {"value"}:
        assert phases[phase]["flops"] == pytest.approx(once, rel=1e-6)
    if "value" in phases:
        assert phases["value"]["flops"] == pytest.approx(body, rel=1e-6)
    # Sampled with a cache: all tokens but the last pass the layers once, and attention sees only what lies before.
    assert 0.5 * once < phases["generate"]["flops"] < once
    assert phases["reward"]["flops"] == phases["optimizer"]["flops"] == 0


def pass_flops(model, length: int, scored: int) -> int:
    ids = torch.ones((1, length), dtype=torch.long)
    with torch.no_grad():
        return counted(lambda: model.lm_head(model.model(input_ids=ids, use_cache=False)[0][:, length - scored :]))


def test_a_method_with_an_offline_stage_does_not_start_without_its_values(base, tmp_path):
    for values in (None, torch.zeros(3), torch.full((24,), float("nan"))):
        with pytest.raises(InputError, match="method astar-po needs V. of each of the 24 training prompts") as error:
            make_trainer(base, "astar-po", tmp_path, given={"prompt_values": values})
        assert "\n" not in str(error.value)


def test_every_row_meets_the_value_of_its_own_prompt_and_only_kept_prompts_are_used(base, tmp_path, monkeypatch):
    kept = [1, 5, 6, 9, 10, 20, 21, 22, 23]
    trainer = make_trainer(base, "astar-po", tmp_path, steps=4, given={"kept": kept})
    batches = []
    roll_out = trainer_module.roll_out

    def seen(trainer, rows, step):
        batches.append((rows, roll_out(trainer, rows, step)))
        return batches[-1][1]

    monkeypatch.setattr(trainer_module, "roll_out", seen)
    trainer.train()
    used = [row for rows, _ in batches for row in rows]
    assert len(used) == 32 and set(used) == set(kept) and sorted(used[:9]) == kept
    values = torch.linspace(0, 1, 24)
    for rows, (micros, _) in batches:
        assert torch.equal(torch.cat([micro["prompt_values"] for micro in micros]), values[rows])
        given = torch.cat([micro["rewards"] for micro in micros]) - values[rows]
        assert torch.allclose(torch.cat([micro["advantages"] for micro in micros])[:, 0], given)


def test_the_tensorboard_tracker_is_passed_through(base, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)  # a trial in this process has set it to its own folder
    trainer = make_trainer(base, "grpo", tmp_path, steps=2, trackers=("tensorboard",))
    reward_by_text(trainer)
    trainer.train()
    files = list(tmp_path.rglob("events.out.tfevents*"))
    assert files and sum(path.stat().st_size for path in files) > 500


def test_without_trackers_nothing_is_written(base, tmp_path):
    make_trainer(base, "grpo", tmp_path, steps=1).train()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_telemetry_is_never_sent(base, tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *a, **k: pytest.fail("telemetry was sent"))
    make_trainer(base, "grpo", tmp_path)


@pytest.mark.parametrize(
    "changes,needs,n,message",
    [
        ({"completions_per_step": 6, "micro_batch": 2}, {}, 4, "group size 4"),
        ({"completions_per_step": 8, "micro_batch": 8}, {"minibatches": 2}, 1, "micro_batch 8"),
        ({"completions_per_step": 10, "micro_batch": 2}, {"minibatches": 4}, 1, "minibatches 4"),
        ({"completions_per_step": 8, "micro_batch": 1}, {"unit": 2}, 2, "unit of 2"),
        ({"completions_per_step": 9, "micro_batch": 3, "processes": 2}, {}, 1, "processes 2"),
        ({"completions_per_step": 1, "micro_batch": 1}, {}, 1, "at least 2"),
    ],
)
def test_sizes_that_do_not_fit_together(changes, needs, n, message):
    with pytest.raises(InputError, match=message):
        arguments.split_plan(dataclasses.replace(TRAIN, **changes), Needs(**needs), n)


def test_split_plan_of_table1_fits_every_arm():
    experiment = registry.get("table1")
    for scale in ("smoke", "micro", "small", "paper"):
        for arm in experiment.arms:
            if arm.method != "none":
                config = resolve(experiment, scale, arm.id, 0)
                method = create(config.method)
                micro, per_update, per_batch = arguments.split_plan(config.train, method.needs(), method.config.n)
                assert micro * per_batch * config.train.processes == config.train.completions_per_step
                assert per_update * method.needs().minibatches == per_batch


def test_the_methods_generator_is_a_function_of_seed_and_step(base, tmp_path):
    trainer = make_trainer(base, "grpo", tmp_path)
    drawn = [float(torch.rand((), generator=trainer.method_generator(step))) for step in (0, 1, 0)]
    trainer.seed += 1
    other = float(torch.rand((), generator=trainer.method_generator(0)))
    assert drawn[0] == drawn[2] and len({*drawn, other}) == 3


def test_without_clipping_the_loss_is_still_a_mean_over_updates(base, tmp_path):
    """transformers never calls its clipping hook when the limit is 0."""
    rows = {}
    for limit in (0.0, 1e9):
        trainer = make_trainer(base, "ppo", tmp_path / str(limit), steps=1, max_grad_norm=limit)
        reward_by_text(trainer)
        trainer.train()
        rows[limit] = trainer.health.rows[0]
    assert rows[0.0]["grad_norm"] is None and rows[1e9]["grad_norm"] > 0
    assert rows[0.0]["loss"] == pytest.approx(rows[1e9]["loss"], rel=1e-5)
