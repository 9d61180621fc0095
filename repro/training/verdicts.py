"""Verdicts on rollouts (RL^V, arXiv 2505.04842): the turn appended to a row, who judges it, and scores of samples.

A row that is judged is prompt + completion + end token + verdict turn + verdict, in one sequence: the model is causal,
so the completion's log-probabilities stay what they were (up to rounding), and verifying costs a few tokens per row
instead of a pass of its own. Everything before the verdict is context: the verdict's gradient enters through the logits
(or the hidden state) at one position.

Three judges: the policy itself (`policy`, generative), a linear head on the policy's hidden state before the verdict
(`head`, trained by binary cross-entropy through the policy), or a second model (`separate`, generative, own weights).
Not covered: a verdict after a chain of thought; regression heads; heads on the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from repro.methods.verified import verdict_labels
from repro.tasks.verdict import VerdictTokens
from repro.training.forward import backbone, causal_lm


@dataclass
class JudgedRows:
    """Rows with the verdict appended. W = `VerdictTokens.width`; unused columns are padding without attention."""

    completion_ids: Tensor  # (b, T + W)
    attention: Tensor  # (b, T + W) long
    at: Tensor  # (b,): column of the verdict within T + W
    verdict: Tensor  # (b,): the right verdict's token

    def scored(self, mask: Tensor) -> Tensor:
        """(b, T + W) bool: the sampled tokens, `mask` (b, T), and the verdict."""
        scored = torch.zeros(self.attention.shape, dtype=torch.bool, device=mask.device)
        scored[:, : mask.shape[1]] = mask
        return scored.scatter_(1, self.at.unsqueeze(1), True)


def append_verdict(
    completion_ids: Tensor, mask: Tensor, rewards: Tensor, tokens: VerdictTokens, ends: Sequence[int]
) -> JudgedRows:
    """Rows (b, T), padded on the right, with turn and right verdict (reward 1: yes, otherwise no) after their end.

    A row without an end token of its own was cut off; it gets one, so that the turn always starts a new turn.
    """
    rows, width = completion_ids.shape
    device = completion_ids.device
    lengths = mask.sum(1)
    last = completion_ids.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    ended = torch.isin(last, torch.tensor(list(ends), device=device)) & (lengths > 0)
    extended = torch.full((rows, width + tokens.width), tokens.end, dtype=torch.long, device=device)
    extended[:, :width] = torch.where(mask.bool(), completion_ids, extended[:, :width])
    start = lengths + (~ended).long()  # the column of an added end token already holds it
    turn = torch.tensor(tokens.turn, device=device)
    extended.scatter_(1, start.unsqueeze(1) + torch.arange(len(turn), device=device), turn.expand(rows, -1))
    at = start + len(turn)
    verdict = torch.where(verdict_labels(rewards), tokens.yes, tokens.no)
    extended.scatter_(1, at.unsqueeze(1), verdict.unsqueeze(1))
    attention = (torch.arange(width + tokens.width, device=device) <= at.unsqueeze(1)).long()
    return JudgedRows(extended, attention, at, verdict)


class Judge(nn.Module):
    """Who gives the verdicts, when it is not the policy alone: a linear head, or a second model."""

    def __init__(self, kind: str, network: nn.Module):
        super().__init__()
        self.kind, self.network = kind, network

    @classmethod
    def from_base(cls, kind: str, folder: str | Path) -> Judge:
        """A head that starts at zero (every verdict is 0.5), or a copy of the base model."""
        from transformers import AutoConfig, AutoModelForCausalLM

        if kind == "head":
            shape = AutoConfig.from_pretrained(folder).get_text_config()
            head = nn.Linear(shape.hidden_size, 1)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
            return cls(kind, head)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        model.config.use_cache = False
        return cls(kind, model)

    def head_logps(self, hidden: Tensor, rewards: Tensor) -> Tensor:
        """(b,) log-probability of the right verdict from hidden states (b, D) before it: minus the BCE of the head."""
        logits = self.network(hidden.float()).squeeze(-1)
        return logsigmoid(torch.where(verdict_labels(rewards), logits, -logits))

    def model_logps(self, ids: Tensor, attention: Tensor, column: Tensor, verdict: Tensor) -> Tensor:
        """(b,) log-probability of the verdict by the second model; `column` (b,) is the verdict's, in all of `ids`."""
        hidden = backbone(self.network)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state
        return verdict_logps(self.network, hidden_before(hidden, column), verdict)

    def save(self, folder: Path) -> None:
        # Tied weights are one tensor under two names, and safetensors stores no tensor twice.
        state = {name: value.clone().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / "judge.safetensors")

    def load(self, folder: Path) -> None:
        self.load_state_dict(load_file(folder / "judge.safetensors"))


def hidden_before(hidden: Tensor, column: Tensor) -> Tensor:
    """(b, D): the hidden state (b, S, D) that precedes `column` (b,)."""
    return hidden[torch.arange(len(hidden), device=hidden.device), column - 1]


def verdict_logps(model: nn.Module, hidden: Tensor, verdict: Tensor) -> Tensor:
    """(b,) log-probability, at temperature 1, of the verdicts (b,) from the hidden states (b, D) before them."""
    logits = causal_lm(model).get_output_embeddings()(hidden)
    return torch.log_softmax(logits.float(), -1).gather(1, verdict.unsqueeze(1)).squeeze(1)


def verdict_logits(model: nn.Module, ids: Tensor, attention: Tensor, column: Tensor) -> Tensor:
    """(b, vocabulary) logits of the token at `column` (b,); the head sees no other position."""
    hidden = backbone(model)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state
    return causal_lm(model).get_output_embeddings()(hidden_before(hidden, column))


@torch.no_grad()
def verdict_scores(
    model: nn.Module,
    judge: Judge | None,
    tokens: VerdictTokens,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    ends: Sequence[int],
    rows: int = 256,
) -> tuple[list[float], list[float]]:
    """P(Yes) and P(No) of every completion, over the whole vocabulary (a head's add up to 1); temperature 1.

    `model` is the policy; `judge` replaces it or adds its head. Rows are judged `rows` at a time, in the order given.
    """
    device = next(model.parameters()).device
    yes: list[float] = []
    no: list[float] = []
    for start in range(0, len(prompts), rows):
        texts = []
        for prompt, completion in zip(prompts[start : start + rows], completions[start : start + rows], strict=True):
            end = [] if completion and completion[-1] in set(ends) else [tokens.end]
            texts.append([*prompt, *completion, *end, *tokens.turn])
        width = max(map(len, texts))
        # Padding on the left: then the verdict follows the last column of every row.
        ids = torch.tensor([[tokens.end] * (width - len(text)) + text for text in texts], device=device)
        attention = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts], device=device)
        column = torch.full((len(texts),), width, device=device)
        if judge is not None and judge.kind == "head":
            hidden = backbone(model)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state
            said = torch.sigmoid(judge.network(hidden[:, -1].float()).squeeze(-1))
            yes += said.tolist()
            no += (1 - said).tolist()
            continue
        who = model if judge is None else judge.network
        shares = torch.softmax(verdict_logits(who, ids, attention, column).float(), -1)
        yes += shares[:, tokens.yes].tolist()
        no += shares[:, tokens.no].tolist()
    return yes, no
