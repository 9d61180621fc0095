"""The contract finds every fault that it is there for, and says it in one line that names the method."""

from __future__ import annotations

import itertools
import random
import signal
import sys
from dataclasses import dataclass, replace
from typing import get_type_hints

import numpy as np
import pytest
import torch
from plugin_files import method_file

from repro import plugins
from repro.errors import TrialError
from repro.methods import catalogue, configs
from repro.methods.base import Needs
from repro.methods.guard import FIGURE, TRAINERS, Guarded
from repro.store import foreign
from repro.store.record import HealthPoint
from repro.testing import check_method, contract
from repro.testing.toy import make_setup, micro_batch
from repro.training.health import COLUMNS

pytestmark = pytest.mark.usefixtures("plugged")


@pytest.fixture
def good(tmp_path):
    """The method that `repro new method` writes, and its class."""
    return catalogue.load(plugins.add("method", str(method_file(tmp_path))))


def faulty(good, **parts):
    """`good` with other functions; each is given the right answer first: f(self, answer, input)."""

    def changed(name, function):
        right = getattr(good, name)
        return lambda self, given: function(self, right(self, given), given)

    return type("Faulty", (good,), {name: changed(name, function) for name, function in parts.items()})


def std_without_epsilon(self, credit, batch):
    groups = batch.rewards.view(-1, batch.group_size)
    return replace(credit, advantages=((groups - groups.mean(1, keepdim=True)) / groups.std(1, keepdim=True)).flatten())


def in_place(self, credit, batch):
    batch.rewards.sub_(1)
    return credit


def through_numpy(self, credit, batch):
    batch.mask.numpy()[:, 0] = False
    return credit


def loss_behind_the_back(self, answer, micro):
    micro.rewards.data.sub_(1)
    return answer


def ids_behind_the_back(self, credit, batch):
    batch.completion_ids.data.add_(1).remainder_(2)
    return credit


def behind_the_back(self, credit, batch):
    batch.rewards.data.sub_(1)
    return credit


def rebound(self, credit, batch):
    batch.rewards = batch.rewards - 1
    return credit


def loss_in_place(self, answer, micro):
    micro.weights.mul_(2)
    return answer


def divided_again(self, answer, micro):
    return answer[0] / micro.mask.sum(), answer[1]


def mean_metric(self, answer, micro):
    total, count = answer[1]["logp"]
    return answer[0], {"logp": (total / count, torch.ones(()))}


def live_metric(self, answer, micro):
    return answer[0], {"loss_again": (answer[0], torch.ones(()))}


def unmasked(self, answer, micro):
    return -(micro.weights * micro.advantages * micro.logps).sum(), {}


def of_width(self, credit, batch):
    return replace(credit, weights=credit.weights / batch.mask.shape[1])


def drawn(self, credit, batch):
    return replace(credit, advantages=credit.advantages + torch.rand_like(credit.advantages))


def fresh_noise(self, credit, batch):
    generator = torch.Generator()
    generator.seed()
    return replace(credit, advantages=credit.advantages + torch.rand(credit.advantages.shape, generator=generator))


def seeds(call):
    """A function of the method that also calls `call`, and answers as it should."""

    def function(self, answer, given):
        call()
        return answer

    return function


def not_asked_for(self, answer, micro):
    return answer[0] + micro.old_logps.sum(), answer[1]


FAULTS = [
    ({"credit": std_without_epsilon}, "credit: there is NaN in advantages"),
    ({"credit": lambda self, c, b: replace(c, advantages=c.advantages / 0)}, "credit: there is .* in advantages"),
    ({"credit": lambda self, c, b: replace(c, advantages=c.advantages[:2])}, r"advantages must have shape \(8,\) or"),
    ({"credit": lambda self, c, b: replace(c, weights=c.weights[:, 0])}, r"weights must have shape \(8, 7\), not"),
    ({"credit": lambda self, c, b: replace(c, weights=b.mask)}, "weights must be floating point, not bool"),
    ({"credit": lambda self, c, b: replace(c, weights=c.weights + 1)}, "weights must be 0 outside the mask"),
    ({"credit": lambda self, c, b: replace(c, kl_weights=c.weights + 1)}, "kl_weights must be 0 outside the mask"),
    ({"credit": lambda self, c, b: replace(c, signal=c.advantages.bool()[:1])}, r"signal must have shape \(8,\)"),
    ({"credit": lambda self, c, b: replace(c, metrics={"step": 1.0})}, "a metric called 'step'"),
    ({"credit": lambda self, c, b: replace(c, metrics={"x": float("nan")})}, "metric 'x' must be a finite number"),
    ({"credit": lambda self, c, b: c.advantages}, "credit: must return Credit, not Tensor"),
    ({"credit": in_place}, "credit: changed rewards, which it was given"),
    ({"credit": rebound}, "credit: changed rewards, which it was given"),
    ({"credit": behind_the_back}, "credit: changed rewards, which it was given"),
    ({"credit": through_numpy}, "credit: changed mask, which it was given"),
    ({"loss": loss_behind_the_back}, "loss: changed rewards, which it was given"),
    ({"credit": ids_behind_the_back}, "credit changed completion_ids"),
    ({"credit": seeds(sys.exit)}, "credit: raised SystemExit"),
    ({"loss": seeds(lambda: sys.exit(0))}, "loss: raised SystemExit: 0"),
    ({"credit": seeds(lambda: torch.manual_seed(0))}, "credit: draws from the global generator of torch"),
    ({"loss": seeds(lambda: np.random.seed(0))}, "loss: draws from the global generator of numpy"),
    ({"loss": seeds(random.random)}, "loss: draws from the global generator of random"),
    ({"credit": of_width}, "three more columns of padding change the gradient"),
    ({"credit": drawn}, "credit: draws from the global generator of torch, or seeds it"),
    ({"credit": fresh_noise}, "two calls on the same inputs differ .draw from batch.generator alone. in advantages"),
    ({"loss": loss_in_place}, "loss: changed weights, which it was given"),
    ({"loss": divided_again}, "micro-batches of 1 rows instead of one of 8 change the gradient"),
    ({"loss": mean_metric}, "change metric logp from .*: give .sum, count."),
    ({"loss": live_metric}, "metric 'loss_again' keeps the graph alive"),
    ({"loss": lambda self, a, m: (a[0], {"loss": (a[0].detach(), a[0].detach())})}, "a metric called 'loss'"),
    ({"loss": lambda self, a, m: (a[0], {"x": 1.0})}, "metric 'x' must be two tensors of one number"),
    ({"loss": unmasked}, "loss: is nan although all it was given is finite"),
    ({"loss": lambda self, a, m: a[0]}, r"loss: must return \(loss, metrics\)"),
    ({"loss": lambda self, a, m: (m.logps, {})}, r"the loss must have shape \(\), not \(8, 7\)"),
    ({"loss": lambda self, a, m: (a[0].detach(), {})}, "does not depend on what is trained"),
    ({"loss": lambda self, a, m: (a[0] * 0, {})}, "its gradient is 0 whatever the rewards"),
    ({"loss": lambda self, a, m: (a[0].double(), {})}, "from float32 inputs its loss is torch.float64"),
    ({"loss": not_asked_for}, r"raised AttributeError: .*; a tensor that needs\(\) does not ask for is None"),
]  # fmt: skip


NAMES = [
    "group",
    "signal_by_level",
    "sampler_mismatch",
    "replayed_reward",
    "My <b>Metric",
    "x" * 41,
    "two\nlines",
    "",
    3,
]
for _name in NAMES:
    FAULTS += [
        ({"credit": lambda self, c, b, name=_name: replace(c, metrics={name: 1.0})}, "credit: has a metric called"),
        ({"loss": lambda self, a, m, name=_name: (a[0], {name: a[1]["logp"]})}, "loss: has a metric called"),
    ]


@pytest.mark.parametrize(("parts", "said"), FAULTS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_fault_is_found(good, parts, said):
    with pytest.raises(AssertionError, match=said) as caught:
        contract.check(faulty(good, **parts)(good.Config()))
    text = str(caught.value)
    assert text.startswith("method mine: ") and "\n" not in text


def test_metrics_are_named_as_records_allow():
    """What the guard lets through is not structured, nor filled by the trainer, and may go to a leaderboard."""
    fields = get_type_hints(HealthPoint, include_extras=True)
    structured = {name for name, kind in fields.items() if "dict" in str(kind) or "Group" in str(kind)}
    own = {"entropy", "kl", "clip_fraction"}  # the methods' own
    assert structured | (set(COLUMNS) - own) <= set(TRAINERS)
    assert FIGURE.pattern == foreign._FIGURE.pattern


def test_what_needs_names_must_come_back(good):
    for needs, said in ((Needs(critic=True), "returns are missing"), (Needs(verdict="policy"), "verdict_weights are")):
        wanting = type("Wanting", (good,), {"needs": lambda self, needs=needs: needs})
        with pytest.raises(AssertionError, match=said):
            contract.answers_are_well_formed(wanting(good.Config()))


@pytest.mark.parametrize("seed", [torch.manual_seed, np.random.seed, random.seed])
def test_setting_the_seed_that_is_set_already_is_found(good, seed):
    with torch.random.fork_rng(devices=[]):
        seed(0)
        state = random.getstate()
        with pytest.raises(AssertionError, match="draws from the global generator"):
            contract.answers_are_well_formed(faulty(good, credit=seeds(lambda: seed(0)))(good.Config()))
        assert random.getstate() == state, "whoever calls the contract keeps his own draws"


def test_needs_must_not_change(good):
    answers = itertools.cycle([Needs(), Needs(old=True)])
    fickle = type("Fickle", (good,), {"needs": lambda self: next(answers)})
    with pytest.raises(AssertionError, match="method mine: needs: answers differently when it is asked again"):
        contract.check(fickle(good.Config()))


def test_a_process_that_is_told_to_end_is_no_fault_of_the_method(good):
    ended = faulty(good, credit=seeds(lambda: sys.exit(128 + signal.SIGTERM)))
    with pytest.raises(SystemExit):
        make_setup(Guarded(ended(good.Config())))


def test_a_config_that_json_does_not_give_back(good):
    @dataclass(frozen=True, eq=False)
    class Same(good.Config):
        __eq__ = object.__eq__

    configs.CONFIGS["mine"] = Same
    with pytest.raises(AssertionError, match="comes back from JSON"):
        contract.config_survives_json(good(Same()))


def test_a_method_without_fault_passes_with_every_config(good):
    check_method(good, {"baseline": "batch", "n": 2}, {"n": 3}, smoke=False)
    with pytest.raises(AssertionError, match="with {'n': 3}"):
        good.needs = lambda self: Needs(critic=self.config.n == 3)
        check_method(good, {"n": 2}, {"n": 3}, smoke=False)


def test_the_guard_says_where_in_the_file_a_method_raised(tmp_path):
    path = method_file(tmp_path, edits={"        baseline = ": "        baseline = batch.rewards[9:].item() + "})
    method = catalogue.create(configs.to_json(plugins.add("method", str(path)), configs.build("mine")))
    with pytest.raises(TrialError, match=r"method mine: credit: raised RuntimeError: .*\(mine.py, line \d+\)"):
        make_setup(Guarded(method))


def test_a_diverged_model_is_not_the_methods_fault(good):
    """NaN log-probabilities make a NaN loss: the trainer says what to do about it."""
    setup = make_setup(Guarded(good(good.Config())))
    micro = micro_batch(setup, torch.arange(8))
    micro.logps = micro.logps * torch.nan
    loss, _ = setup.method.loss(micro)
    assert torch.isnan(loss)
