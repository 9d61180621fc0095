"""The one trainer: a subclass of TRL's `GRPOTrainer` on which every method runs.

What differs from TRL's trainer:
1. The suite renders and tokenises prompts; TRL's templating is never used.
2. Prompt order and sampling are functions of the seed (`prompt_order`, `repro.sampling`), not of running generators.
3. Rewards and whole generation batches reach the method; rows are never shuffled, so pairs and groups stay together.
4. The loss is the method's: a weighted sum whose normalisers were fixed before the split into micro-batches.
5. A critic or a judge, when the method needs one, trains beside the policy in the same optimizer, clipped apart.
6. With verification (RL^V) a verdict follows each row's end; see `verdicts`.
7. Checkpoints are taken on generation boundaries only, and count only with their manifest (`checkpoints`).
TRL's overridden methods are private; `tests/training/test_trl_contract.py` fails when they change.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset
from torch import Tensor
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import GRPOTrainer

from repro.cost.flops import ForwardFlops
from repro.errors import InputError, TrialError
from repro.methods.base import Method, MicroBatch
from repro.sampling.uniforms import STREAMS
from repro.store.config import TrainSettings
from repro.tasks import verdict
from repro.training import arguments
from repro.training.boundaries import Boundaries
from repro.training.critic import Critic, recompute
from repro.training.evaluate import end_ids, stop_ids
from repro.training.forward import score
from repro.training.health import Health
from repro.training.lora import backward_costs, peft_config
from repro.training.microstep import Parts, Rows, chosen_tokens, micro_step
from repro.training.prompt_order import PromptOrder
from repro.training.rollout import roll_out
from repro.training.verdicts import Judge, JudgedRows, append_verdict

# What a micro-batch carries over from the roll-out; a method that does not use a column does not have it.
COLUMNS = (
    "mask", "weights", "advantages", "rewards", "old_logps", "ref_logps", "old_values", "returns", "kl_weights",
    "verdict_weights", "prompt_values",
)  # fmt: skip


class SuiteTrainer(GRPOTrainer):
    """Train one trial. `on_batch(trainer, step)` is called after the last update of each generation batch."""

    def __init__(
        self,
        base: Path,
        method: Method,
        task,
        prompts: list,
        prompt_ids: list[list[int]],
        tokenizer,
        settings: TrainSettings,
        seed: int,
        folder: Path,
        timer,
        on_batch: Callable[[SuiteTrainer, int], None] | None = None,
        prompt_values: Tensor | None = None,
        kept: list[int] | None = None,
        forward_flops: ForwardFlops | None = None,
    ):
        self.method, self.task, self.prompts, self.prompt_ids = method, task, prompts, prompt_ids
        self.settings, self.seed, self.timer = settings, seed, timer
        self.needs, self.kept = method.needs(), kept
        self.levels = sorted({prompt.level for prompt in prompts})
        self.prompt_values = None
        if self.needs.prompt_samples:
            self.prompt_values = _whole(prompt_values, len(prompts), method.name)
        group_size = method.config.n
        args = arguments.build(settings, self.needs, group_size, seed, folder, stop_ids(tokenizer, task.template))
        super().__init__(
            model=str(base),
            reward_funcs=[_graded_elsewhere],
            args=args,
            # TRL wants a column named "prompt"; ours is the row number, and `prompt_ids` holds the tokens.
            train_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(len(prompts))]}),
            processing_class=tokenizer,
            peft_config=peft_config(settings.lora, base),
            callbacks=[Boundaries(self, on_batch)],
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.pad_id = self._tokenizer.pad_token_id
        self.eos_token_ids = end_ids(tokenizer, self.accelerator.unwrap_model(self.model), task.template)
        self.forward_flops = forward_flops or ForwardFlops.of(self.accelerator.unwrap_model(self.model).config)
        self._backward = backward_costs(settings, self.accelerator.unwrap_model(self.model).config)
        self.health = Health()
        self.critic: Critic | None = None
        if self.needs.critic:
            self.critic = Critic.from_base(base).to(self.accelerator.device)
        self.verdict: verdict.VerdictTokens | None = None
        self.judge: Judge | None = None
        if self.needs.verdict != "none":
            self.verdict = verdict.tokens(verdict.get(task.template.name), tokenizer, self.eos_token_ids)
        if self.needs.verdict in ("head", "separate"):
            self.judge = Judge.from_base(self.needs.verdict, base).to(self.accelerator.device)
        if settings.gradient_checkpointing:
            for network in self.companions.values():
                recompute(network)

    def _send_telemetry(self):
        """TRL reports usage home by default; this suite never does."""

    # -- rows and models -------------------------------------------------------------------------------------------

    @property
    def companions(self) -> dict[str, torch.nn.Module]:
        """Networks trained beside the policy, by the name under which they are saved."""
        return {name: net for name, net in (("critic", self.critic), ("judge", self.judge)) if net is not None}

    @property
    def updates_per_batch(self) -> int:
        return self.needs.epochs * self.needs.minibatches

    def _get_train_sampler(self, dataset=None) -> PromptOrder:
        return PromptOrder(
            seed=self.seed,
            prompts=len(self.prompts) if self.kept is None else len(self.kept),
            prompts_per_batch=self.settings.completions_per_step // self.method.rows_per_prompt,
            group_size=self.method.rows_per_prompt,
            batches=self.settings.steps,
            repeats=self.num_iterations * self.args.steps_per_generation,
            rows=self.kept,
        )

    @contextlib.contextmanager
    def generation_model(self):
        """The policy, unwrapped, in evaluation mode and without gradient checkpointing."""
        from trl.models import unwrap_model_for_generation

        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            self._dist.summon_full_params(self.model_wrapped, recurse=False),
        ):
            training = model.training
            model.eval()
            try:
                yield model
            finally:
                model.train(training)

    @contextlib.contextmanager
    def reference_model(self):
        """The frozen base: a second copy, or the policy with its adapters disabled under LoRA."""
        if self.ref_model is not None:
            yield self.ref_model
        else:
            with self.accelerator.unwrap_model(self.model).disable_adapter():
                yield self.model

    def gather_rows(self, columns: dict[str, Tensor | None]) -> dict[str, Tensor]:
        """Rows of all processes, in global order, padded to one width."""
        present = {name: value for name, value in columns.items() if value is not None}
        if self.accelerator.num_processes == 1:
            return present
        gathered = {}
        for name, value in present.items():
            # Padding turns bool into int64 on the processes that need it, and only there: the collective would break.
            whole = value.long() if value.dtype == torch.bool else value
            if value.dim() > 1:
                whole = self.accelerator.pad_across_processes(whole.contiguous(), dim=1)
            gathered[name] = self.accelerator.gather(whole).to(value.dtype)
        return gathered

    @property
    def sum_over_processes(self) -> Callable[[list[float]], list[float]] | None:
        """Adds up lists of numbers over the processes; None if there is only one."""
        if self.accelerator.num_processes == 1:
            return None
        device = self.accelerator.device
        return lambda numbers: self.accelerator.reduce(
            torch.tensor(numbers, dtype=torch.float64, device=device)
        ).tolist()

    def local_rows(self, count: int) -> slice:
        start = self.accelerator.process_index * count
        return slice(start, start + count)

    def method_generator(self, step: int, stream: str = "method") -> torch.Generator:
        """A generator for methods that draw: a function of the seed and the generation batch."""
        mixed = (self.seed * 1_000_003 + step) * 97 + STREAMS[stream]
        return torch.Generator().manual_seed(mixed % (1 << 63))

    # -- training --------------------------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch):
        every = self.args.steps_per_generation * self.num_iterations
        if self._step % every == 0 or self._buffered_inputs is None:
            batch = self.state.global_step // self.updates_per_batch
            rows = [int(example["prompt"]) for example in generation_batch]
            self._buffered_inputs, figures = roll_out(self, rows, batch)
            self.health.start(batch + 1, figures)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def training_step(self, model, inputs, num_items_in_batch=None):
        # Roll-out phases nest inside and pause this one, so that "update" is forward plus backward alone.
        with self.timer.phase("update") as self._update_cost:
            return super().training_step(model, inputs, num_items_in_batch)

    def _compute_loss(self, model, inputs):
        completions, mask = inputs["completion_ids"], inputs["mask"]
        judged = None
        if self.verdict is not None:
            judged = append_verdict(completions, mask, inputs["rewards"], self.verdict, self.eos_token_ids)
        self._count_update(inputs, judged)
        rows = Rows.of(inputs["prompt_ids"], inputs["prompt_mask"], completions, mask, judged)
        autocast = self.accelerator.autocast
        parts = Parts(
            self.method, self.needs, score, autocast, self.temperature, self.critic, self.judge, self._loss_seen
        )
        # TRL declares its losses scaled for accumulation, so nobody divides this sum by the number of micro-steps.
        return micro_step(parts, model, rows, {name: inputs.get(name) for name in COLUMNS})

    def _count_update(self, inputs: dict[str, Tensor], judged: JudgedRows | None) -> None:
        """Tokens and FLOPs of one micro-step; what is computed again in the backward pass does not count."""
        prompts, tokens, flops = inputs["prompt_mask"].sum(1), inputs["mask"].sum(1), self.forward_flops
        scored = chosen_tokens(inputs).sum(1) if self.needs.selected else tokens
        lengths = prompts + tokens
        self._update_cost.tokens += int(tokens.sum())
        passes = []
        if self.critic is not None:
            passes.append((lengths, torch.zeros_like(scored), {}))
        if self.needs.verdict == "separate":
            passes.append((prompts + judged.attention.sum(1), torch.ones_like(scored), {}))
        elif judged is not None:  # the policy's own pass is longer by the verdict turn
            lengths, scored = prompts + judged.attention.sum(1), scored + 1
        for seen, at_head, frozen in [*passes, (lengths, scored, self._backward)]:
            self._update_cost.flops += flops.forward(seen, at_head) + flops.backward(seen, at_head, **frozen)

    def _loss_seen(self, loss: Tensor, metrics: dict, micro: MicroBatch) -> None:
        value, step = float(loss.detach()), self.state.global_step // self.updates_per_batch + 1
        if not math.isfinite(value):
            raise TrialError(f"the loss is {value} in step {step}; lower the learning rate", step=step)
        self.health.add(metrics, micro, loss)

    def create_optimizer(self, model=None):
        optimizer = super().create_optimizer(model)
        rates = {"critic": self.settings.critic_learning_rate, "judge": self.settings.learning_rate}
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for name, network in self.companions.items():
            parameters = list(network.parameters())
            if id(parameters[0]) not in known:
                optimizer.add_param_group(
                    {"params": parameters, "lr": rates[name], "weight_decay": self.settings.weight_decay}
                )
        return optimizer

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        self.health.norm(float(norm))
        return norm

    def finish_companion_gradients(self) -> None:
        """Average the gradients of critic and judge over the processes and clip each, apart from the policy's."""
        for network in self.companions.values():
            parameters = list(network.parameters())
            if self.accelerator.num_processes > 1:
                for parameter in parameters:
                    torch.distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.accelerator.num_processes
            if self.args.max_grad_norm > 0:
                torch.nn.utils.clip_grad_norm_(parameters, self.args.max_grad_norm)

    def floating_point_ops(self, inputs):
        """Counted elsewhere; transformers' estimate expects token tensors and would only warn here."""
        return 0

    def _save_checkpoint(self, model, trial):
        # TRL writes a model card first; a resumable checkpoint does not need one.
        Trainer._save_checkpoint(self, model, trial)


def _whole(values: Tensor | None, prompts: int, name: str) -> Tensor:
    """The V* of every prompt, (P,). Raises InputError if they are missing or not one number per prompt."""
    if values is None or values.shape != (prompts,) or not bool(torch.isfinite(values).all()):
        raise InputError(
            f"method {name} needs V* of each of the {prompts} training prompts: run it as a trial, whose stage 1 "
            "estimates them"
        )
    return values


def _graded_elsewhere(**columns):
    # TRL insists on a reward function; rows are graded in `sampled.complete`, on the suite's own ids and prompts.
    raise RuntimeError("TRL's own reward path was called: its private interface has changed")
