"""Stage 1 of methods that need it (A*-PO): completions of the frozen base for every training prompt, graded and kept.

1. N completions per prompt, drawn like all others from counter-based uniforms (stream "stage1", index 0 .. N-1) at the
   training temperature and length, and graded as training is (by the task, on `sampled.graded_texts`).
2. Kept in `<root>/stage1/<key>/`, one file per chunk, whole or not at all. The key names all that decides the rewards
   and nothing of the method but N, so that arms which differ in beta1 share them. One process samples, the others wait.
3. Each chunk carries what it cost, and every trial that uses it is charged that, whoever sampled it.
Values and filters go by row, never by text: two prompts of one text have a value each.
Not covered: several processes sampling side by side; the first one samples and the others read.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, GenerationConfig

from repro.cost.phases import PhaseTimer
from repro.errors import InputError
from repro.sampling.uniforms import Draw
from repro.store.files import write_whole
from repro.store.key import content_hash
from repro.store.lock import TrialLock
from repro.store.workspace import Workspace
from repro.tasks.outcome import Outcome
from repro.training.base import source_of
from repro.training.evaluate import Policy, encode
from repro.training.sampled import graded_texts

# Part of the key: raise it when the same settings give other rewards.
SEMANTICS = 1
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Stage1:
    """Rewards of stage 1 and what a method makes of them. P training prompts, N samples each."""

    rewards: Tensor  # (P, N) float, 0/1
    prompt_values: Tensor  # (P,) float: V*
    kept: list[int] | None  # rows of the prompts that are trained on; None: all of them
    facts: dict  # record["stage1"]
    cost: dict  # record["cost"]["stage1"]
    phase: dict  # the same as totals of the phase "stage1", for the trial's timer


def sample(setup, tokenizer, workspace_root: Path, emit: Callable[[dict], None]) -> Stage1:
    """Read the stage 1 of this trial, or sample what is missing of it. InputError if too few prompts are left."""
    identity = _identity(setup)
    key, count = content_hash(identity), identity["samples"]
    chunks = _Chunks(Path(workspace_root) / "stage1" / key, chunk_rows(setup))
    if chunks.missing():
        if int(os.environ.get("RANK", "0")) == 0:
            with _turn(TrialLock(Workspace(workspace_root), key), emit):
                _fill(chunks, setup, tokenizer, emit)
        else:
            while chunks.missing():  # by the first process, whose failure ends this one as well
                time.sleep(POLL_SECONDS)
    rewards = torch.tensor([int(letter) for chunk in chunks.found for letter in chunk["rewards"]]).float()
    return _result(setup, key, rewards.view(len(setup.rl), count), chunks.found)


def chunk_rows(setup) -> list[list[tuple[int, int]]]:
    """(prompt row, sample index) of every completion of stage 1, in the chunks in which they are drawn."""
    rows = [(row, index) for row in range(len(setup.rl)) for index in range(setup.method.needs().prompt_samples)]
    width = setup.config.evaluation.batch
    return [rows[i : i + width] for i in range(0, len(rows), width)]


def _identity(setup) -> dict:
    """All that decides the rewards. The batch belongs to it: its width decides the last bits of the logits."""
    train = setup.config.train
    return {
        "semantics": SEMANTICS,
        "base": setup.base.digest,
        "template": setup.hashes["template"],
        "prompts": setup.hashes["prompts"]["rl"],
        "task": setup.config.task["name"],
        "options": setup.config.task.get("options", {}),
        **source_of(setup.config.task),
        "samples": setup.method.needs().prompt_samples,
        "temperature": train.temperature,
        "max_completion": train.max_completion,
        "precision": train.precision,
        "engine": train.backend,
        "batch": setup.config.evaluation.batch,
        "seed": setup.config.seed,
    }


def _result(setup, key: str, rewards: Tensor, found: list[dict]) -> Stage1:
    values, keeps = setup.guarded.prompt_values(rewards), setup.guarded.kept_prompts(rewards)
    kept = keeps.nonzero().flatten().tolist()
    prompts = setup.config.train.completions_per_step // setup.method.rows_per_prompt
    if len(kept) < min(prompts, len(rewards)):
        raise InputError(
            f"method.filter_wrong keeps {len(kept)} of {len(rewards)} training prompts, fewer than the {prompts} of a "
            "generation batch; turn it off, raise method.samples or lower train.completions_per_step"
        )
    whole = PhaseTimer()
    for chunk in found:
        whole.load_json({"stage1": chunk["cost"]})
    phase = whole.to_json()["stage1"]
    facts = {
        "key": key,
        "prompts": rewards.shape[0],
        "samples": rewards.shape[1],
        "kept": len(kept),
        "mean_reward": float(rewards.double().mean()),
        "all_wrong": float((rewards.sum(1) == 0).double().mean()),
        "mean_value": float(values.double().mean()),
    }
    cost = {
        "seconds": phase["seconds"],
        "tokens": phase["tokens"],
        "completions": rewards.numel(),
        "reused": all(chunk["by"] != setup.key for chunk in found),
    }
    return Stage1(rewards, values, kept if len(kept) < len(rewards) else None, facts, cost, phase)


class _Chunks:
    """The files of one stage 1. `found` holds what has been read so far, None where a file is missing or damaged."""

    def __init__(self, folder: Path, rows: list[list[tuple[int, int]]]):
        self.folder, self.rows = folder, rows
        self.found: list[dict | None] = [None] * len(rows)

    def missing(self) -> list[int]:
        """Numbers of the chunks that must be sampled."""
        for number, chunk in enumerate(self.found):
            if chunk is None:
                self.found[number] = self._read(number)
        return [number for number, chunk in enumerate(self.found) if chunk is None]

    def add(self, number: int, rewards: str, cost: dict, by: str) -> None:
        content = {"rewards": rewards, "cost": cost, "by": by}
        write_whole(self._path(number), json.dumps({**content, "sha256": content_hash(content)}).encode())
        self.found[number] = content

    def _read(self, number: int) -> dict | None:
        try:
            content = json.loads(self._path(number).read_text())
            whole = content.pop("sha256") == content_hash(content)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None
        return content if whole and len(content["rewards"]) == len(self.rows[number]) else None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.json"


def _fill(chunks: _Chunks, setup, tokenizer, emit) -> None:
    missing = chunks.missing()  # again: another trial may have filled them while this one waited
    if not missing:
        return
    with Sampler.open(setup, tokenizer) as sampler:
        for number in missing:
            emit({"event": "phase", "message": f"stage 1 {number + 1}/{len(chunks.rows)}"})
            rewards, cost = sampler.draw(chunks.rows[number])
            chunks.add(number, rewards, cost, setup.key)


@contextlib.contextmanager
def _turn(lock: TrialLock, emit) -> Iterator[None]:
    """Hold the lock; wait while another trial samples the same stage 1."""
    if not lock.acquire():
        emit({"event": "phase", "message": "waiting for another trial's stage 1"})
        while not lock.acquire():
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


class Sampler:
    """Draws stage-1 completions of a trial with its base, the model itself or an engine."""

    def __init__(self, setup, policy: Policy, model):
        self.setup, self.policy, self.model = setup, policy, model
        self.prompt_ids = encode(policy.tokenizer, setup.task, setup.rl, setup.config.train.max_prompt)

    @classmethod
    @contextlib.contextmanager
    def open(cls, setup, tokenizer) -> Iterator[Sampler]:
        """A sampler whose base, or engine, is loaded for the time of the block."""
        train = setup.config.train
        if train.backend == "transformers":
            model = setup.base_model()
            yield cls(setup, setup.policy(model, tokenizer, max_completion=train.max_completion), model)
        else:
            from repro.sampling.vllm_backend import Engine

            longest, dtype = train.max_prompt + train.max_completion, _DTYPES[train.precision]
            with Engine(setup.base.folder, max_length=longest, dtype=dtype, memory=train.vllm_memory) as engine:
                blank = _Declared(setup.base.folder)
                yield cls(setup, setup.policy(blank, tokenizer, engine, train.max_completion), None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def draw(self, rows: list[tuple[int, int]]) -> tuple[str, dict]:
        """Rewards of the given (prompt row, sample index) as a string of 0 and 1, and the phase's totals."""
        train, task, policy = self.setup.config.train, self.setup.task, self.policy
        prompts, ids = [self.setup.rl[row] for row, _ in rows], [self.prompt_ids[row] for row, _ in rows]
        draws = [
            Draw(self.setup.config.seed, "stage1", 0, prompt.id, index)
            for prompt, (_, index) in zip(prompts, rows, strict=True)
        ]
        # An engine's memory is its pool, which is no figure of the method's.
        timer = PhaseTimer("cuda" if self.model is not None and torch.cuda.is_available() else "cpu")
        with timer.phase("stage1") as cost, self._precision():
            completions = policy.complete(ids, draws, train.temperature)
            outcomes = task.check(graded_texts(policy.tokenizer, policy.end_ids, completions), prompts)
            policy.charge(cost)
        return "".join(str(int(outcome is Outcome.CORRECT)) for outcome in outcomes), timer.to_json()["stage1"]

    def _precision(self):
        # As in training, where the policy samples under autocast if it trains under it.
        if self.model is None:
            return contextlib.nullcontext()
        enabled = self.setup.config.train.precision == "bf16"
        return torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=enabled)


_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class _Declared:
    """The generation config of a model folder whose weights only the engine loads."""

    def __init__(self, folder: Path):
        try:
            self.generation_config = GenerationConfig.from_pretrained(folder)
        except OSError:
            self.generation_config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder))
