"""The pieces of a training step on fake tensors: the trainer's micro-step, its optimizer, its passes without gradient.

Everything here is called under a `FakeTensorMode` by `repro.cost.peak`. What stands for something else: the
shape-static head for TRL's fused head on CUDA (`repro.cost.head`), and rows of full length for real ones.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from repro.cost.head import full_logprob_head, static_logprob_head
from repro.cost.peak import StepParts
from repro.methods.base import Method
from repro.store.config import TrainSettings
from repro.training.critic import Critic, recompute
from repro.training.forward import Scores, backbone, causal_lm, project_state_values
from repro.training.lora import peft_config
from repro.training.microstep import Parts, Rows, micro_step
from repro.training.verdicts import Judge, JudgedRows


@dataclass(frozen=True)
class Form:
    """What decides the tensors of a step, besides the method."""

    shape: Any  # transformers config of the model
    train: TrainSettings
    prompt: int  # tokens of the longest prompt
    verdict: int = 0  # tokens that a verdict adds to a row; 0 without verdicts
    states: Literal["fp32", "bf16"] = "fp32"  # weights, gradients and optimizer state
    logits: Literal["chunked", "full"] = "chunked"

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.states == "fp32" else torch.bfloat16

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.train.precision == "bf16")


def policy(form: Form) -> nn.Module:
    """The trained model, with adapters and gradient checkpointing where the settings ask for them."""
    from transformers import AutoModelForCausalLM

    model: nn.Module = AutoModelForCausalLM.from_config(form.shape, dtype=form.dtype)
    adapters = peft_config(form.train.lora, form.shape)
    if adapters is not None:
        model = _adapted(model, adapters, form.dtype)
    if form.train.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        if adapters is not None:
            model.enable_input_require_grads()  # as TRL does: frozen embeddings would cut the recomputed part off
    return model.train()


def reference(form: Form) -> nn.Module:
    """A second copy of the base; TRL leaves its parameters as they are loaded, with gradients possible."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(form.shape, dtype=form.dtype).eval()


def critic(form: Form) -> Critic:
    from transformers import AutoModel

    network = AutoModel.from_config(form.shape, dtype=form.dtype)
    with _default(form.dtype):
        return Critic(network, form.shape.get_text_config().hidden_size)


def judge(form: Form, kind: str) -> Judge:
    from transformers import AutoModelForCausalLM

    if kind == "head":
        return Judge("head", nn.Linear(form.shape.get_text_config().hidden_size, 1))
    return Judge("separate", AutoModelForCausalLM.from_config(form.shape, dtype=form.dtype))


def update(form: Form, method: Method, micro_steps: int = 1, held: list | None = None) -> StepParts:
    """One optimizer update of `micro_steps` micro-batches, with everything resident that the method keeps loaded.

    `held` receives the scores of a forward pass and keeps them alive through the backward pass (see `predict`).
    """
    needs, train = method.needs(), form.train
    modules: dict[str, nn.Module] = {"policy": policy(form)}
    if needs.reference and train.lora is None:
        modules["reference"] = reference(form).requires_grad_(False)
    if needs.critic:
        modules["critic"] = critic(form)
    if needs.verdict in ("head", "separate"):
        modules["judge"] = judge(form, needs.verdict)
    if train.gradient_checkpointing:
        for name in modules.keys() & {"critic", "judge"}:
            recompute(modules[name])
    trainable = [p for name, m in modules.items() if name != "reference" for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=True)
    parts = Parts(
        method, needs, scorer(form, needs.entropy, held, left_out=train.max_completion - scored_tokens(form, method)),
        form.autocast, train.temperature,
        modules.get("critic"), modules.get("judge"),
    )  # fmt: skip
    rows, flat = full_rows(form, needs.verdict != "none"), torch.zeros((train.micro_batch, train.max_completion))
    mask = torch.ones(flat.shape, dtype=torch.bool)

    def backward() -> None:
        for _ in range(micro_steps):
            micro_step(parts, modules["policy"], rows, columns(flat, mask, needs)).backward()
            if held is not None:
                held.clear()

    def optimize() -> None:
        if train.max_grad_norm > 0:
            for name, module in modules.items():
                if name != "reference":
                    torch.nn.utils.clip_grad_norm_(module.parameters(), train.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()

    def step() -> None:
        backward()
        optimize()

    return StepParts(modules, optimizer, step, {"update": backward, "optimizer": optimize})


def scored(form: Form, which: Literal["policy", "reference", "critic"]) -> StepParts:
    """One pass without gradient over a micro-batch: old and reference log-probs, or the critic's values."""
    adapters_off = which == "reference" and form.train.lora is not None
    build = policy if which == "policy" or adapters_off else {"reference": reference, "critic": critic}[which]
    model, score = build(form), scorer(form, False)
    rows, keep = full_rows(form, False), form.train.max_completion

    @torch.no_grad()
    def run() -> None:
        if which == "critic":
            with form.autocast():
                model(rows.ids, rows.attention, keep)
            return
        with model.disable_adapter() if adapters_off else contextlib.nullcontext():
            score(model, rows.ids, rows.attention, keep, temperature=form.train.temperature, autocast=form.autocast)

    return StepParts({"policy": model}, [], run, {"pass": run})


def full_rows(form: Form, judged: bool) -> Rows:
    """A micro-batch in which every prompt and every completion has its full length."""
    rows, width = form.train.micro_batch, form.prompt + form.train.max_completion
    ids = torch.zeros((rows, width), dtype=torch.long)
    whole = Rows(ids, torch.ones_like(ids), form.prompt)
    if judged:
        longer = torch.zeros((rows, width + form.verdict), dtype=torch.long)
        at = torch.full((rows,), longer.shape[1] - 1 - form.prompt)
        attention = torch.ones_like(longer)
        whole.judged = JudgedRows(longer[:, form.prompt :], attention[:, form.prompt :], at, longer[:, 0])
        whole.longer, whole.seen = longer, attention
    return whole


def columns(flat: Tensor, mask: Tensor, needs) -> dict[str, Tensor | None]:
    """What comes from the roll-out, for `full_rows`: `flat` and `mask` (b, T) stand for every column."""
    return {
        "mask": mask,
        **dict.fromkeys(("weights", "advantages", "old_logps", "old_values", "returns", "kl_weights"), flat),
        "rewards": flat[:, 0],
        "prompt_values": flat[:, 0],
        "ref_logps": flat if needs.reference else None,
        "verdict_weights": flat[:, 0] if needs.verdict != "none" else None,
    }


def scored_tokens(form: Form, method: Method) -> int:
    """Tokens of a full completion that go through the head in an update."""
    length = form.train.max_completion
    return min(length, math.ceil(method.selected_tokens(length))) if method.needs().selected else length


def scorer(form: Form, entropy_gradient: bool, held: list | None = None, left_out: int = 0):
    """`repro.training.forward.score` with the head that the form asks for; see `update` for `held`.

    `left_out` tokens of a row do not go through the head; which ones they are makes no difference to a plan.
    """

    def score(model, ids, attention, keep, *, temperature, state_values="none", autocast, **_) -> Scores:
        with autocast():
            hidden = backbone(model)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state
            head = causal_lm(model).get_output_embeddings()
            if form.logits == "full":
                logps, entropy = full_logprob_head(
                    hidden, head, ids, keep, temperature, entropy_gradient, keep - left_out
                )
            else:
                logps, entropy = static_logprob_head(hidden, head, ids, keep, temperature, keep - left_out)
            values = project_state_values(model, hidden, keep, temperature, state_values)
        scores = Scores(logps, entropy, values, hidden)
        if held is not None:
            held[:] = [scores]
        return scores

    return score


@contextlib.contextmanager
def _default(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _adapted(model: nn.Module, adapters, dtype: torch.dtype) -> nn.Module:
    """The policy with adapters. PEFT moves every adapter to its layer's device, and fake parameters cannot be moved."""
    from peft import get_peft_model

    move = nn.Module.to
    nn.Module.to = lambda module, *args, **kwargs: module
    try:
        with _default(dtype):
            return get_peft_model(model, adapters, autocast_adapter_dtype=False)
    finally:
        nn.Module.to = move
