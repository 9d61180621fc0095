"""What happens at the end of updates and of generation batches: health row, the trial's own work, optimizer's phase."""

from __future__ import annotations

from transformers.trainer_callback import TrainerCallback


class Boundaries(TrainerCallback):
    """`trainer` is the SuiteTrainer; `on_batch(trainer, step)` makes curve points and checkpoints."""

    def __init__(self, trainer, on_batch):
        self.trainer, self.on_batch = trainer, on_batch
        self._phase = None

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.health.updates += 1
        self.trainer.finish_companion_gradients()
        self._phase = self.trainer.timer.phase("optimizer")
        self._phase.__enter__()

    def on_optimizer_step(self, args, state, control, **kwargs):
        self._phase.__exit__(None, None, None)
        for network in self.trainer.companions.values():
            network.zero_grad()

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.trainer.updates_per_batch == 0:
            self.trainer.health.finish(self.trainer.sum_over_processes)
            if self.on_batch is not None:
                self.on_batch(self.trainer, state.global_step // self.trainer.updates_per_batch)
