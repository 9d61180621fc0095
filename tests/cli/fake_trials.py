"""Records of trials that never ran, for tests of the command line. Nothing here is measured."""

from __future__ import annotations

from repro.store.config import TrialConfig
from repro.store.key import content_hash
from repro.store.provenance import now
from repro.store.records import find, write_record
from repro.store.workspace import Workspace

GIB = 1 << 30


def key_of(config: TrialConfig) -> str:
    content = config.to_json()
    for name in ("experiment", "arm", "variant"):
        del content[name]
    return content_hash(content)


def record_of(config: TrialConfig, accuracy: float = 0.5, status: str = "done", **more) -> dict:
    right = round(accuracy * 8)
    samples = ["c" * right + "w" * (8 - right)] * 4
    metrics = {"chain/accuracy": right / 8, "chain/greedy": 0.5, "chain/truncated": 0.0, "chain/unparsed": 0.0}
    metrics |= {f"chain/pass@{k}": 1.0 if right else 0.0 for k in (2, 4, 8)} | {"chain/pass@1": right / 8}
    done = status == "done"
    return {
        "schema": 1, "kind": "trial", "key": key_of(config), "id": config.id, "experiment": config.experiment,
        "scale": config.scale, "variant": config.variant, "arm": config.arm, "seed": config.seed, "status": status,
        "error": None if done else {"message": "loss is NaN", "step": 3}, "config": config.to_json(),
        "hashes": {"base": "b", "prompts": {"test": "t"}, "template": "x"},
        "data": [], "metrics": metrics if done else {},
        "outcomes": {"chain": {"questions": list("1234"), "levels": list("2234"), "samples": samples, "greedy": "ccww"}}
        if done else {},
        "curve": [], "health": [], "samples": [],
        "cost": {"phases": {}, "train_seconds": 60.0, "evaluate_seconds": 5.0, "completions": 7680, "prompts": 7680,
                 "updates": 60, "predicted_peak": None, "host_rss": 0, "resumed": 0},
        "provenance": {"started": now(), "finished": now(), "command": "repro run", "dirty": False}, "base": {},
        **more,
    }  # fmt: skip


def timing_of(configs: dict[str, TrialConfig]) -> dict:
    """A timing record without rounds of these arms' configs."""
    first = next(iter(configs.values()))
    rounds = {arm: {"rounds": []} for arm in configs}
    return record_of(first) | {
        "kind": "timing", "arm": "timing", "id": f"{first.experiment_id}/timing/seed{first.seed}",
        "config": {"arms": {arm: config.to_json() for arm, config in configs.items()}, "warmup": 1, "rounds": 0},
        "hashes": {"arms": {arm: key_of(config) for arm, config in configs.items()}},
        "timing": {"prompts_equal": rounds, "completions_equal": rounds}, "metrics": {}, "outcomes": {},
    }  # fmt: skip


def made_up(config: TrialConfig, total: int = 10 * GIB, **more) -> dict:
    """A row in the form of `repro.training.planner.plan_trial`."""
    components = {
        "parameters/policy": 4 * GIB, "gradients/policy": GIB, "optimizer/policy": GIB, "parameters/critic": GIB,
        "optimizer/critic": GIB, "parameters/reference": GIB, "buffers": 1, "activations": total - 9 * GIB - 3,
        "temporaries": 2,
    }  # fmt: skip
    phase = {"peak": {"total": total, "components": components}, "flops": 5, "tokens": 7, "calls": 1}
    return {
        "arm": config.arm, "method": config.method["name"], "model": config.base.get("id", "tiny"), "parameters": 123,
        "phases": {"update": phase}, "peak": {**phase["peak"], "phase": "update"}, "kv_cache": GIB, "logits": 3,
        "step": {"flops": 10**15, "tokens": 1000, "completions": 4, "prompts": 4}, "stage1": None,
        "run": {"steps": 2, "flops": 2 * 10**15, "tokens": 2000, "completions": 8},
        "settings": {"micro_batch": config.train.micro_batch}, "left_out": ["The engine's pool."], **more,
    }  # fmt: skip


class FakeLaunch:
    """Stands in for `repro.launch.local.run_trials`: finishes or fails trials at once and remembers which it ran."""

    def __init__(self, failing=(), accuracy=0.5, message="loss is NaN", kind="trial", interrupt_after=None):
        self.failing, self.accuracy, self.message, self.kind = failing, accuracy, message, kind
        self.interrupt_after = interrupt_after
        self.ran: list[str] = []
        self.jobs = None

    def __call__(self, configs, root, jobs, data_dir, on_event, **_):
        workspace, self.jobs, statuses = Workspace(root), jobs, {}
        for config in configs:
            if self.interrupt_after is not None and len(self.ran) >= self.interrupt_after:
                raise KeyboardInterrupt
            known = find(workspace, key_of(config))
            if known and known["status"] == "done":
                status = "cached"
                on_event({"event": "cached", "id": config.id, "accuracy": 0.5})
            else:
                self.ran.append(config.id)
                on_event({"event": "started", "id": config.id})
                on_event({"event": "step", "id": config.id, "step": 1, "total": config.train.steps, "reward": 0.5})
                status = "failed" if config.arm in self.failing else "done"
                if status == "failed":
                    if self.kind == "trial":
                        write_record(workspace, record_of(config, status="failed"))
                    on_event(
                        {"event": "failed", "id": config.id, "kind": self.kind, "message": self.message, "step": 3}
                    )
                else:
                    write_record(workspace, record_of(config, self.accuracy))
                    on_event({"event": "done", "id": config.id, "accuracy": self.accuracy, "seconds": 3.0})
            statuses[config.id] = status
        return statuses
