"""Each method, as pure functions, learns a small task: length-3 sequences over 4 tokens, one of which is rewarded.

Token 0 ends a row early, so masks are ragged. The policy and the critic are tables over prefixes; the reference is the
uniform policy the training starts from. The chance of the target is computed exactly, from 1/64 at the start.
"""

from __future__ import annotations

import pytest
import torch

from repro.methods import catalogue
from repro.methods.base import GenerationBatch

from .invariance import Setup, micro_batch, total_loss

VOCABULARY, LENGTH, ROWS = 4, 3, 64
TARGET = torch.tensor([2, 1, 3])


class Table(torch.nn.Module):
    """Logits and values of every prefix; a prefix is a number in base 5, digits token + 1."""

    def __init__(self):
        super().__init__()
        states = (VOCABULARY + 1) ** (LENGTH - 1)
        self.logits = torch.nn.Parameter(torch.zeros(states, VOCABULARY, dtype=torch.float64))
        self.critic = torch.nn.Parameter(torch.zeros(states, dtype=torch.float64))

    def forward(self, ids):
        states = torch.zeros_like(ids)
        for t in range(1, ids.shape[1]):
            states[:, t] = states[:, t - 1] * (VOCABULARY + 1) + ids[:, t - 1] + 1
        logits = self.logits[states]
        log_probs = logits.log_softmax(-1)
        return {
            "logits": logits,
            "logps": log_probs.gather(-1, ids[..., None])[..., 0],
            "state_values": logits.logsumexp(-1),
            "entropy": -(log_probs.exp() * log_probs).sum(-1),
            "values": self.critic[states],
        }

    @torch.no_grad()
    def sample(self, rows, generator):
        ids = torch.zeros(rows, LENGTH, dtype=torch.long)
        for t in range(LENGTH):
            probabilities = self(ids)["logits"][:, t].softmax(-1)
            ids[:, t] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        ended_before = (ids == 0).cumsum(1) - (ids == 0).long() > 0
        return ids, ~ended_before

    @torch.no_grad()
    def target_probability(self):
        return float(self(TARGET[None])["logps"].sum().exp())


def train(options: dict, steps: int, learning_rate: float, seed: int = 0, reward=None) -> tuple[Table, list[float]]:
    """The suite's training loop in small; returns the table and the clip fractions of all updates."""
    method = catalogue.create(options)
    needs = method.needs()
    generator = torch.Generator().manual_seed(seed)
    policy, reference = Table(), Table()
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    clip_fractions = []
    for _ in range(steps):
        ids, mask = policy.sample(ROWS, generator)
        rewards = ((ids == TARGET) & mask).all(1).double() if reward is None else torch.full((ROWS,), reward).double()
        with torch.no_grad():
            sampled, frozen = policy(ids), reference(ids)
            batch = GenerationBatch(
                rewards=rewards,
                mask=mask,
                completion_ids=ids,
                group_size=method.config.n,
                truncated=mask[:, -1] & (ids[:, -1] != 0),
                unparsed=torch.zeros(ROWS, dtype=torch.bool),
                old_logps=sampled["logps"] if needs.old else None,
                ref_logps=frozen["logps"] if needs.reference else None,
                values=sampled["values"] if needs.critic else None,
            )
            credit = method.credit(batch)
        credit.weights = credit.weights * needs.minibatches
        setup = Setup(method, batch, credit, policy)
        for _ in range(needs.epochs):
            for rows in torch.randperm(ROWS, generator=generator).chunk(needs.minibatches):
                optimizer.zero_grad()
                loss, metrics = total_loss(method, micro_batch(setup, rows))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
                if "clip_fraction" in metrics:
                    clip_fractions.append(float(metrics["clip_fraction"][0] / metrics["clip_fraction"][1]))
    return policy, clip_fractions


@pytest.mark.parametrize(
    ("options", "steps", "learning_rate"),
    [
        ({"name": "grpo"}, 150, 0.1),
        ({"name": "grpo", "scale": "none", "aggregate": "sequence-mean"}, 150, 0.1),
        ({"name": "rloo"}, 150, 0.1),
        ({"name": "ppo"}, 150, 0.3),  # at 0.1 one Adam step keeps every ratio inside the clip range
        ({"name": "ppo", "epochs": 2}, 150, 0.1),
        ({"name": "tbrm"}, 150, 0.1),
        ({"name": "tbrm", "n": 4, "beta": 0.02}, 150, 0.1),
        ({"name": "brm", "beta": 0.1}, 400, 0.1),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_method_learns_the_target(options, steps, learning_rate):
    policy, clip_fractions = train(options, steps, learning_rate)
    assert policy.target_probability() > 0.9
    if options["name"] == "ppo":
        assert max(clip_fractions) > 0, "PPO that never clips is not PPO"


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_equal_rewards_leave_the_policy_alone(name):
    policy, _ = train({"name": name}, 5, 0.1, reward=1.0)
    assert policy.logits.abs().max() == 0


def test_tbrm_moves_even_without_any_reward():
    """Section 2.2: the reference is no fixed point, because V(s_1) is not 0 there; V(s_1) itself is driven to 0."""
    policy, _ = train({"name": "tbrm"}, 200, 0.05, reward=0.0)
    assert abs(float(policy.logits[0].detach().logsumexp(0))) < 0.2
