"""An experiment for the end-to-end tests: a tiny base, a dozen prompts, so that a few steps see them several times.

It is plugged in as any new table is: as one more file of `repro.experiments` (see `entry.py`). Its arms are one of each
kind of state that a checkpoint must hold: a critic with two updates per batch, and a group method.
"""

from repro.experiments.types import Arm, Claim, Experiment, ScaleSettings

PROMPTS, COMPLETIONS, STEPS = 12, 8, 16  # n=1: an epoch of 1.5 steps; n=4: of 6 steps

EXPERIMENT = Experiment(
    id="drill",
    title="End-to-end drill",
    paper="tbrm",
    summary="Seconds of real training, for tests.",
    arms=(
        Arm("base", "Base model", "none"),
        Arm("ppo-n1", "PPO n=1", "ppo", {"n": 1, "minibatches": 2}),
        Arm("tbrm-n4", "TBRM n=4", "tbrm", {"n": 4, "beta": 0.02}),
    ),
    metrics=("accuracy", "greedy", "pass@4", "train_seconds", "predicted_peak", "truncated"),
    claims=(
        Claim(
            id="D1",
            paper="tbrm",
            sentence="The group method beats the critic method.",
            evidence="[test]",
            kind="direction",
            metric="accuracy",
            arm="tbrm-n4",
            against="ppo-n1",
            contrast="difference",
            better="higher",
            margin=0.0,
            paper_supports="nothing: this is a test",
        ),
    ),
    ledger=(),
    scales={
        "micro": ScaleSettings(
            task={"name": "chain", "options": {"terms": [2, 3], "digits": 1, "form": "totals", "rl": PROMPTS}},
            base={
                "kind": "micro",
                "recipe": {
                    "hidden": 32,
                    "layers": 2,
                    "heads": 2,
                    "ffn": 64,
                    "noise": 0.3,
                    "steps": 300,
                    "batch": 32,
                    "learning_rate": 1e-2,
                },
            },
            seeds=1,
            train={
                "steps": STEPS,
                "completions_per_step": COMPLETIONS,
                "micro_batch": 4,
                "learning_rate": 2e-3,
                "critic_learning_rate": 2e-3,
                "max_prompt": 16,
                "max_completion": 16,
                "eval_every": 4,
                "checkpoint_every": 2,
            },
            evaluation={
                "sets": [{"task": None, "split": "test", "questions": 32, "n": 4, "temperature": 1.0, "greedy": True}],
                "max_completion": 16,
                "batch": 64,
                "dev_questions": 16,
                "dev_n": 2,
            },
        )
    },
)
