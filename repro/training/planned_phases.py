"""The phases of one trial as the planner sees them: what each allocates, computes and samples, and how often it runs.

A phase's peak is what is loaded then plus what the phase allocates at its worst moment. What a phase allocates depends
on little (shapes, rows, lengths, precision), so it is kept by its content and shared between arms.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch import nn

from repro import tasks
from repro.cost import shapes
from repro.cost.flops import ForwardFlops
from repro.cost.peak import phase_peaks
from repro.errors import InputError
from repro.methods.catalogue import create
from repro.plugins import ensure
from repro.store.config import TrialConfig
from repro.store.files import write_whole
from repro.tasks import verdict
from repro.tasks.tokenizer import SPECIALS
from repro.training import planned_step
from repro.training.arguments import split_plan
from repro.training.micro import Recipe
from repro.training.planned_generation import sampling_cost

# Part of the cache's identity: raise it when a phase's cost changes.
SEMANTICS = 2
STEP_TOKENS = 32  # assumed length of a reasoning step, for methods that sample from every step
# Rows of the training sets; what is not held out for dev is trained on.
_TRAIN_ROWS = {"svamp": 700, "gsm8k": 7473, "math": 7500, "dapo17k": 17_398}


class Phases:
    """One trial being planned. `states` and `logits` as in `planned_step.Form`; `cache` may be None."""

    def __init__(self, config: TrialConfig, states: str, logits: str, cache: Path | None):
        if not config.trains:
            raise InputError(f"arm {config.arm} trains nothing, so there is no step to plan; name another arm")
        self.config, self.train, self.cache = config, config.train, cache
        ensure(config)
        self.method = create(config.method)
        self.needs = self.method.needs()
        self.micro, self.per_update, self.per_batch = split_plan(self.train, self.needs, config.n)
        self.task = tasks.load(config.task["name"], config.task.get("options", {}), None)
        self.shape = self._shape()
        self.rl = self.task.prompts("rl") if self.task.generated else []
        longest = max((self.task.tokens(one.question) for one in self.rl), default=self.train.max_prompt)
        prompt = min(longest, self.train.max_prompt)
        self.form = planned_step.Form(self.shape, self.train, prompt, self._verdict_width(), states, logits)
        self._check_lengths()
        rows = self.train.completions_per_step // self.train.processes
        self.rows = rows // (2 if self.needs.replay else 1)  # sampled side by side on one process
        self.parameters, self.unit = _sizes(self.shape)  # numbers, not bytes

    # -- the trial -------------------------------------------------------------------------------------------------

    @property
    def prompts(self) -> int:
        """Training prompts: of a generated task as it draws them, of a data set as published less the dev slice."""
        if self.task.generated:
            return len(self.rl)
        options = self.config.task.get("options", {})
        if options.get("rl") is not None:
            return options["rl"]
        rows = _TRAIN_ROWS.get(self.task.name)
        if rows is None:
            raise InputError(f"task {self.task.name}: its number of training prompts is not known; set its option rl")
        return rows - (min(512, rows // 10) if options.get("dev") is None else options["dev"])

    @property
    def stage1_completions(self) -> int:
        return self.needs.prompt_samples * self.prompts if self.needs.prompt_samples else 0

    @property
    def states_per_completion(self) -> int:
        """Prefixes of a completion from which fresh completions are drawn; the prompt is the first one."""
        return min(self.needs.extra_states or self.train.max_completion, -(-self.train.max_completion // STEP_TOKENS))

    @property
    def engine(self) -> bool:
        return self.train.backend == "vllm"

    def kv_cache(self) -> int:
        """Bytes of the key-value cache when all rows of a process have their full length."""
        tokens = self.form.prompt + self.train.max_completion - 1
        return self._sampling(self.rows)["kv_token"] * self.rows * tokens

    def _shape(self):
        base = self.config.base
        if base["kind"] != "micro":
            return shapes.shape(base)
        learnt = self.task if "task" not in base else tasks.load(base["task"]["name"], base["task"].get("options", {}))
        if not learnt.generated:
            raise InputError(f"task {learnt.name} has no micro base model; name a model with --model PATH_OR_ID")
        recipe = Recipe.from_json(base["recipe"]).to_json()
        return shapes.micro(recipe, len(SPECIALS) + len(learnt.vocabulary()))

    def _verdict_width(self) -> int:
        if self.needs.verdict == "none":
            return 0
        turn = verdict.get(self.task.template.name).turn
        if self.config.base["kind"] == "micro":
            return len(turn) + 2  # one token per character, an end token and the verdict
        # Without the tokenizer: special tokens, words, punctuation and line breaks are about one token each.
        return len(re.findall(r"<\|\w+\|>|\w+|[^\w\s]|\n", turn)) + 2

    def _check_lengths(self) -> None:
        positions = getattr(self.shape.get_text_config(), "max_position_embeddings", None)
        longest = self.train.max_prompt + self.train.max_completion + self.form.verdict
        if positions is not None and longest > positions:
            verdicts = f" + {self.form.verdict} of the verdict" if self.form.verdict else ""
            raise InputError(
                f"train.max_prompt {self.train.max_prompt} + train.max_completion {self.train.max_completion}"
                f"{verdicts} are more than the {positions} positions of {shapes.name(self.config.base)}; lower one"
            )

    # -- phases ----------------------------------------------------------------------------------------------------

    def all(self) -> dict[str, dict]:
        """{phase: {"peak", "flops", "tokens", "calls"}} of every phase that costs memory or operations, in order."""
        train, needs, found = self.train, self.needs, {}
        tokens, passes = train.completions_per_step * train.max_completion, self.per_batch * train.processes
        update = self._update()
        loaded = {name: size for name, size in update["optimizer"]["components"].items() if _stays(name)}
        if needs.prompt_samples:
            found["stage1"] = self._stage1()
        sampling = self._sampling(self.rows)
        found["generate"] = self._sampled(loaded, sampling, self._rollouts(), 2 if needs.replay else 1)
        if needs.extra_rollouts:
            found["extra_rollouts"] = self._sampled(loaded, sampling, self._continuations(), 1)
        wanted = {
            # An engine's log-probs are compared with ours.
            "old": "policy" if needs.old or needs.entropies or self.engine else None,
            "ref": "reference" if needs.reference else None,
            "value": "critic" if needs.critic else None,
        }
        for name, which in wanted.items():
            if which is not None:
                cost = self._pass(which)
                peak = self._peak({**loaded, "activations": cost["peak"]})
                found[name] = {"peak": peak, "flops": cost["flops"] * passes, "tokens": tokens, "calls": passes}
        steps = min(2, self.per_update)  # as many as `_update` ran
        backward, optimize = update["update"], update["optimizer"]
        found["update"] = {
            "peak": self._peak(backward["components"]),
            "flops": backward["flops"] // steps * passes * needs.epochs,
            "tokens": tokens * needs.epochs,
            "calls": passes * needs.epochs,
        }
        calls = needs.epochs * needs.minibatches
        peak = self._peak(optimize["components"])
        found["optimizer"] = {"peak": peak, "flops": optimize["flops"] * calls, "tokens": 0, "calls": calls}
        return found

    def _peak(self, components: dict[str, int]) -> dict:
        """{"total", "components"} of one process; with sharding the states are divided, and one unit is gathered."""
        parts = {name: size for name, size in components.items() if size}
        if self.train.sharding == "fsdp":
            for name in parts:
                if name.split("/")[-1] in ("policy", "reference") and name.split("/")[0] in _SHARDED:
                    parts[name] = -(-parts[name] // self.train.processes)
            parts["gathered"] = self.unit * self.form.dtype.itemsize
        return {"total": sum(parts.values()), "components": parts}

    def _stage1(self) -> dict:
        # Before the trainer exists: the base alone (or the engine alone), rows as in evaluation.
        rows = min(self.config.evaluation.batch, self.stage1_completions)
        loaded = {} if self.engine else {"parameters/policy": self.parameters * self.form.dtype.itemsize}
        jobs = Counter({(self.form.prompt, self.train.max_completion): self.stage1_completions})
        return self._sampled(loaded, self._sampling(rows, base=True), jobs, -(-self.stage1_completions // rows))

    def _rollouts(self) -> Counter:
        """(tokens before, tokens sampled) of the completions of a batch; replayed ones keep half of the full length."""
        prompt, full, rows = self.form.prompt, self.train.max_completion, self.train.completions_per_step
        if not self.needs.replay:
            return Counter({(prompt, full): rows})
        kept = full // 2
        return Counter({(prompt, full): rows // 2}) + Counter({(prompt + kept, full - kept): rows // 2})

    def _continuations(self) -> Counter:
        """(tokens before, tokens sampled) of the fresh completions of a batch: equal prefixes are sampled from once."""
        train, jobs = self.train, Counter()
        for place in range(self.states_per_completion):
            rows = train.completions_per_step // (self.config.n if place == 0 else 1)
            done = place * train.max_completion // self.states_per_completion
            jobs[self.form.prompt + done, train.max_completion - done] += rows * self.needs.extra_rollouts
        return jobs

    def _sampled(self, loaded: dict[str, int], sampling: dict, jobs: Counter, calls: int) -> dict:
        """A phase that samples `jobs`: numbers of completions by (tokens before, tokens sampled)."""
        parts = dict(loaded)
        if not self.engine:
            parts |= {"kv_cache": sampling["kv_cache"], "activations": sampling["peak"] - sampling["kv_cache"]}
        flops = ForwardFlops(*sampling["flops"])
        return {
            "peak": self._peak(parts),
            "flops": round(sum(count * flops.generate([before], [new]) for (before, new), count in jobs.items())),
            "tokens": sum(count * new for (_, new), count in jobs.items()),
            "calls": calls,
        }

    # -- costs, kept by their content ------------------------------------------------------------------------------

    def _update(self) -> dict:
        steps = min(2, self.per_update)  # gradients of an earlier micro-step are there when the next one begins
        fields = (*_PASS, "gradient_checkpointing", "lora", "temperature")
        clips = self.train.max_grad_norm > 0
        scored = [planned_step.scored_tokens(self.form, self.method)] if self.needs.selected else []
        what = (self.form.logits, self.form.verdict, self.config.method, steps, clips, *scored)
        return self._kept(
            self._identity("update", fields, *what),
            lambda: phase_peaks(lambda: planned_step.update(self.form, self.method, steps)),
        )

    def _pass(self, which: str) -> dict:
        adapted = self.train.lora is not None and which != "critic"
        if which == "policy" and not adapted:
            which = "reference"  # without gradient they are one network
        found = self._kept(
            self._identity("pass", (*_PASS, "lora") if adapted else _PASS, self.form.logits, which),
            lambda: phase_peaks(lambda: planned_step.scored(self.form, which))["pass"],
        )
        return {"peak": sum(s for name, s in found["components"].items() if not _stays(name)), "flops": found["flops"]}

    def _sampling(self, rows: int, base: bool = False) -> dict:
        rows = 1 if self.engine else rows
        base = base or self.train.lora is None
        fields = ("max_completion", "precision", *(() if base else ("lora",)))
        return self._kept(
            self._identity("sampling", fields, rows, base),
            lambda: sampling_cost(self.form, rows, base=base),
        )

    def _identity(self, kind: str, fields: tuple[str, ...], *more) -> list:
        """Everything that decides a phase's cost; `fields` are those of the train settings that do."""
        train = dataclasses.asdict(self.train)
        shape = {name: value for name, value in self.shape.to_dict().items() if name not in _NO_SHAPE}
        chosen = {name: train[name] for name in fields}
        return [SEMANTICS, torch.__version__, transformers.__version__, kind, shape, self.form.prompt,
                self.form.states, chosen, *more]  # fmt: skip

    def _kept(self, identity: list, compute: Callable[[], dict]) -> dict:
        if self.cache is None:
            return compute()
        text = json.dumps(identity, sort_keys=True, default=str)
        path = Path(self.cache) / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):  # not there yet, or a torn file
            found = compute()
        write_whole(path, json.dumps(found).encode())
        return found


_SHARDED = ("parameters", "gradients", "optimizer")
_PASS = ("micro_batch", "max_completion", "precision")
_NO_SHAPE = ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "use_cache")


def _stays(name: str) -> bool:
    return name.startswith(("parameters/", "optimizer/")) or name == "buffers"


def _sizes(shape) -> tuple[int, int]:
    """(parameters of the model, those gathered at once when it is sharded: the largest layer and what is no layer)."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    total = sum(p.numel() for p in model.parameters())
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = [sum(p.numel() for p in layer.parameters()) for stack in stacks for layer in stack]
    return total, total - sum(layers) + max(layers)
