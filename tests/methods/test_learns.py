"""Each method, as pure functions, learns a small task: length-3 sequences over 4 tokens, one of which is rewarded.

Token 0 ends a row early, so masks are ragged. The policy and the critic are tables over prefixes; the reference is the
uniform policy the training starts from. The chance of the target is computed exactly, from 1/64 at the start.
"""

from __future__ import annotations

import pytest
import torch

from repro.methods import catalogue
from repro.methods.base import GenerationBatch
from repro.testing.toy import Setup, micro_batch, permute_units, total_loss

VOCABULARY, LENGTH, ROWS = 4, 3, 64
TARGET = torch.tensor([2, 1, 3])


class Table(torch.nn.Module):
    """Logits and values of every prefix; a prefix is a number in base 5, digits token + 1."""

    def __init__(self):
        super().__init__()
        states = (VOCABULARY + 1) ** (LENGTH - 1)
        self.logits = torch.nn.Parameter(torch.zeros(states, VOCABULARY, dtype=torch.float64))
        self.critic = torch.nn.Parameter(torch.zeros(states, dtype=torch.float64))
        self.verdicts = torch.nn.Parameter(torch.zeros((VOCABULARY + 1) ** LENGTH, dtype=torch.float64))

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

    def verdict_logits(self, ids, mask):
        """Yes against No on whole rows; what follows an end token does not count."""
        state = torch.zeros_like(ids[:, 0])
        for t in range(ids.shape[1]):
            state = state * (VOCABULARY + 1) + torch.where(mask[:, t], ids[:, t] + 1, 0)
        return self.verdicts[state]

    @torch.no_grad()
    def sample(self, rows, generator, start=None, fixed=0):
        """`rows` completions; with `start` (rows, LENGTH) its first `fixed` tokens are kept."""
        ids = torch.zeros(rows, LENGTH, dtype=torch.long) if start is None else start.clone()
        for t in range(fixed, LENGTH):
            probabilities = self(ids)["logits"][:, t].softmax(-1)
            ids[:, t] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        ended_before = (ids == 0).cumsum(1) - (ids == 0).long() > 0
        return ids, ~ended_before

    @torch.no_grad()
    def target_probability(self):
        return float(self(TARGET[None])["logps"].sum().exp())


def is_target(ids, mask):
    return ((ids == TARGET) & mask).all(1).double()


def rolled_out_values(policy: Table, ids, mask, k: int, generator):
    """VinePPO's auxiliary rollouts in small: every token is a step; (B, T) steps and (B, T + 1) values, means of k."""
    values = torch.zeros(ids.shape[0], LENGTH + 1, dtype=torch.float64)
    for t in range(LENGTH):
        fresh = is_target(*policy.sample(k * ids.shape[0], generator, ids.repeat_interleave(k, 0), fixed=t))
        values[:, t] = torch.where(mask[:, t], fresh.view(-1, k).mean(1), 0.0)
    return torch.where(mask, torch.arange(LENGTH), -1), values


def train(options: dict, steps: int, learning_rate: float, seed: int = 0, reward=None) -> tuple[Table, list[float]]:
    """The suite's training loop in small; returns the table and the clip fractions of all updates."""
    method = catalogue.create(options)
    needs = method.needs()
    generator = torch.Generator().manual_seed(seed)
    policy, reference = Table(), Table()
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    clip_fractions, prompt_values = [], None
    if needs.prompt_samples:  # every group is a prompt of its own, though all prompts are alike
        prompts = ROWS // method.config.n
        sampled = is_target(*reference.sample(prompts * needs.prompt_samples, generator))
        prompt_values = method.prompt_values(sampled.view(prompts, -1)).repeat_interleave(method.config.n)
    for _ in range(steps):
        ids, mask = policy.sample(ROWS, generator)
        rewards = is_target(ids, mask) if reward is None else torch.full((ROWS,), reward).double()
        steps_and_values = (None, None)
        if needs.extra_rollouts:
            steps_and_values = rolled_out_values(policy, ids, mask, needs.extra_rollouts, generator)
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
                prompt_values=prompt_values,
                answers=(ids * 5 ** torch.arange(LENGTH) * mask).sum(1) if needs.answers else None,
                steps=steps_and_values[0],
                step_values=steps_and_values[1],
                entropies=sampled["entropy"] if needs.entropies else None,
                generator=generator,
            )
            credit = method.credit(batch)
        for name in ("weights", "kl_weights", "verdict_weights"):
            if getattr(credit, name) is not None:
                setattr(credit, name, getattr(credit, name) * needs.minibatches)
        setup = Setup(method, batch, credit, policy)
        for _ in range(needs.epochs):
            for rows in permute_units(ROWS, needs.unit, generator).chunk(needs.minibatches):
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
        ({"name": "astar-po"}, 150, 0.1),
        ({"name": "astar-po", "n": 4, "beta1": "mean", "beta2": 0.05, "minibatches": 1}, 150, 0.1),
        ({"name": "rebel"}, 150, 0.1),
        ({"name": "rebel", "n": 4, "scale": "code", "eta": 5.0, "minibatches": 2}, 150, 0.1),
        ({"name": "rebel-v", "epochs": 4}, 100, 0.1),
        ({"name": "loo"}, 150, 0.3),
        ({"name": "vineppo"}, 100, 0.3),
        ({"name": "vineppo", "beta": 0.0, "k": 1}, 100, 0.3),
        ({"name": "vineppo-v", "balance": True}, 100, 0.3),
        ({"name": "ksample", "n": 4, "objective": "mean"}, 150, 0.1),
        ({"name": "ksample", "n": 4, "objective": "mean", "scale": "matched"}, 150, 0.1),
        ({"name": "ksample", "n": 2}, 150, 0.1),
        ({"name": "ksample", "n": 4, "variant": "biased"}, 150, 0.1),
        ({"name": "ksample", "n": 4, "objective": "majority"}, 200, 0.1),
        ({"name": "ksample", "n": 4, "clip": True, "epochs": 2}, 150, 0.3),
        ({"name": "pkpo", "n": 8, "k": 2}, 150, 0.1),
        ({"name": "passk-training", "n": 8, "k": 2}, 150, 0.1),
        ({"name": "sgrpo", "alpha": 1, "p": 0.3}, 150, 0.1),
        ({"name": "sgrpo", "alpha": 0, "k": 1, "p": 0.5, "reading": "random_rest"}, 150, 0.1),
        ({"name": "tspmo"}, 150, 0.1),
        ({"name": "tspmo", "n": 8, "normalise": "branching", "beta": 0.01}, 150, 0.1),
        ({"name": "krpo"}, 150, 0.1),
        ({"name": "krpo", "order": "averaged", "scale": "unit"}, 150, 0.1),
        ({"name": "krpo", "order": "shuffled", "epochs": 2}, 150, 0.1),
        ({"name": "krpo", "baseline": "running-mean"}, 150, 0.1),
        ({"name": "krpo", "baseline": "group-mean"}, 150, 0.1),
        ({"name": "grpo-entropy", "top_entropy": 0.4}, 150, 0.1),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_method_learns_the_target(options, steps, learning_rate):
    policy, clip_fractions = train(options, steps, learning_rate)
    assert policy.target_probability() > 0.9
    if options["name"].removesuffix("-v") in ("ppo", "loo", "vineppo"):
        assert max(clip_fractions) > 0, "PPO that never clips is not PPO"


def test_vineppo_learns_the_steps_below_the_cap_and_leaves_the_others_alone():
    """Two of three tokens are learnt, the last stays uniform over four. Whitening would move the capped tokens too."""
    policy, _ = train({"name": "vineppo", "beta": 0.0, "cap": 2, "whiten": False}, 60, 0.1)
    assert 0.2 < policy.target_probability() < 0.25
    assert policy.logits[VOCABULARY + 1 :].abs().max() == 0  # prefixes of two tokens


@pytest.mark.parametrize("verifier", ["policy", "separate"])
def test_the_verifier_learns_to_tell_right_from_wrong(verifier):
    """It sees the sampled rows alone; untaught, every score is 1/2."""
    options = {"name": "loo-v", "verify_lambda": 1.0, "verifier": verifier}
    policy, _ = train(options, 120, 0.1)
    generator = torch.Generator().manual_seed(1)
    ids, mask = Table().sample(200, generator)
    ids, mask = torch.cat([TARGET[None], ids]), torch.cat([torch.ones(1, LENGTH).bool(), mask])
    right = policy.verdict_logits(ids, mask).detach() > 0
    assert right[0]
    assert (right == is_target(ids, mask).bool()).double().mean() > 0.8
    untaught, _ = train({"name": "loo-v", "verify_lambda": 0.0}, 10, 0.1)
    assert untaught.verdicts.abs().max() == 0 and untaught.logits.abs().max() > 0


@pytest.mark.parametrize("name", ["grpo", "rloo", "loo", "rebel", "sgrpo", "tspmo", "grpo-entropy"])
def test_equal_rewards_leave_the_policy_alone(name):
    policy, _ = train({"name": name}, 5, 0.1, reward=1.0)
    assert policy.logits.abs().max() == 0


def test_tbrm_moves_even_without_any_reward():
    """Section 2.2: the reference is no fixed point, because V(s_1) is not 0 there; V(s_1) itself is driven to 0."""
    policy, _ = train({"name": "tbrm"}, 200, 0.05, reward=0.0)
    assert abs(float(policy.logits[0].detach().logsumexp(0))) < 0.2
