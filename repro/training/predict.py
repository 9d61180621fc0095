"""The predicted training-phase peak of a trial: one update of its code on fake tensors (`repro.cost.training_peak`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from repro.cost import StepParts, training_peak
from repro.cost.head import static_logprob_head
from repro.methods.base import MicroBatch
from repro.training.critic import Critic
from repro.training.forward import Scores, backbone, causal_lm, project_state_values
from repro.training.verdicts import Judge, hidden_before

# Part of the cache's identity: raise it when the prediction itself changes.
SEMANTICS = 2


def predicted_peak(setup, cache: Path) -> dict:
    """{"total": bytes, "components": {...}} of one update at this trial's shapes: full micro-batch, longest lengths.

    Leaves out the generation phase and its key-value cache, the allocator's rounding, and the Python process. The
    number does not depend on the seed, so it is computed once per arm and kept in `cache`.
    """
    config = setup.config
    longest = (
        max(len(setup.task.template.render(prompt.question)) for prompt in setup.rl) if setup.task.generated else None
    )
    prompt = min(longest or config.train.max_prompt, config.train.max_prompt)
    identity = json.dumps(
        [SEMANTICS, setup.base.digest, config.method, config.to_json()["train"], prompt, *_verdict_turn(setup)],
        sort_keys=True,
    )
    path = cache / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
    if path.exists():
        try:
            return json.loads(path.read_text())
        except ValueError:
            path.unlink()  # a torn file: computed again
    peak = training_peak(lambda: _build(setup, prompt))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{config.seed}.tmp")
    temporary.write_text(json.dumps(peak))
    temporary.rename(path)
    return peak


def _verdict_turn(setup) -> list[str]:
    """The verdict turn lengthens the rows of the methods that train on it."""
    return [setup.hashes["verdict"]] if setup.method.needs().verdict != "none" else []


def _build(setup, prompt: int) -> StepParts:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

    from repro.training.lora import peft_config

    train, needs, method = setup.config.train, setup.method.needs(), setup.method
    shape = AutoConfig.from_pretrained(setup.base.folder)
    policy: nn.Module = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    adapters = peft_config(train.lora, setup.base.folder)
    if adapters is not None:
        policy = _adapted(policy, adapters)
    if train.gradient_checkpointing:
        policy.gradient_checkpointing_enable()
    policy.train()
    modules = {"policy": policy}
    if needs.reference and adapters is None:
        reference = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
        modules["reference"] = reference.requires_grad_(False).eval()
    critic = None
    if needs.critic:
        critic = Critic(AutoModel.from_config(shape, dtype=torch.float32), shape.get_text_config().hidden_size)
        modules["critic"] = critic
    verdict_width = judge = None
    if needs.verdict != "none":
        # A generated task's tokenizer has one token per character; the turn of a chat model is about 20 tokens.
        tokens = setup.verdict_tokens(AutoTokenizer.from_pretrained(setup.base.folder), [0])
        verdict_width = tokens.width
    if needs.verdict == "head":
        judge = Judge("head", nn.Linear(shape.get_text_config().hidden_size, 1))
    elif needs.verdict == "separate":
        judge = Judge("separate", AutoModelForCausalLM.from_config(shape, dtype=torch.float32))
    if judge is not None:
        modules["judge"] = judge
    trainable = [p for name, m in modules.items() if name != "reference" for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=True)

    rows, keep = train.micro_batch, train.max_completion
    ids = torch.zeros((rows, prompt + keep), dtype=torch.long)
    attention = torch.ones_like(ids)
    longer = torch.zeros((rows, prompt + keep + (verdict_width or 0)), dtype=torch.long)
    column = torch.full((rows,), longer.shape[1] - 1)
    flat = torch.zeros((rows, keep))
    mask = torch.ones((rows, keep), dtype=torch.bool)

    def micro(**live) -> MicroBatch:
        return MicroBatch(
            mask=mask, weights=flat, advantages=flat, rewards=flat[:, 0], old_logps=flat, old_values=flat, returns=flat,
            ref_logps=flat if needs.reference else None, verdict_weights=flat[:, 0] if verdict_width else None,
            kl_weights=flat, **live,
        )  # fmt: skip

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=train.precision == "bf16")

    def train_critic() -> None:
        with autocast():
            values = critic(ids, attention, keep)
        method.critic_loss(micro(logps=None, values=values))[0].backward()

    def train_judge() -> None:
        with autocast():
            said = judge.model_logps(longer, torch.ones_like(longer), column, longer[:, 0])
        method.verdict_loss(micro(logps=None, verdict_logps=said))[0].backward()

    def train_policy() -> None:
        joint = needs.verdict in ("policy", "head")
        rows_in = longer if joint else ids
        with autocast():
            scores = _score(policy, rows_in, torch.ones_like(rows_in), rows_in.shape[1] - prompt, needs.state_values)
        live = {
            "logps": scores.logps[:, :keep],
            "state_values": None if scores.state_values is None else scores.state_values[:, :keep],
            "entropy": scores.entropy[:, :keep],
        }
        if needs.verdict == "head":
            live["verdict_logps"] = judge.head_logps(hidden_before(scores.hidden, column), flat[:, 0])
        elif joint:
            live["verdict_logps"] = scores.logps[:, -1]
        method.loss(micro(**live))[0].backward()

    def step() -> None:
        # Functions of their own, so that nothing of the critic's graph is alive when the policy's is built.
        if critic is not None:
            train_critic()
        if needs.verdict == "separate":
            train_judge()
        train_policy()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return StepParts(modules, optimizer, step)


def _adapted(policy: nn.Module, adapters) -> nn.Module:
    """The policy with adapters. PEFT moves every adapter to its layer's device, and fake parameters cannot be moved."""
    from peft import get_peft_model

    move = nn.Module.to
    nn.Module.to = lambda module, *args, **kwargs: module
    try:
        return get_peft_model(policy, adapters)
    finally:
        nn.Module.to = move


def _score(policy: nn.Module, ids, attention, keep: int, state_values: str) -> Scores:
    """As `repro.training.forward.score`, with the shape-static equivalent of TRL's fused head."""
    hidden = backbone(policy)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state
    head = causal_lm(policy).get_output_embeddings()
    logps, entropy = static_logprob_head(hidden, head, ids, keep, 1.0)
    return Scores(logps, entropy, project_state_values(policy, hidden, keep, 1.0, state_values), hidden)
