"""Log-probabilities and entropies of completion tokens without the (b, S, V) logits, in shapes that no data can change.

It stands for the CUDA path of TRL's fused LM head (`trl.kernels.ChunkedLogProbFunction`), which cannot run where
memory is predicted: on a GPU that head picks the labelled positions with a boolean index, which fake tensors refuse,
and on a CPU it scores every position of the prompt too. What differs from it:

1. The last `keep` positions of every row are scored, labelled or not: the memory of completions of full length. Where
   a method scores selected tokens only, as many of these positions are, the first ones in place of those it selects.
2. A tile of logits is folded in blocks of rows, because torch operations on a whole tile need copies that the Triton
   kernels do not. The copies stay below about 100 MiB.
3. A tile is as wide as the vocabulary where that is smaller than TRL's 32,768 columns.

Not covered: logit soft-capping and logit scales (no model of this suite has them), sharded heads, adapters on the head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

TILE_TOKENS, TILE_COLUMNS = 4096, 32768  # TRL's tile
_BLOCK_ELEMENTS = 1 << 23


def static_logprob_head(
    hidden: Tensor, lm_head: nn.Linear, labels: Tensor, keep: int, temperature: float = 1.0, count: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probability of each label and entropy of its distribution, both (b, keep) float32 and with gradient.

    hidden (b, S, D): last hidden states; labels (b, S) long: token ids, -100 where nothing is scored (both are 0
    there). Column j belongs to the token at position S - keep + j, predicted from the position before it. Logits are
    divided by `temperature`. With `count` only the first so many of the `keep` columns go through the head; both are 0
    in the others. Raises `ValueError` unless 0 < keep < S.
    """
    if not 0 < keep < labels.shape[1]:
        raise ValueError(f"keep={keep} must lie between 1 and {labels.shape[1] - 1}, the positions with a predecessor")
    # Cut twice, as the fused head does: the backward pass of each cut is a tensor of its own.
    scored, targets, ignored = _cut(hidden[:, :-1], labels, keep, count)
    logps, entropy = _ChunkedHead.apply(
        scored.reshape(-1, hidden.shape[-1]),
        lm_head.weight,
        lm_head.bias,
        targets.clamp(min=0).reshape(-1),
        temperature,
    )
    found = (values.view(targets.shape).masked_fill(ignored, 0) for values in (logps, entropy))
    return tuple(pad(values, (0, keep - values.shape[1])) for values in found)


def full_logprob_head(
    hidden: Tensor, lm_head: nn.Linear, labels: Tensor, keep: int, temperature: float = 1.0, entropy: bool = False,
    count: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `static_logprob_head`, with (b, keep, V) float32 logits and their log-softmax in memory, as stock trainers do.

    The entropy has a gradient only with `entropy`; otherwise it is a figure for the log, computed row by row.
    """
    scored, targets, ignored = _cut(hidden[:, :-1], labels, keep, count)
    log_p = torch.log_softmax(lm_head(scored).float() / temperature, dim=-1)
    logps = log_p.gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)
    if entropy:
        spread = -(log_p.exp() * log_p).sum(-1)
    else:
        with torch.no_grad():
            spread = torch.stack([-(row.exp() * row).sum(-1) for row in log_p])
    found = (values.masked_fill(ignored, 0) for values in (logps, spread))
    return tuple(pad(values, (0, keep - values.shape[1])) for values in found)


def _cut(hidden: Tensor, labels: Tensor, keep: int, count: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states before the first `count` of the last `keep` tokens, their labels, and which have none."""
    first = labels.shape[1] - keep
    last = first + (keep if count is None else count)
    targets = labels[:, first:last]
    return hidden[:, first - 1 : last - 1], targets, targets == -100


class _ChunkedHead(torch.autograd.Function):
    """N scored tokens, D hidden size, V vocabulary; one (tokens, columns) tile of logits is alive at a time."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float):
        ctx.set_materialize_grads(False)
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        count = hidden.shape[0]
        running_max = hidden.new_full((count,), float("-inf"), dtype=torch.float32)
        sum_exp = hidden.new_zeros((count,), dtype=torch.float32)
        sum_x_exp = torch.zeros_like(sum_exp)
        target_logit = torch.zeros_like(sum_exp)
        for rows, columns, tile, _, _ in _tiles(hidden, weight, bias, dtype):
            maximum, total, total_x = running_max[rows], sum_exp[rows], sum_x_exp[rows]
            index, inside = _targets_in(tile, targets[rows], columns)
            at_target = tile.gather(1, index).squeeze(1).float().div_(temperature)
            target_logit[rows] = torch.where(inside, at_target, target_logit[rows])
            for block in _blocks(tile):
                # The online logsumexp: what was summed so far is rescaled to the new maximum.
                z = tile[block].float().div_(temperature)
                new_maximum = torch.maximum(maximum[block], z.amax(1))
                rescale = torch.exp(maximum[block] - new_maximum)
                e = (z - new_maximum.unsqueeze(1)).exp_()
                total[block] = total[block] * rescale + e.sum(1)
                total_x[block] = total_x[block] * rescale + e.mul_(z).sum(1)
                maximum[block] = new_maximum
        log_z = running_max + sum_exp.log()
        entropy = log_z - sum_x_exp / sum_exp
        ctx.save_for_backward(hidden, weight, bias, targets, log_z, entropy)
        ctx.dtype, ctx.temperature = dtype, temperature
        return target_logit - log_z, entropy

    @staticmethod
    def backward(ctx, grad_logps: Tensor | None, grad_entropy: Tensor | None):
        hidden, weight, bias, targets, log_z, entropy = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.zeros_like(hidden, dtype=torch.float32) if needs_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias else None
        for rows, columns, tile, tokens, weights in _tiles(hidden, weight, bias, ctx.dtype):
            index, inside = _targets_in(tile, targets[rows], columns)
            if grad_logps is not None:
                at_logps = grad_logps[rows].float()
                at_target = torch.where(inside, at_logps, 0.0).unsqueeze(1)
            for block in _blocks(tile):
                # d(log p_target)/dz_j = 1[j = target] - p_j;  d(entropy)/dz_j = -p_j (log p_j + entropy)
                log_p = tile[block].float().div_(ctx.temperature).sub_(log_z[rows][block].unsqueeze(1))
                p = log_p.exp()
                factor = 0.0
                if grad_entropy is not None:
                    factor = log_p.add_(entropy[rows][block].unsqueeze(1)).mul_(grad_entropy[rows][block].unsqueeze(1))
                if grad_logps is not None:
                    factor = factor + at_logps[block].unsqueeze(1)
                grad = p.mul_(factor).neg_()
                if grad_logps is not None:
                    grad.scatter_add_(1, index[block], at_target[block])
                tile[block] = grad.div_(ctx.temperature)
            if d_hidden is not None:
                _add_product(d_hidden[rows], tile, weights)
            if d_weight is not None:
                _add_product(d_weight[columns], tile.t(), tokens)
            if d_bias is not None:
                d_bias[columns] += tile.sum(0, dtype=torch.float32)
        return (
            None if d_hidden is None else d_hidden.to(hidden.dtype),
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None else d_bias.to(bias.dtype),
            None,
            None,
        )


def _tiles(hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype):
    """(rows, columns, logits, hidden rows, weight rows) of each tile; the logits live in one buffer."""
    count, vocabulary = hidden.shape[0], weight.shape[0]
    buffer = hidden.new_empty((min(count, TILE_TOKENS), min(vocabulary, TILE_COLUMNS)), dtype=dtype)
    for row in range(0, count, TILE_TOKENS):
        rows = slice(row, min(row + TILE_TOKENS, count))
        tokens = hidden[rows].to(dtype)
        for column in range(0, vocabulary, TILE_COLUMNS):
            columns = slice(column, min(column + TILE_COLUMNS, vocabulary))
            weights = weight[columns].to(dtype)
            tile = buffer[: rows.stop - rows.start, : columns.stop - columns.start]
            torch.mm(tokens, weights.t(), out=tile)
            if bias is not None:
                tile.add_(bias[columns].to(dtype))
            yield rows, columns, tile, tokens, weights


def _targets_in(tile: Tensor, targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Column (n, 1) of each target in a tile, and whether it lies there (n,); elsewhere the column is a nearby one."""
    local = targets - columns.start
    return local.clamp(0, tile.shape[1] - 1).unsqueeze(1), (local >= 0) & (local < tile.shape[1])


def _blocks(tile: Tensor):
    """Row slices of a tile, about `_BLOCK_ELEMENTS` logits each."""
    size = max(1, _BLOCK_ELEMENTS // tile.shape[1])
    for start in range(0, tile.shape[0], size):
        yield slice(start, min(start + size, tile.shape[0]))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right in float32. Half-precision factors are widened in blocks of the summed dimension."""
    if left.dtype == torch.float32:
        total.addmm_(left, right)
        return
    size = max(1, _BLOCK_ELEMENTS // max(left.shape[0], right.shape[1]))
    for start in range(0, left.shape[1], size):
        part = slice(start, min(start + size, left.shape[1]))
        total.addmm_(left[:, part].float(), right[part].float())
