"""Training for pass@k and majority voting (arXiv 2503.19595) on maths and on code: the trade-off against pass@1.

The arms of both tasks are one experiment; each is compared with arms of its own task only. Every arm samples the same
number of completions. Claims and ledger are in files of their own. The paper states no setting of
its language models: all values here are chosen.
"""

from collections.abc import Mapping
from typing import Any

from repro.experiments._table4_claims import CLAIMS, K
from repro.experiments._table4_ledger import LEDGER
from repro.experiments.types import Arm, Experiment, ScaleSettings, TuningGrid

_MEAN, _PASS, _MAJORITY = ({"objective": name} for name in ("mean", "pass", "majority"))
_BIASED = {"variant": "biased"}
_PPO = {"clip": True, "minibatches": 4}


def _core(task: str, title: str) -> tuple[Arm, ...]:
    return (
        Arm(f"{task}-base", f"{title}: base model", "none"),
        Arm(f"{task}-mean", f"{title}: mean", "ksample", _MEAN),
        Arm(f"{task}-pass", f"{title}: pass@{K}", "ksample", _PASS),
        Arm(f"{task}-pass-biased", f"{title}: pass@{K}, biased", "ksample", _PASS | _BIASED),
        Arm(f"{task}-majority", f"{title}: majority@{K}", "ksample", _MAJORITY),
    )


def _ablation(id: str, display: str, method: str, config: Mapping[str, Any]) -> Arm:
    title = {"math": "Maths", "code": "Code"}[id.partition("-")[0]]
    return Arm(id, f"{title}: {display}", method, config, core=False)


ARMS = (
    *_core("math", "Maths"),
    *_core("code", "Code"),
    _ablation("math-pass-naive", f"pass@{K}, naive", "ksample", _PASS | {"variant": "naive"}),
    _ablation("math-majority-biased", f"majority@{K}, biased", "ksample", _MAJORITY | _BIASED),
    _ablation("math-pass-rate", f"pass@{K}, the mean's rate", "ksample", _PASS),
    _ablation("math-mean-matched", "mean, matched scale", "ksample", _MEAN | {"scale": "matched"}),
    _ablation("math-mean-many", f"mean, {K} times the updates", "ksample", _MEAN),
    _ablation("math-pass-k2", "pass@2", "ksample", _PASS | {"k": 2}),
    _ablation("math-pass-k4", "pass@4", "ksample", _PASS | {"k": 4}),
    _ablation("math-pass-k16", "pass@16", "ksample", _PASS),
    _ablation("math-mean-ppo", "mean, PPO clip", "ksample", _MEAN | _PPO),
    _ablation("math-pass-ppo", f"pass@{K}, PPO clip", "ksample", _PASS | _PPO),
    _ablation("math-pkpo-k4", "PKPO k=4", "pkpo", {"k": 4}),
    _ablation("math-passk-training-k4", "Pass@k Training k=4", "passk-training", {"k": 4}),
    _ablation("code-pass-rate", f"pass@{K}, the mean's rate", "ksample", _PASS),
    _ablation("code-mean-many", f"mean, {K} times the updates", "ksample", _MEAN),
    _ablation("code-pass-k4", "pass@4", "ksample", _PASS | {"k": 4}),
    _ablation("code-pkpo-k4", "PKPO k=4", "pkpo", {"k": 4}),
)


_ORIGINS = ("base", "mean", "pass-biased", "majority")  # the others vary the pass@K arm


def _arms(tuned: Mapping[str, Mapping[str, Any]], code: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, dict]:
    """Every arm's overrides at one scale: `tuned` values of the core arm that it is or varies, and `code`'s task.

    `train`: settings of the scale, of which the arms with K times the updates take smaller batches and more steps.
    """
    arms: dict[str, dict] = {}
    for arm in ARMS:
        task, _, name = arm.id.partition("-")
        origin = "mean" if name == "pass-rate" else next((o for o in _ORIGINS if name.startswith(o)), "pass")
        settings = tuned.get(f"{task}-{origin}", {"method": {}, "train": {}})
        method = dict(settings["method"])
        if arm.trained:
            method["n"] = 16 if name == "pass-k16" else K
        arms[arm.id] = {"method": method, "train": dict(settings["train"])}
        if name == "mean-many":
            arms[arm.id]["train"] |= _many(train)
        if "minibatches" in arm.method_config:  # rows of an update are whole micro-batches
            rows = train["completions_per_step"] // arm.method_config["minibatches"]
            arms[arm.id]["train"]["micro_batch"] = min(rows, train["micro_batch"])
        if task == "code":
            arms[arm.id] |= code
    return arms


def _many(train: Mapping[str, Any]) -> dict[str, int]:
    """K times the updates on the same number of completions: a K-th of the batch each time."""
    batch = train["completions_per_step"] // K
    every = {name: train[name] * K for name in ("steps", "eval_every", "checkpoint_every")}
    return {"completions_per_step": batch, "micro_batch": min(batch, train["micro_batch"]), **every}


def _set(
    name: str | None = "test", task: str | None = None, questions: int | None = None, n: int = 64
) -> dict[str, Any]:
    own = {"task": task, "split": "test", "questions": questions, "n": n, "temperature": 1.0, "greedy": True}
    return own | {"name": name, "vote": True, "kl": True}


# --- micro scale ------------------------------------------------------------------------------------------------------
_MICRO_TRAIN = {
    "steps": 80,
    "completions_per_step": 128,
    "micro_batch": 128,
    "learning_rate": 4e-4,
    "max_prompt": 24,
    "max_completion": 36,
    "eval_every": 20,
    "checkpoint_every": 20,
}
_MICRO_SIZES = {"dev": 192, "test": 192}
MICRO = ScaleSettings(
    task={
        "name": "multiply",
        "options": {"levels": ["2x1", "2x2", "3x2"], "form": "steps", "rl": 1200, **_MICRO_SIZES},
    },
    base={"kind": "micro", "recipe": {"noise": 0.5, "steps": 1600}},
    seeds=5,
    train=_MICRO_TRAIN,
    evaluation={
        "sets": [_set(questions=192)],
        "max_completion": 36,
        "batch": 256,
        "dev_questions": 64,
        "dev_n": 16,
        "dev_pass": K,
    },
    arms=_arms(
        {
            # Best grid points of table4-tuning by the arm's own objective; a test compares them with its records.
            "math-mean": {"method": {"beta": 0.02}, "train": {"learning_rate": 2e-4}},
            "math-pass": {"method": {"beta": 0.02}, "train": {"learning_rate": 5e-5}},
            "math-pass-biased": {"method": {"beta": 0.02}, "train": {"learning_rate": 1e-4}},
            "math-majority": {"method": {"beta": 0.02}, "train": {"learning_rate": 1e-4}},
            "code-mean": {"method": {"beta": 0.0}, "train": {"learning_rate": 8e-4}},
            "code-pass": {"method": {"beta": 0.0}, "train": {"learning_rate": 4e-4}},
            "code-pass-biased": {"method": {"beta": 0.02}, "train": {"learning_rate": 4e-4}},
            "code-majority": {"method": {"beta": 0.0}, "train": {"learning_rate": 4e-4}},
        },
        {
            "task": {"name": "synthesis", "options": {"rl": 1200, **_MICRO_SIZES}},
            "base": {"kind": "micro", "recipe": {"noise": 0.5, "steps": 3600}},
        },
        _MICRO_TRAIN,
    ),
)
# ----------------------------------------------------------------------------------------------------------------------

_SMALL_TRAIN = {
    "steps": 100,
    "completions_per_step": 256,
    "micro_batch": 8,
    "learning_rate": 1e-6,
    "max_prompt": 1024,
    "max_completion": 768,
    "precision": "bf16",
    "gradient_checkpointing": True,
    "eval_every": 20,
    "checkpoint_every": 20,
}
_SMALL_EVALUATION = {"max_completion": 768, "batch": 256, "dev_questions": 64, "dev_n": 8, "dev_pass": K}
SMALL = ScaleSettings(
    task={"name": "math", "options": {}},
    base={"kind": "hub", "id": "Qwen/Qwen2.5-1.5B", "revision": None},
    seeds=5,
    train=_SMALL_TRAIN,
    evaluation={"sets": [_set(n=16)], **_SMALL_EVALUATION},
    arms=_arms(
        {},
        {"task": {"name": "mbpp", "options": {}}, "evaluation": {"sets": [_set(task="humaneval", n=16)]}},
        _SMALL_TRAIN,
    ),
)

_PAPER_TRAIN = {
    **_SMALL_TRAIN,
    "steps": 500,
    "completions_per_step": 1024,
    "micro_batch": 1,
    "max_prompt": 2048,
    "max_completion": 2048,
    "backend": "vllm",
    "processes": 8,
    "sharding": "fsdp",
    "eval_every": 50,
    "checkpoint_every": 50,
}
_PAPER_EVALUATION = {**_SMALL_EVALUATION, "max_completion": 2048, "dev_questions": 128}
PAPER = ScaleSettings(
    task={"name": "math", "options": {}},
    base={"kind": "hub", "id": "meta-llama/Llama-3.1-8B-Instruct", "revision": None},
    seeds=1,
    train=_PAPER_TRAIN,
    evaluation={"sets": [_set(n=64)], **_PAPER_EVALUATION},
    arms=_arms(
        {},
        {
            "task": {"name": "code_contests", "options": {}},
            "base": {"kind": "hub", "id": "meta-llama/Llama-3.1-70B-Instruct", "revision": None},
        },
        _PAPER_TRAIN,
    ),
)

_RATES = {"math": (2.5e-5, 5e-5, 1e-4, 2e-4), "code": (1e-4, 2e-4, 4e-4, 8e-4)}
_METRICS = {"mean": "accuracy", "pass": f"pass@{K}", "pass-biased": f"pass@{K}", "majority": f"majority@{K}"}

EXPERIMENT = Experiment(
    id="table4",
    title="Training for pass@k and majority voting",
    paper="inference_time",
    summary="The mean reward, pass@k and majority voting as objectives of training, on maths and on code with real "
    "execution: each objective on its own metric and on the others', over the k of training and of evaluation, by "
    "difficulty, with PPO's clip, and against later methods.",
    arms=ARMS,
    metrics=(
        "accuracy",
        f"pass@{K}",
        f"majority@{K}",
        "greedy",
        "kl_token",
        "train_seconds",
        "time_per_step",
        "predicted_peak",
    ),
    claims=CLAIMS,
    ledger=LEDGER,
    scales={"micro": MICRO, "small": SMALL, "paper": PAPER},
    tuning={
        f"{task}-{arm}": TuningGrid(_RATES[task], "beta", (0.0, 0.02), "beta", metric)
        for task in ("math", "code")
        for arm, metric in _METRICS.items()
    },
)
