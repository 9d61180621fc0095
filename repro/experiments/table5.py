"""S-GRPO and T-SPMO under LoRA (arXiv 2504.20834), with KRPO (2505.07527) beside them, on two generated tasks.

The arms of both tasks are one experiment; each is compared with arms of its own task only. Every arm samples the same
number of completions. Claims and ledger are in files of their own. The paper states no setting but the model and LoRA:
all values here are chosen. The real SVAMP is `repro.experiments.table5_svamp`.
"""

from collections.abc import Mapping
from typing import Any

from repro.experiments._table5_claims import TASKS, control_claims, order_claims, selection_claims
from repro.experiments._table5_ledger import LEDGER
from repro.experiments.types import Arm, Experiment, ScaleSettings, TuningGrid

N = 8
ALPHA = 2
RANDOM = 0.4  # share of the random tokens, about that of the S-GRPO arms
GRPO = {"aggregate": "sequence-mean"}
ALL_WEIGHTS = {"lora": None}

CORE = (
    ("base", "base model", "none", {}),
    ("grpo", "GRPO", "grpo", GRPO),
    ("sgrpo", "S-GRPO", "sgrpo", {}),
    ("tspmo", "T-SPMO (reconstruction)", "tspmo", {}),
    ("krpo", "KRPO", "krpo", {}),
)
# Arm, display, method, config, train; the core or tuned arm whose tuned values it takes (all weights: but for the rate,
# which is that of grpo-full); and whether it is run on multiplication as well.
_VARIANTS: tuple[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any], str, bool], ...] = (
    ("grpo-full", "GRPO, all weights", "grpo", GRPO, ALL_WEIGHTS, "grpo-full", True),
    ("sgrpo-full", "S-GRPO, all weights", "sgrpo", {}, ALL_WEIGHTS, "sgrpo", True),
    ("tspmo-full", "T-SPMO (reconstruction), all weights", "tspmo", {}, ALL_WEIGHTS, "tspmo", True),
    ("grpo-low", "GRPO, a quarter of the rate", "grpo", GRPO, {}, "grpo", True),
    ("grpo-kl", "GRPO, KL 0.1", "grpo", GRPO | {"beta": 0.1}, {}, "grpo", True),
    ("sgrpo-random", "random tokens", "sgrpo", {"alpha": 0, "p": RANDOM}, {}, "sgrpo", True),
    ("grpo-entropy", "GRPO, tokens of high entropy", "grpo-entropy", GRPO, {}, "grpo", True),
    ("sgrpo-p0", "S-GRPO, P=0", "sgrpo", {"p": 0.0}, {}, "sgrpo", True),
    ("sgrpo-p100", "S-GRPO, P=1", "sgrpo", {"p": 1.0}, {}, "sgrpo", True),
    ("tspmo-replay", "T-SPMO (reconstruction), replay", "tspmo", {"replay": True}, {}, "tspmo", True),
    ("krpo-averaged", "KRPO, mean over orders", "krpo", {"order": "averaged"}, {}, "krpo", True),
    ("sgrpo-p25", "S-GRPO, P=0.25", "sgrpo", {"p": 0.25}, {}, "sgrpo", False),
    ("sgrpo-p50", "S-GRPO, P=0.5", "sgrpo", {"p": 0.5}, {}, "sgrpo", False),
    ("krpo-running", "KRPO, running mean", "krpo", {"baseline": "running-mean"}, {}, "krpo", False),
    ("krpo-weights", "GRPO, weights by place", "krpo", {"baseline": "group-mean"}, {}, "krpo", False),
)
LABELS = {"words": "Word problems", "mult": "Multiplication"}

ARMS = tuple(
    arm
    for task, label in LABELS.items()
    for arm in (
        *(Arm(f"{task}-{id}", f"{label}: {display}", method, config) for id, display, method, config in CORE),
        *(
            Arm(f"{task}-{id}", f"{label}: {display}", method, config, train, core=False)
            for id, display, method, config, train, _, both in _VARIANTS
            if both or task == "words"
        ),
    )
)


def _arms(tuned: Mapping[str, Mapping[str, Mapping[str, Any]]], mult: Mapping[str, Any]) -> dict[str, dict]:
    """Every arm's overrides: `tuned` values of the arm that it is or varies, and the settings of `mult`'s task."""
    origins = {id: id for id, *_ in CORE} | {id: origin for id, *_, origin, _ in _VARIANTS}
    arms: dict[str, dict] = {}
    for arm in ARMS:
        task, _, name = arm.id.partition("-")
        settings = tuned.get(f"{task}-{origins[name]}", {})
        method = {k: v for k, v in settings.get("method", {}).items() if k not in arm.method_config}
        train = dict(settings.get("train", {}))
        if arm.train == ALL_WEIGHTS and f"{task}-grpo-full" in tuned:
            train["learning_rate"] = tuned[f"{task}-grpo-full"]["train"]["learning_rate"]
        if name == "grpo-low" and "learning_rate" in train:
            train["learning_rate"] /= 4
        if arm.trained:
            method["n"] = N
        arms[arm.id] = {"method": method, "train": train}
        if task == "mult":
            arms[arm.id] |= mult
    return arms


LORA = {"rank": 8, "alpha": 16.0, "layers": [1, 2]}
TRAIN = {
    "steps": 60,
    "completions_per_step": 128,
    "micro_batch": 128,
    "learning_rate": 2e-3,
    "max_prompt": 64,
    "max_completion": 36,
    "lora": LORA,
    "eval_every": 20,
    "checkpoint_every": 20,
}
SET = {
    "split": "test", "questions": 256, "n": 8, "temperature": 1.0, "greedy": True, "name": "test", "kl": True,
    "lenient": True,
}  # fmt: skip
_SIZES = {"dev": 192, "test": 256}
WORDS_BASE = {"kind": "micro", "recipe": {"noise": 0.4, "clean": 0.85, "unknown": 0.15, "packed": 2, "steps": 4000}}
_FEW = 200  # problems to train on: so few that five passes over them can over-fit
MICRO = ScaleSettings(
    task={"name": "words", "options": {"rl": _FEW, **_SIZES}},
    base=WORDS_BASE,
    seeds=5,
    train=TRAIN,
    evaluation={"sets": [SET], "max_completion": 36, "batch": 256, "dev_questions": 96, "dev_n": 4},
    arms=_arms(
        {
            # Best grid points of table5-tuning by dev accuracy; a test compares them with its records.
            "words-grpo": {"method": {"beta": 0.02}, "train": {"learning_rate": 2e-3}},
            "words-sgrpo": {"method": {"p": 0.5}, "train": {"learning_rate": 2e-3}},
            "words-tspmo": {"method": {"beta": 0.02}, "train": {"learning_rate": 2e-3}},
            "words-krpo": {"method": {"beta": 0.0}, "train": {"learning_rate": 2e-3}},
            "words-grpo-full": {"method": {"beta": 0.02}, "train": {"learning_rate": 4e-4}},
            "mult-grpo": {"method": {"beta": 0.0}, "train": {"learning_rate": 2e-3}},
            "mult-sgrpo": {"method": {"p": 0.5}, "train": {"learning_rate": 2e-3}},
            "mult-tspmo": {"method": {"beta": 0.0}, "train": {"learning_rate": 2e-3}},
            "mult-krpo": {"method": {"beta": 0.01}, "train": {"learning_rate": 2e-3}},
            "mult-grpo-full": {"method": {"beta": 0.02}, "train": {"learning_rate": 2e-4}},
        },
        {
            "task": {
                "name": "multiply",
                "options": {"levels": ["2x1", "2x2", "3x2"], "form": "steps", "rl": _FEW, **_SIZES},
            },
            "base": {"kind": "micro", "recipe": {"noise": 0.5, "steps": 1600}},
        },
    ),
)

_RATES = (1e-3, 2e-3, 4e-3, 8e-3)
_RATES_ALL = (1e-4, 2e-4, 4e-4, 8e-4)


def _grids(task: str) -> dict[str, TuningGrid]:
    return {
        f"{task}-grpo": TuningGrid(_RATES, "beta", (0.0, 0.02), "beta"),
        f"{task}-sgrpo": TuningGrid(_RATES, "p", (0.25, 0.5), "p"),
        f"{task}-tspmo": TuningGrid(_RATES, "beta", (0.0, 0.02), "beta"),
        f"{task}-krpo": TuningGrid(_RATES, "beta", (0.0, 0.01), "beta"),
        f"{task}-grpo-full": TuningGrid(_RATES_ALL, "beta", (0.0, 0.02), "beta"),
    }


EXPERIMENT = Experiment(
    id="table5",
    title="Token-efficient RL under LoRA: S-GRPO and T-SPMO",
    paper="token_efficient",
    summary="GRPO on all tokens, S-GRPO on some of them, T-SPMO (a reconstruction) on branching points of the group's "
    "prefix tree, and KRPO, all under the same partial LoRA: accuracy, share of trained tokens, over-fitting, time and "
    "memory, on generated word problems and on multiplication.",
    arms=ARMS,
    metrics=(
        "accuracy",
        "greedy",
        "accuracy_lenient",
        "token_share",
        "generalisation_gap",
        "kl_token",
        "train_seconds",
        "time_per_step",
        "predicted_peak",
    ),
    claims=(
        *(claim for task in TASKS for claim in selection_claims(task)),
        *(claim for task in TASKS for claim in control_claims(task)),
        *(claim for task in TASKS for claim in order_claims(task)),
    ),
    ledger=LEDGER,
    scales={"micro": MICRO},
    tuning={id: grid for task in TASKS for id, grid in _grids(task).items()},
)
