"""Predicted memory peak of one training step: the step's own code run on fake tensors, which have shapes and no data.

The number is the sum of the storages alive at the worst moment, as `torch.distributed._tools.mem_tracker.MemTracker`
counts them. Call it *predicted*.

Not covered: the allocator's rounding and fragmentation, workspaces of GPU libraries, memory inside a kernel, the batch
itself (created before the step), generation.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torch.optim import Optimizer


@dataclass
class StepParts:
    """What `build` returns. `step` does one whole optimizer update: forward, backward, clipping, optimizer, zero_grad.

    `modules` are named "policy", "reference", "critic"; only those that exist. `optimizer` may be a list of them.
    Under fake tensors nothing may read a computed value: no `.item()`, no boolean index, no branch on data. The
    optimizer's form counts: `foreach`, torch's default on CUDA, has temporaries of the size of the parameters,
    `fused` has none.
    """

    modules: dict[str, nn.Module]
    optimizer: Optimizer | list[Optimizer]
    step: Callable[[], object]
    phases: dict[str, Callable[[], object]] = field(default_factory=dict)
    """The step cut into pieces, in order, for `phase_peaks`; other code than a training step is a phase by itself."""


def training_peak(build: Callable[[], StepParts]) -> dict:
    """{"total": bytes, "components": {name: bytes}} of the second step, when the optimizer's state exists.

    `build` is called under a `FakeTensorMode` on device "cpu" and must create everything itself: models from their
    configs, inputs, optimizer. The components add up to the total: "parameters/<module>", "gradients/<module>",
    "optimizer/<module>" (its state, after the step), "buffers", "activations" (kept from the forward pass),
    "temporaries" (of the backward pass, and of the optimizer). Whatever two modules share counts for the first. The
    first call in a process pays some seconds of imports; 1.5B-parameter shapes take well under a minute.
    """
    with FakeTensorMode():
        parts = build()
        optimizers = parts.optimizer if isinstance(parts.optimizer, list) else [parts.optimizer]
        parts.step()
        tracker = _StepTracker(parts.modules, optimizers)
        with tracker:
            parts.step()
        return {"total": tracker.peak, "components": tracker.components(optimizers)}


def phase_peaks(build: Callable[[], StepParts]) -> dict[str, dict]:
    """{phase: {"total": bytes, "components", "flops"}} of the `phases` that `build` returns, in their second run.

    As `training_peak`, but each phase has its own peak, and operations are counted (`repro.cost.flops`) in the first
    run. Without an optimizer give an empty list.
    """
    from repro.cost.flops import counted

    with FakeTensorMode():
        parts = build()
        optimizers = parts.optimizer if isinstance(parts.optimizer, list) else [parts.optimizer]
        flops = {name: counted(phase) for name, phase in parts.phases.items()}
        tracker = _StepTracker(parts.modules, optimizers)
        found = {}
        with tracker:
            for name, phase in parts.phases.items():
                tracker.restart()
                phase()
                peak = {"total": tracker.peak, "components": tracker.components(optimizers)}
                found[name] = {**peak, "flops": flops[name]}
    return found


class _StepTracker(MemTracker):
    """MemTracker with a snapshot of one moment, the peak, instead of one for every call of every submodule.

    Differs from its base: a module may be called several times in a step (micro-batches, two passes of one model) and
    may be frozen, both of which the base refuses; statistics per submodule are not kept, which makes it several times
    faster.
    """

    def __init__(self, modules: dict[str, nn.Module], optimizers: list[Optimizer]):
        super().__init__()
        self._mod_tracker = _Passes()
        self.peak = 0
        self._kinds = dict.fromkeys(_MemRefType, 0)
        self._gradients: dict[str, int] = {}
        self._owned = _owned_parameters(modules)
        for module in modules.values():
            self._track_module_params_and_buffers(module, install_grad_hooks=False)
            self._follow_gradients(module)
        self.track_external(*optimizers)

    def restart(self) -> None:
        """Forget the peak so far: the next one counts from what is alive now."""
        self.peak = 0
        self._update_peak_stats(None)

    def _follow_gradients(self, module: nn.Module) -> None:
        def seen(gradient: torch.Tensor) -> None:
            self._update_and_maybe_create_winfos(gradient, _MemRefType.GRAD)

        for parameter in module.parameters():
            if parameter.requires_grad:  # the base stumbles over frozen ones
                whole = parameter.register_post_accumulate_grad_hook(lambda p: seen(p.grad))
                self._param_to_grad_hook_handles[parameter] = (parameter.register_hook(seen), whole)

    def _pre_fw_hook(self, module: nn.Module, inputs) -> None:
        # A forward pass inside a backward pass recomputes activations: those are not temporaries of the backward pass.
        if self._mod_tracker.is_bw and self._ac_mod is None:
            self._ac_mod, self._in_ac = weakref.ref(module), True

    def _post_fw_hook(self, module: nn.Module, inputs, outputs) -> None:
        if self._ac_mod is not None and self._ac_mod() is module:
            self._ac_mod, self._in_ac = None, False

    def _pre_bw_hook(self, module: nn.Module, args) -> None:
        pass

    def _post_bw_hook(self, module: nn.Module, args) -> None:
        pass

    def _update_peak_stats(self, peak_state) -> None:
        now = self._curr_mem_snap.get(torch.device("cpu"), {})
        if now.get("Total", 0) > self.peak:
            self.peak = now["Total"]
            self._kinds = {kind: now[kind] for kind in _MemRefType}
            self._gradients = {
                name: sum(p.grad.untyped_storage().nbytes() for p in own if p.grad is not None)
                for name, own in self._owned.items()
            }

    def components(self, optimizers: list[Optimizer]) -> dict[str, int]:
        kinds = self._kinds
        parameters = {name: sum(p.untyped_storage().nbytes() for p in own) for name, own in self._owned.items()}
        states = {name: sum(_state_bytes(p, optimizers) for p in own) for name, own in self._owned.items()}
        # What the base calls optimizer or gradient but is no state and no `.grad` lives only for the operation at hand.
        passing = kinds[_MemRefType.OPT] - sum(states.values())
        passing += kinds[_MemRefType.GRAD] - sum(self._gradients.values())
        # Parameters of no named module (none in the suite's own steps) stay visible among the buffers.
        unnamed = kinds[_MemRefType.PARAM] - sum(parameters.values())
        return {
            **{f"parameters/{name}": size for name, size in parameters.items()},
            **{f"gradients/{name}": size for name, size in self._gradients.items()},
            **{f"optimizer/{name}": size for name, size in states.items()},
            "buffers": kinds[_MemRefType.BUFFER] + unnamed,
            "activations": kinds[_MemRefType.ACT] + kinds[_MemRefType.OTH],
            "temporaries": kinds[_MemRefType.TEMP] + passing,
        }


class _Passes:
    """What is needed of torch's ModTracker: hooks around forward passes, and whether this is a backward pass.

    ModTracker also hangs hooks on the inputs of modules. On a leaf, such as embeddings made to require a gradient for
    checkpointing with adapters, that is a cycle that no collector finds: activations would seem to stay for ever.
    """

    def register_user_hooks(self, pre_fw_hook, post_fw_hook, pre_bw_hook, post_bw_hook) -> None:
        self._hooks = (pre_fw_hook, post_fw_hook)

    def clear_user_hooks(self) -> None:
        self._hooks = ()

    @property
    def is_bw(self) -> bool:
        return torch._C._current_graph_task_id() != -1

    def __enter__(self) -> _Passes:
        before, after = self._hooks
        self._handles = (
            nn.modules.module.register_module_forward_pre_hook(before),
            nn.modules.module.register_module_forward_hook(after, always_call=True),
        )
        return self

    def __exit__(self, *error) -> None:
        for handle in self._handles:
            handle.remove()


def _owned_parameters(modules: dict[str, nn.Module]) -> dict[str, list[nn.Parameter]]:
    """Each module's parameters, one per storage; what two modules share goes to the first."""
    owned: dict[str, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for name, module in modules.items():
        owned[name] = []
        for parameter in module.parameters():
            storage = parameter.untyped_storage()
            if storage._cdata not in seen:
                seen.add(storage._cdata)
                owned[name].append(parameter)
    return owned


def _state_bytes(parameter: nn.Parameter, optimizers: list[Optimizer]) -> int:
    states = (optimizer.state.get(parameter, {}) for optimizer in optimizers)
    tensors = (value for state in states for value in state.values() if isinstance(value, torch.Tensor))
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
