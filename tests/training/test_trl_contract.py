"""The private interface of TRL and transformers on which `SuiteTrainer` stands. It fails before a training goes wrong.

Signatures are compared as parameter names; behaviour that no signature shows is compared as a piece of the source.
When one of these fails after a change of pins: read the named method in the new version, adapt
`repro/training/trainer.py` and `arguments.py`, run `tests/training`, and only then change this file.
"""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import pytest
import transformers
import trl
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.distributed import DistributedBackend
from trl.models import unwrap_model_for_generation
from trl.trainer.base_trainer import _BaseTrainer
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

from repro.training.arguments import SuiteConfig
from repro.training.trainer import SuiteTrainer

PINS = {"trl": "1.16.0", "transformers": "5.17.0"}
ADVICE = "the private interface has changed: adapt repro/training (see the top of this file)"

SIGNATURES = {
    # overridden by SuiteTrainer
    (GRPOTrainer, "_prepare_inputs"): ["self", "generation_batch"],
    (GRPOTrainer, "_compute_loss"): ["self", "model", "inputs"],
    (GRPOTrainer, "_get_train_sampler"): ["self", "dataset"],
    (GRPOTrainer, "training_step"): ["self", "model", "inputs", "num_items_in_batch"],
    (GRPOTrainer, "_save_checkpoint"): ["self", "model", "trial"],
    (_BaseTrainer, "_send_telemetry"): ["self"],
    (Trainer, "create_optimizer"): ["self", "model"],
    (Trainer, "_clip_grad_norm"): ["self", "model"],
    (Trainer, "floating_point_ops"): ["self", "inputs"],
    # called by it
    (Trainer, "_save_checkpoint"): ["self", "model", "trial"],
    (GRPOTrainer, "_generate_single_turn"): [
        "self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images",
    ],
    (DistributedBackend, "summon_full_params"): ["self", "module", "kwargs"],
}  # fmt: skip

# Pieces of the source, spaces ignored: what would silently train something else if it changed.
SOURCES = [
    (GRPOTrainer.__init__, "self._step = 0", "the roll-out is due when _step is a multiple of the micro-steps"),
    (GRPOTrainer.__init__, "self._buffered_inputs = None", "no batch is buffered at the start or after a resume"),
    (GRPOTrainer.__init__, 'outputs=("log_probs", "entropy")', "the policy's fused head returns entropies"),
    (GRPOTrainer.__init__, "if self.beta == 0.0:", "beta 0 loads no reference model"),
    (GRPOTrainer.__init__, "elif is_peft_model(model):", "with adapters no second reference model is loaded"),
    (GRPOTrainer.__init__, "self._tokenizer = processing_class", "the tokenizer is kept as _tokenizer"),
    (GRPOTrainer.__init__, "self.eos_token_ids = eos_token_ids", "the end tokens are known"),
    (GRPOTrainer.get_train_dataloader, "sampler_fn=self._get_train_sampler", "our sampler decides the prompts"),
    (
        GRPOTrainer.get_train_dataloader,
        "batch_size=self._train_batch_size * self.args.steps_per_generation",
        "one item of the loader is a whole generation batch",
    ),
    (
        GRPOTrainer._prepare_inputs,
        "generate_every = self.args.steps_per_generation * self.num_iterations",
        "our override rolls out as often",
    ),
    (
        GRPOTrainer._prepare_inputs,
        "self._buffered_inputs[self._step % self.args.steps_per_generation]",
        "our override hands out the same slice",
    ),
    (GRPOTrainer.training_step, "self._step += 1", "_step counts micro-steps"),
    (GRPOTrainer.compute_loss, "return self._compute_loss(model, inputs)", "our loss is the one that is used"),
    (GRPOTrainer._generate_single_turn, "return completion_ids, logprobs", "vLLM gives ids and log-probs per row"),
    (GRPOTrainer._generate_single_turn, "prompts=prompt_ids", "vLLM receives our token ids"),
    (Trainer.training_step, "inputs = self._prepare_inputs(inputs)", "the roll-out happens inside a training step"),
    (Trainer.create_optimizer, '"weight_decay": 0.0', "two parameter groups; the critic's is the third"),
    (
        Trainer._clip_grad_norm,
        "clip_grad_norm_(model.parameters(), self.args.max_grad_norm)",
        "the policy alone is clipped",
    ),
]


def squeezed(source: str) -> str:
    return "".join(source.split())


@pytest.mark.parametrize("package", PINS)
def test_installed_versions_are_the_tested_ones(package):
    found = {"trl": trl, "transformers": transformers}[package].__version__
    assert found == PINS[package], f"{package} {found} is installed, {PINS[package]} is tested: {ADVICE}"


def test_the_package_pins_them_exactly():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for package, pin in PINS.items():
        assert f"{package}=={pin}" in project["dependencies"]


@pytest.mark.parametrize("owner,name", SIGNATURES, ids=lambda part: getattr(part, "__name__", part))
def test_signatures(owner, name):
    found = list(inspect.signature(getattr(owner, name)).parameters)
    assert found == SIGNATURES[owner, name], f"{owner.__name__}.{name}{tuple(found)}: {ADVICE}"


@pytest.mark.parametrize("function,piece,meaning", SOURCES, ids=[meaning for *_, meaning in SOURCES])
def test_sources(function, piece, meaning):
    source = inspect.getsource(inspect.unwrap(function))
    assert squeezed(piece) in squeezed(source), (
        f"{function.__qualname__} no longer says {piece!r} ({meaning}): {ADVICE}"
    )


def test_signatures_of_functions():
    head = list(inspect.signature(add_fused_lm_head).parameters)
    assert head == ["model", "temperature", "cast_lm_head_to_fp32", "outputs"], ADVICE
    unwrap = inspect.signature(unwrap_model_for_generation).parameters
    assert list(unwrap)[:2] == ["model", "accelerator"] and "gradient_checkpointing_kwargs" in unwrap, ADVICE
    assert {"log_probs", "entropy"} <= set(FusedCausalLMOutput.__dataclass_fields__), ADVICE


def test_losses_are_not_divided_by_the_number_of_micro_steps():
    assert GRPOTrainer.loss_is_scaled_for_ga is True, ADVICE
    assert "model_accepts_loss_kwargs = False" in inspect.getsource(_BaseTrainer.__init__), ADVICE


def test_order_of_the_callbacks_around_an_update():
    """Health and optimizer phase rely on: clip, pre-optimizer, step, on-optimizer-step, zero, global step, step-end."""
    loop = squeezed(inspect.getsource(Trainer))
    steps = [
        "grad_norm=self._clip_grad_norm(model)", "self.callback_handler.on_pre_optimizer_step(",
        "self.optimizer.step()", "self.callback_handler.on_optimizer_step(", "model.zero_grad()",
        "self.state.global_step+=1", "self.callback_handler.on_step_end(",
    ]  # fmt: skip
    start = loop.index("grad_norm=self._clip_grad_norm(model)")
    found = [loop.find(step, start) for step in steps]
    assert min(found) >= 0 and found == sorted(found), f"{dict(zip(steps, found, strict=True))}: {ADVICE}"


def test_one_completion_per_prompt_is_refused_by_trl_alone(tmp_path):
    """If TRL learns to accept it, `SuiteConfig` can go."""
    options = {
        "output_dir": str(tmp_path), "per_device_train_batch_size": 4, "steps_per_generation": 2, "num_generations": 1,
        "use_cpu": True, "report_to": "none", "bf16": False,
    }  # fmt: skip
    with pytest.raises(ValueError, match="at least 2 generations"):
        GRPOConfig(**options)
    assert SuiteConfig(**options).num_generations == 1


@pytest.mark.parametrize("name", [name for owner, name in SIGNATURES if name in vars(SuiteTrainer)])
def test_overrides_still_override_something(name):
    """A private method that TRL renamed would leave our override uncalled, and TRL's own code in charge."""
    assert any(name in vars(parent) for parent in SuiteTrainer.__mro__[1:]), f"nothing calls {name}: {ADVICE}"
    theirs = inspect.signature(getattr(GRPOTrainer, name)).parameters
    ours = inspect.signature(getattr(SuiteTrainer, name)).parameters
    assert list(ours) == list(theirs), f"{name}{tuple(theirs)}: {ADVICE}"


def test_every_private_override_is_in_the_contract():
    inherited = {name for parent in SuiteTrainer.__mro__[1:] for name in vars(parent)}
    overridden = {
        name for name, value in vars(SuiteTrainer).items() if inspect.isfunction(value) and name in inherited
    } - {"__init__"}
    assert overridden == {name for _, name in SIGNATURES if name in vars(SuiteTrainer)}
