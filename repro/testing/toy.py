"""A toy trainer for methods: a tiny policy, generation batches, micro-batches, gradients over any partition.

It fills in exactly what a method's `needs()` names and leaves the rest None, so a method that reads something it has
not asked for fails here. Positions outside the mask hold NaN: a method that lets them in fails as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch


class ToyPolicy(nn.Module):
    """Logits (B, T, V) from the position and the previous token, and a critic on the same features. float64."""

    def __init__(self, length: int, vocabulary: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: nn.Parameter(0.5 * torch.randn(*shape, generator=generator, dtype=torch.float64))  # noqa: E731
        self.position, self.previous = draw(length, vocabulary), draw(vocabulary + 1, vocabulary)
        self.critic_position, self.critic_previous = draw(length), draw(vocabulary + 1)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        before = torch.cat([torch.zeros_like(ids[:, :1]), ids[:, :-1] + 1], dim=1)
        logits = self.position[: ids.shape[1]] + self.previous[before]
        log_probs = logits.log_softmax(-1)
        return {
            "logits": logits,
            "logps": log_probs.gather(-1, ids[..., None])[..., 0],
            "state_values": logits.logsumexp(-1),
            "entropy": -(log_probs.exp() * log_probs).sum(-1),
            "values": self.critic_position[: ids.shape[1]] + self.critic_previous[before],
        }

    def widen(self, columns: int) -> None:
        """Make room for longer rows; the new positions have logits and values of 0."""
        for name in ("position", "critic_position"):
            parameter = getattr(self, name)
            extra = torch.zeros(columns, *parameter.shape[1:], dtype=parameter.dtype)
            setattr(self, name, nn.Parameter(torch.cat([parameter.detach(), extra])))

    def narrowed(self, gradient: Tensor, length: int) -> Tensor:
        """The part of a flat gradient that belongs to the first `length` positions, flat again."""
        parts = gradient.split([parameter.numel() for parameter in self.parameters()])
        shaped = zip(self.named_parameters(), parts, strict=True)
        return torch.cat([
            (part.view(parameter.shape)[:length] if name.endswith("position") else part).flatten()
            for (name, parameter), part in shaped
        ])  # fmt: skip

    def verdict_logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (B,) of Yes against No on whole rows, from the weights that also choose the tokens."""
        per_token = self.position[: ids.shape[1], 0] + self.previous[ids, 1]
        return torch.where(mask, per_token, 0.0).sum(1)


@dataclass
class Setup:
    """A method with a generation batch, its credit, and the policy to be updated."""

    method: Method
    batch: GenerationBatch
    credit: Credit
    policy: ToyPolicy
    seed: int = 0  # of the batch's generator when `credit` was made


def poison(values: Tensor, mask: Tensor) -> Tensor:
    """NaN outside the mask, without cutting the gradient inside."""
    return torch.where(mask, values, torch.nan)


def ragged_mask(rows: int, length: int, generator: torch.Generator) -> Tensor:
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    return torch.arange(length) < lengths[:, None]


def random_steps(mask: Tensor, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Steps (B, T) of random lengths, -1 outside the mask, and values (B, T + 1) of their states: multiples of 1 / k.

    As the trainer's, the values are 0 from a row's end on.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    new = torch.rand(mask.shape, generator=generator) < 0.5
    new[:, 0] = False
    steps = torch.where(mask, new.cumsum(1), -1)
    values = torch.randint(0, k + 1, (mask.shape[0], mask.shape[1] + 1), generator=generator).double() / k
    counts = steps.max(dim=1, keepdim=True).values + 1
    return steps, torch.where(torch.arange(mask.shape[1] + 1) < counts, values, 0.0)


def make_setup(method: Method, rows: int = 8, length: int = 7, vocabulary: int = 5, seed: int = 0) -> Setup:
    """Random rows, ragged lengths, 0/1 rewards; the sampling and reference policies differ from the updated one."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocabulary, (rows, length), generator=generator)
    mask = ragged_mask(rows, length, generator)
    policy, old, ref = (ToyPolicy(length, vocabulary, 10 * seed + i) for i in range(3))
    with torch.no_grad():  # near enough that some ratios stay inside the clip range and some leave it
        for mine, theirs in zip(policy.parameters(), old.parameters(), strict=True):
            theirs.copy_(mine + 0.3 * theirs)
        sampled, frozen = old(ids), ref(ids)
    needs = method.needs()
    prompt_values = None
    if needs.prompt_samples:
        scored = torch.randint(0, 2, (rows // method.config.n, needs.prompt_samples), generator=generator).double()
        prompt_values = method.prompt_values(scored).repeat_interleave(method.config.n)
    steps, step_values = random_steps(mask, needs.extra_rollouts, seed) if needs.extra_rollouts else (None, None)
    batch = GenerationBatch(
        rewards=torch.randint(0, 2, (rows,), generator=generator).double(),
        mask=mask,
        completion_ids=ids,
        group_size=method.config.n,
        truncated=mask[:, -1],
        unparsed=torch.zeros(rows, dtype=torch.bool),
        old_logps=poison(sampled["logps"], mask) if needs.old else None,
        ref_logps=poison(frozen["logps"], mask) if needs.reference else None,
        values=poison(sampled["values"], mask) if needs.critic else None,
        prompt_values=prompt_values,
        answers=torch.randint(-1, 2, (rows,), generator=generator) if needs.answers else None,
        steps=steps,
        step_values=step_values,
        entropies=poison(sampled["entropy"], mask) if needs.entropies else None,
        replayed=torch.arange(rows) // method.config.n % 2 == 1 if needs.replay else None,
        generator=torch.Generator().manual_seed(seed),
    )
    with torch.no_grad():
        credit = method.credit(batch)
    return Setup(method, batch, credit, policy, seed)


def micro_batch(setup: Setup, rows: Tensor) -> MicroBatch:
    """The rows of one micro-batch, with fresh forward passes: what the trainer hands to `loss`."""
    batch, credit, needs = setup.batch, setup.credit, setup.method.needs()
    pick = lambda tensor: None if tensor is None else tensor[rows]  # noqa: E731
    mask = batch.mask[rows]
    fresh = {key: value for key, value in setup.policy(batch.completion_ids[rows]).items() if key != "logits"}
    scored = mask
    if needs.selected:  # the trainer computes nothing at the other positions
        weighed = credit.weights if credit.kl_weights is None else credit.weights.abs() + credit.kl_weights.abs()
        scored = mask & (weighed[rows] != 0)
    fresh = {key: poison(value, scored) for key, value in fresh.items()}
    advantages = credit.advantages[rows]
    verdict_logps = None
    if needs.verdict != "none":
        sign = torch.where(batch.rewards[rows] == 1, 1.0, -1.0)
        verdict_logps = logsigmoid(sign * setup.policy.verdict_logits(batch.completion_ids[rows], mask))
    state_values = {"none": None, "first": fresh["state_values"][:, :1], "all": fresh["state_values"]}
    return MicroBatch(
        logps=fresh["logps"],
        mask=mask,
        weights=credit.weights[rows],
        advantages=advantages if advantages.dim() == 2 else advantages[:, None].expand(mask.shape),
        rewards=batch.rewards[rows],
        old_logps=pick(batch.old_logps),
        ref_logps=pick(batch.ref_logps),
        old_values=pick(batch.values),
        values=fresh["values"] if needs.critic else None,
        returns=pick(credit.returns),
        state_values=state_values[needs.state_values],
        entropy=fresh["entropy"] if needs.entropy else None,
        prompt_values=pick(batch.prompt_values),
        kl_weights=pick(credit.kl_weights),
        verdict_logps=verdict_logps,
        verdict_weights=pick(credit.verdict_weights),
    )


def total_loss(method: Method, micro: MicroBatch) -> tuple[Tensor, Metrics]:
    """The method's loss plus its critic's and its separate verifier's, as the trainer steps on all of them."""
    separate = method.needs().verdict == "separate"
    loss, metrics = method.loss(replace(micro, verdict_logps=None) if separate else micro)
    if separate:
        verdict_loss, verdict_metrics = method.verdict_loss(micro)
        loss, metrics = loss + verdict_loss, metrics | verdict_metrics
    if method.needs().critic:
        critic_loss, critic_metrics = method.critic_loss(micro)
        return loss + critic_loss, metrics | critic_metrics
    return loss, metrics


def gradient(setup: Setup, partition: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Flat gradient of the losses summed over `partition` (row indices of each micro-batch), and the merged metrics."""
    setup.policy.zero_grad()
    totals: dict[str, list[float]] = {}
    for rows in partition:
        loss, metrics = total_loss(setup.method, micro_batch(setup, rows))
        loss.backward()
        add_metrics(totals, metrics)
    flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in setup.policy.parameters()]
    ratios = {key: total / count for key, (total, count) in totals.items() if count}  # as the health panel does
    return torch.cat([g.flatten() for g in flat]), ratios


def add_metrics(totals: dict[str, list[float]], metrics: Metrics) -> None:
    for key, (numerator, denominator) in metrics.items():
        assert not numerator.requires_grad, f"metric {key} keeps the graph alive"
        entry = totals.setdefault(key, [0.0, 0.0])
        entry[0] += float(numerator)
        entry[1] += float(denominator)


def permute_units(rows: int, unit: int, generator: torch.Generator) -> Tensor:
    """A permutation of the rows that moves whole units."""
    order = torch.randperm(rows // unit, generator=generator)
    return (order[:, None] * unit + torch.arange(unit)).flatten()


def policy_gradient(setup: Setup, advantages: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """REINFORCE: gradient of - sum of weights × advantages × log pi."""
    logps = setup.policy(setup.batch.completion_ids)["logps"]
    loss = -(weights * advantages * logps).sum()
    slopes = torch.autograd.grad(loss, list(setup.policy.parameters()), allow_unused=True)
    pairs = zip(slopes, setup.policy.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if s is None else s).flatten() for s, p in pairs])
