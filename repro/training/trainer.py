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

from repro.errors import TrialError
from repro.methods.base import Method, MicroBatch
from repro.sampling.uniforms import STREAMS
from repro.store.config import TrainSettings
from repro.tasks import verdict
from repro.training import arguments
from repro.training.boundaries import Boundaries
from repro.training.critic import Critic
from repro.training.evaluate import end_ids, stop_ids
from repro.training.forward import score
from repro.training.health import Health
from repro.training.lora import peft_config
from repro.training.prompt_order import PromptOrder
from repro.training.rollout import roll_out
from repro.training.verdicts import Judge, append_verdict, hidden_before, verdict_logps

# What a micro-batch carries over from the roll-out; a method that does not use a column does not have it.
COLUMNS = (
    "mask", "weights", "advantages", "rewards", "old_logps", "ref_logps", "old_values", "returns", "kl_weights",
    "verdict_weights",
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
    ):
        self.method, self.task, self.prompts, self.prompt_ids = method, task, prompts, prompt_ids
        self.settings, self.seed, self.timer = settings, seed, timer
        self.needs = method.needs()
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
            prompts=len(self.prompts),
            prompts_per_batch=self.settings.completions_per_step // self.num_generations,
            group_size=self.num_generations,
            batches=self.settings.steps,
            repeats=self.num_iterations * self.args.steps_per_generation,
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

    def method_generator(self, step: int) -> torch.Generator:
        """A generator for methods that draw: a function of the seed and the generation batch."""
        mixed = (self.seed * 1_000_003 + step) * 97 + STREAMS["method"]
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
        prompts, keep = inputs["prompt_ids"], inputs["completion_ids"].shape[1]
        self._update_cost.tokens += int(inputs["mask"].sum())
        given = {name: inputs.get(name) for name in COLUMNS}
        ids = torch.cat([prompts, inputs["completion_ids"]], dim=1)
        attention = torch.cat([inputs["prompt_mask"], inputs["mask"].long()], dim=1)
        if self.critic is not None:
            self._train_critic(ids, attention, keep, given)
        judged = None
        if self.verdict is not None:
            judged = append_verdict(
                inputs["completion_ids"], inputs["mask"], inputs["rewards"], self.verdict, self.eos_token_ids
            )
            longer = torch.cat([prompts, judged.completion_ids], dim=1)
            seen = torch.cat([inputs["prompt_mask"], judged.attention], dim=1)
            column = prompts.shape[1] + judged.at
            if self.needs.verdict == "separate":
                self._train_judge(longer, seen, column, judged.verdict, given)
                judged = None  # the policy itself sees no verdict
            else:
                ids, attention = longer, seen
        scores = score(
            model,
            ids,
            attention,
            ids.shape[1] - prompts.shape[1],
            temperature=self.temperature,
            state_values=self.needs.state_values,
            entropy=True,
            scored=None if judged is None else judged.scored(inputs["mask"]),
            hidden=judged is not None and (self.judge is not None or self.temperature != 1.0),
            autocast=self.accelerator.autocast,
        )
        said = None
        if judged is not None and self.judge is not None:
            said = self.judge.head_logps(hidden_before(scores.hidden, column), inputs["rewards"])
        elif judged is not None and self.temperature != 1.0:
            # The fused head divides by the sampling temperature; a verdict is read, and so trained, at temperature 1.
            said = verdict_logps(model, hidden_before(scores.hidden, column), judged.verdict)
        elif judged is not None:
            said = scores.logps.gather(1, judged.at.unsqueeze(1)).squeeze(1)
        micro = MicroBatch(
            logps=scores.logps[:, :keep],
            state_values=None if scores.state_values is None else scores.state_values[:, :keep],
            entropy=None if scores.entropy is None else scores.entropy[:, :keep],
            verdict_logps=said,
            **given,
        )
        loss, metrics = self.method.loss(micro)
        self._require_finite(loss)
        self.health.add(metrics, micro, loss)
        # TRL declares its losses scaled for accumulation, so nobody divides this sum by the number of micro-steps.
        return loss

    def _train_critic(self, ids: Tensor, attention: Tensor, keep: int, given: dict) -> None:
        # Backward at once: the critic's activations are gone before the policy's exist, as with separate updates.
        with self.accelerator.autocast():
            values = self.critic(ids, attention, keep)
        micro = MicroBatch(logps=None, values=values, **given)
        loss, metrics = self.method.critic_loss(micro)
        self._require_finite(loss)
        loss.backward()
        self.health.add(metrics, micro, loss.detach())

    def _train_judge(self, ids: Tensor, attention: Tensor, column: Tensor, verdict: Tensor, given: dict) -> None:
        with self.accelerator.autocast():
            said = self.judge.model_logps(ids, attention, column, verdict)
        micro = MicroBatch(logps=None, verdict_logps=said, **given)
        loss, metrics = self.method.verdict_loss(micro)
        self._require_finite(loss)
        loss.backward()
        self.health.add(metrics, micro, loss.detach())

    def _require_finite(self, loss: Tensor) -> None:
        value, step = float(loss.detach()), self.state.global_step // self.updates_per_batch + 1
        if not math.isfinite(value):
            raise TrialError(f"the loss is {value} in step {step}; lower the learning rate", step=step)

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


def _graded_elsewhere(**columns):
    # TRL insists on a reward function; rows are graded in `rollout.sample`, on the suite's own ids and prompts.
    raise RuntimeError("TRL's own reward path was called: its private interface has changed")
