"""RL^V (arXiv 2505.04842) and VinePPO (2410.01679): one model as reasoner and verifier, and test-time scaling.

The numbers the papers report are in `repro.papers`; this file says what is run, and how our setting differs. The claims
are in `_table2_claims`, the ledger in `_table2_ledger`. Values marked "chosen" are ours because the paper does not
state them. Evaluation sets are named by their role, so that a claim means the same at every scale.
"""

from repro.experiments._table2_claims import CLAIMS, FAR, HARD, NEAR
from repro.experiments._table2_ledger import LEDGER
from repro.experiments.types import Arm, Experiment, ScaleSettings, TuningGrid

_LAMBDAS = (0.05, 0.1, 3.0, 10.0)  # beside the values of the tuning grid: two arms of one setting would be one trial
ARMS = (
    Arm("base", "Base model", "none"),
    Arm("grpo-n4", "GRPO", "grpo", {"n": 4}),
    Arm("grpo-n4-v", "GRPO^V", "grpo-v", {"n": 4}),
    Arm("loo-n4", "LOO-PPO", "loo", {"n": 4}),
    Arm("loo-n4-v", "LOO-PPO^V", "loo-v", {"n": 4}),
    Arm("vineppo-n4", "VinePPO", "vineppo", {"n": 4}),
    Arm("vineppo-n4-v", "VinePPO^V", "vineppo-v", {"n": 4}),
    *(
        Arm(f"grpo-n4-v-lam{value:g}", f"GRPO^V, lambda {value:g}", "grpo-v", {"n": 4}, core=False)
        for value in _LAMBDAS
    ),
    Arm("grpo-n4-v-head", "GRPO^V, classification head", "grpo-v", {"n": 4, "verifier": "head"}, core=False),
    Arm("grpo-n4-v-separate", "GRPO, separate verifier", "grpo-v", {"n": 4, "verifier": "separate"}, core=False),
    Arm("grpo-n4-v-balanced", "GRPO^V, balanced", "grpo-v", {"n": 4, "balance": True}, core=False),
    Arm("vineppo-n4-k1", "VinePPO, K=1", "vineppo", {"n": 4}, core=False),
    Arm("vineppo-n4-k9", "VinePPO, K=9", "vineppo", {"n": 4}, core=False),
    Arm("ppo-n4", "PPO", "ppo", {"n": 4}, core=False),
)


def _arms(grpo: dict, loo: dict, vineppo: dict, ppo: dict, verify: dict[str, float], rates: dict[str, float]) -> dict:
    """Every arm's overrides at one scale, from the base methods' values.

    `verify`: lambda of the ^V form of each base method. `rates`: learning rates by core arm; an ablation arm, untuned,
    takes the rate of the arm it varies, and a ^V arm always shares the settings of its base method.
    """

    def rate(arm: str) -> dict:
        return {"learning_rate": rates[arm]} if arm in rates else {}

    arms = {}
    for name, method in (("grpo", grpo), ("loo", loo), ("vineppo", vineppo)):
        arms[f"{name}-n4"] = {"method": dict(method), "train": rate(f"{name}-n4")}
        arms[f"{name}-n4-v"] = {"method": {**method, "verify_lambda": verify[name]}, "train": rate(f"{name}-n4-v")}
    of_v = arms["grpo-n4-v"]
    for value in _LAMBDAS:
        arms[f"grpo-n4-v-lam{value:g}"] = {**of_v, "method": {**grpo, "verify_lambda": value}}
    for name in ("head", "separate", "balanced"):
        arms[f"grpo-n4-v-{name}"] = of_v
    for k in (1, 9):
        arms[f"vineppo-n4-k{k}"] = {**arms["vineppo-n4"], "method": {**vineppo, "k": k}}
    arms["ppo-n4"] = {"method": dict(ppo), "train": rate("ppo-n4")}
    return arms


# --- micro scale: values of the pilot runs and of table2-tuning -------------------------------------------------------
_NEAR_LEVELS, _HARD_LEVELS, _FAR_LEVELS = ["sum2", "sum3"], ["sum4", "sum5"], ["mix1", "mix2"]
_BASE_LEVELS = [*_NEAR_LEVELS, *_HARD_LEVELS, *_FAR_LEVELS]


def _pool(name: str, levels: list[str], greedy: bool = True) -> dict:
    """One set of 128 questions with a pool of 64 judged samples each."""
    return {
        "name": name,
        "task": "ladder",
        "options": {"levels": levels},
        "split": "test",
        "questions": 128,
        "n": 64,
        "temperature": 1.0,
        "greedy": greedy,
        "verify": True,
    }


MICRO = ScaleSettings(
    # RL trains on two or three additions and subtractions of a digit, modulo 100; the base has seen all levels.
    task={"name": "ladder", "options": {"levels": _NEAR_LEVELS, "base_levels": _BASE_LEVELS}},
    base={
        "kind": "micro",
        "recipe": {
            "hidden": 64,
            "layers": 3,
            "heads": 4,
            "ffn": 192,
            "positions": 512,
            "noise": 0.7,
            "steps": 2500,
            "batch": 64,
            "learning_rate": 4e-3,
            "seed": 0,
            "verdicts": 1.0,
            "verdict_noise": 0.5,
        },
    },
    seeds=5,
    train={
        "steps": 60,
        "completions_per_step": 128,
        "micro_batch": 32,
        "learning_rate": 1e-4,
        "critic_learning_rate": 1e-3,
        "max_prompt": 24,
        "max_completion": 40,
        "precision": "fp32",
        "eval_every": 20,
        "checkpoint_every": 20,
    },
    evaluation={
        "sets": [_pool(NEAR, _NEAR_LEVELS), _pool(HARD, _HARD_LEVELS), _pool(FAR, _FAR_LEVELS)],
        "max_completion": 40,
        "batch": 512,
        "dev_questions": 128,
        "dev_n": 4,
        "budgets": (10, 14, 18, 22, 28, 40),
    },
    arms=_arms(
        # Best grid points of table2-tuning; a test compares them with the stored tuning records.
        grpo={"minibatches": 1},
        loo={"minibatches": 2},
        vineppo={"minibatches": 4, "k": 3},
        ppo={"minibatches": 4},
        verify={"grpo": 1.0, "loo": 1.0, "vineppo": 0.3},
        rates={
            "grpo-n4": 4e-4,
            "grpo-n4-v": 8e-4,
            "loo-n4": 4e-4,
            "loo-n4-v": 4e-4,
            "vineppo-n4": 2e-4,
            "vineppo-n4-v": 2e-4,
            "ppo-n4": 2e-4,
        },
    ),
)
# ----------------------------------------------------------------------------------------------------------------------

_LAMBDA = {"grpo": 0.3, "loo": 0.3, "vineppo": 0.3}  # chosen
SMALL = ScaleSettings(
    task={"name": "math", "options": {}},
    base={"kind": "hub", "id": "Qwen/Qwen2.5-0.5B-Instruct", "revision": None},
    seeds=5,
    train={
        "steps": 200,
        "completions_per_step": 128,
        "micro_batch": 8,
        "learning_rate": 1e-6,
        "critic_learning_rate": 1e-5,
        "max_prompt": 512,
        "max_completion": 768,
        "precision": "bf16",
        "gradient_checkpointing": True,
    },
    evaluation={
        "sets": [
            {"name": NEAR, "task": "math500", "n": 64, "temperature": 0.7, "greedy": True, "verify": True},
            {"name": HARD, "task": "aime24", "n": 64, "temperature": 0.7, "greedy": False, "verify": True},
        ],
        "max_completion": 1024,
        "batch": 256,
        "dev_questions": 256,
        "dev_n": 1,
        "budgets": (256, 512, 768, 1024),
    },
    arms=_arms(
        grpo={"minibatches": 1},
        loo={"minibatches": 2},
        vineppo={"minibatches": 2, "k": 3},
        ppo={"minibatches": 2},
        verify=_LAMBDA,
        rates={},
    ),
)

# RL^V states almost no setting of training; VinePPO's are from the authors' code. What neither states is chosen.
_SAMPLED = {"temperature": 0.7, "greedy": False, "verify": True}
PAPER = ScaleSettings(
    task={"name": "math", "options": {}},
    base={"kind": "hub", "id": "Qwen/Qwen2.5-Math-1.5B", "revision": None},
    seeds=1,
    train={
        "steps": 300,  # chosen
        "completions_per_step": 512,  # VinePPO: 64 problems x 8; here 128 x 4
        "micro_batch": 4,  # chosen
        "learning_rate": 1e-6,
        "critic_learning_rate": 1e-6,
        "max_prompt": 1024,  # chosen
        "max_completion": 1024,
        "temperature": 0.6,
        "max_grad_norm": 1.0,
        "precision": "bf16",  # chosen
        "gradient_checkpointing": True,  # chosen
        "backend": "vllm",
        "vllm_memory": 0.4,  # chosen
        "checkpoint_every": 20,
        "eval_every": 20,
    },
    evaluation={
        "sets": [
            {"name": NEAR, "task": "math500", "n": 512, **_SAMPLED},
            {"name": HARD, "task": "math2", "n": 128, **_SAMPLED},
            {"name": FAR, "task": "gpqa", "n": 128, **_SAMPLED},
            {"name": "aime24", "task": "aime24", "n": 64, **_SAMPLED},
        ],
        "max_completion": 2048,
        "batch": 256,
        "dev_questions": 128,
        "dev_n": 1,
        "backend": "vllm",
        "budgets": (512, 1024, 1536, 2048),
    },
    arms=_arms(
        grpo={"minibatches": 1, "epsilon": 0.2},  # chosen
        loo={"minibatches": 2, "epsilon": 0.2},  # chosen
        vineppo={"k": 9, "epsilon": 0.2, "beta": 1e-4, "epochs": 2, "minibatches": 8},
        ppo={"lam": 1.0, "epsilon": 0.2, "kl_coefficient": 1e-4, "epochs": 2, "minibatches": 8},
        verify=_LAMBDA,
        rates={},
    ),
)

_RATES = (1e-4, 2e-4, 4e-4, 8e-4)
_LAMBDA_GRID = TuningGrid(_RATES, "verify_lambda", (0.3, 1.0), "lam")

EXPERIMENT = Experiment(
    id="table2",
    title="RL^V: one model as reasoner and verifier",
    paper="rlv",
    summary="GRPO, leave-one-out PPO and VinePPO, each with and without unified verification, and what the trained "
    "verifier buys when test-time compute grows: majority, best-of-N and weighted voting over the number of samples, "
    "in distribution, from easy to hard, and out of distribution.",
    arms=ARMS,
    metrics=(
        "accuracy",
        "greedy",
        "majority@64",
        "best@64",
        "weighted@64",
        "verifier_accuracy",
        "verifier_auc_within",
        "train_seconds",
        "time_per_step",
        "predicted_peak",
        "truncated",
    ),  # fmt: skip
    claims=CLAIMS,
    ledger=LEDGER,
    scales={"micro": MICRO, "small": SMALL, "paper": PAPER},
    tuning={
        "grpo-n4": TuningGrid(_RATES, "minibatches", (1, 4), "mb"),
        "grpo-n4-v": _LAMBDA_GRID,
        "loo-n4": TuningGrid(_RATES, "minibatches", (2, 4), "mb"),
        "loo-n4-v": _LAMBDA_GRID,
        "vineppo-n4": TuningGrid(_RATES, "minibatches", (2, 4), "mb"),
        "vineppo-n4-v": _LAMBDA_GRID,
        "ppo-n4": TuningGrid(_RATES, "minibatches", (2, 4), "mb"),  # an ablation arm, but claims rest on it
    },
)
