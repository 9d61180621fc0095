"""What training starts from, on disk: a hub snapshot, a folder the user names, or a cached micro model.

TRL reloads the reference policy by path, so a base is always a folder. Weights are read as safetensors only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import InputError
from repro.store.workspace import user_cache

FACT_QUESTIONS, FACT_SAMPLES = 128, 4


@dataclass(frozen=True)
class Base:
    """A base model on disk. `digest` identifies its content; `facts` go into the record."""

    folder: Path
    digest: str
    facts: dict


def ensure_base(config, data_dir: Path | None = None, emit: Callable[[dict], None] = lambda event: None) -> Base:
    """The base of a trial, built or fetched if it is missing. Raises InputError if it cannot be had."""
    return _micro(config, data_dir, emit) if config.base.get("kind") == "micro" else checkpoint(config.base)


def checkpoint(base: Mapping[str, Any]) -> Base:
    """A base that exists already, in a folder or on the hub. Raises InputError if it cannot be had."""
    if base.get("kind") == "hub":
        return _hub(base)
    if base.get("kind") == "folder":
        folder = Path(base["path"])
        check_folder(folder)
        return Base(folder, folder_digest(folder), {})
    raise InputError(f"base.kind is {base.get('kind')!r}; use micro, hub or folder")


def check_folder(folder: Path) -> None:
    """Raise InputError unless `folder` holds a transformers model as safetensors, with its tokenizer."""
    if not folder.is_dir():
        raise InputError(f"model folder {folder} does not exist")
    wanted = {
        "config.json": "a transformers config.json",
        "*.safetensors": "weights as .safetensors (pickled weights are never loaded)",
        "tokenizer*": "a tokenizer",
    }
    for pattern, what in wanted.items():
        if not any(folder.glob(pattern)):
            raise InputError(f"model folder {folder} has no {pattern}: it needs {what}; save it with save_pretrained")
    for path in sorted(folder.iterdir()):
        if trouble := _unreadable(path):
            raise InputError(f"model folder {folder}: {path.name} cannot be read ({trouble}); copy or save it again")


def _unreadable(path: Path) -> str | None:
    """What is wrong with a JSON or weight file as such (a download broken off, a full disk), or None."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):  # reads the header and compares it with the size; no weights
                pass
    except (OSError, ValueError, SafetensorError) as error:
        return " ".join(str(error).split())
    return None


def folder_digest(folder: Path) -> str:
    """sha256 over names and contents of a model folder's config, weights and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and (path.suffix in {".json", ".safetensors", ".jinja", ".txt", ".model"}):
            if path.name == "manifest.json":
                continue
            digest.update(path.name.encode())
            with open(path, "rb") as file:  # weights may be larger than memory
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _hub(base: Mapping[str, Any]) -> Base:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            base["id"],
            revision=base.get("revision"),
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"],
        )
    except Exception as error:  # every hub client error ends in the same advice
        raise InputError(
            f"model {base['id']} cannot be fetched from the hub ({type(error).__name__}); connect, or give a local "
            "folder with --model PATH"
        ) from error
    commit = Path(folder).name
    return Base(Path(folder), f"{base['id']}@{commit}", {"revision": commit})


def _micro(config, data_dir, emit) -> Base:
    from repro import tasks
    from repro.training import micro

    named = config.base.get("task") or config.task
    task = tasks.load(named["name"], named.get("options", {}), data_dir)
    if not task.generated:
        raise InputError(
            f"task {task.name} has no micro base model (it is not generated); name a model with --model PATH_OR_ID"
        )
    if named is not config.task:
        _one_template(task, tasks.load(config.task["name"], config.task.get("options", {}), data_dir))
    recipe = micro.Recipe.from_json(config.base.get("recipe", {}))
    identity = {
        "semantics": [micro.SEMANTICS, task.version],
        "recipe": recipe.to_json(),
        "task": named["name"],
        "options": named.get("options", {}),
        **source_of(named),
        "template": task.template.sha256,
        "vocabulary": task.vocabulary(),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    parent = user_cache() / "bases"
    folder = parent / key[:24]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache folder {parent} cannot be written ({error.strerror}); set REPRO_CACHE_DIR") from error
    with _locked(parent / f"{key[:24]}.lock"):
        known = _read_manifest(folder)
        if known is None:
            known = _build(recipe, task, folder, config.evaluation.max_completion, emit)
    return Base(folder, known["digest"], known["facts"])


def _one_template(learnt, asked) -> None:
    if learnt.template.sha256 != asked.template.sha256:
        raise InputError(
            f"the base learns {learnt.name} with template {learnt.template.name}, task {asked.name} asks with "
            f"{asked.template.name}: set the task's option template to {learnt.template.name}"
        )


def source_of(task: dict) -> dict:
    """The hash of a plugged-in task's code, as an entry of what identifies things made with it."""
    return {"source": task["source"]} if "source" in task else {}


@contextlib.contextmanager
def _locked(path: Path):
    # Two runs that need the same base must not train it twice: the second waits and finds it.
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _read_manifest(folder: Path) -> dict | None:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("digest") == folder_digest(folder) else None


def _build(recipe, task, folder: Path, max_completion: int, emit) -> dict:
    from repro.training import micro

    started = time.perf_counter()
    # The caller holds the lock of this base, so a half-built folder can only be a killed run's.
    work = folder.with_suffix(".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    micro.build(recipe, task, work, emit)
    facts = _facts(work, task, max_completion)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    manifest = {"digest": folder_digest(work), "facts": facts}
    (work / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return manifest


def _facts(folder: Path, task, max_completion: int) -> dict:
    """Sampled pass@1 of a fresh base on RL and on test prompts: both must leave room, and neither may stand out."""
    import torch
    from transformers import AutoModelForCausalLM

    from repro.evaluation.metrics import summarize
    from repro.training.evaluate import Policy, end_ids, grade
    from repro.training.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    policy = Policy(
        model,
        tokenizer,
        end_ids(tokenizer, model, task.template),
        model.config.max_position_embeddings,
        max_completion,
        512,
    )
    facts = {}
    for split in ("rl", "test"):
        prompts = task.prompts(split, FACT_QUESTIONS)
        graded = grade(policy, task, prompts, seed=0, n=FACT_SAMPLES, temperature=1.0, greedy=False)
        facts[f"pass@1_{split}"] = summarize(graded.samples)["accuracy"]
    return facts
