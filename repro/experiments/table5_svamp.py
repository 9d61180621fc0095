"""S-GRPO and T-SPMO under LoRA on the real SVAMP (arXiv 2504.20834): trained on its 700 questions, tested on its 300.

At micro scale the base is that of table5's word problems, which never saw a problem of SVAMP.
"""

from collections.abc import Mapping
from typing import Any

from repro.experiments import table5
from repro.experiments._table5_claims import MEMORY, selection_claims, svamp_claims
from repro.experiments._table5_ledger import SVAMP_LEDGER
from repro.experiments.types import Arm, Experiment, Floor, Planned, ScaleSettings

FLOOR = Floor("base", 0.10)
SHOTS = 4
MICRO_SHOTS = 1  # the micro base has read two problems in a row, not more
_SHOWN = 1024  # tokens of a prompt with examples
ARMS = (
    *(Arm(id, display, method, config) for id, display, method, config in table5.CORE[:1]),
    Arm("base-shots", "base model, examples in the prompt", "none"),
    *(Arm(id, display, method, config) for id, display, method, config in table5.CORE[1:]),
)


def _arms(
    sets: list[dict[str, Any]], values: Mapping[str, Mapping[str, Any]], examples: int = SHOTS
) -> dict[str, dict]:
    """`values`: what the trained arms take from tuning; the base with examples is asked another way."""
    arms: dict[str, dict] = {id: {"method": {"n": table5.N}, "train": {}} for id, *_ in table5.CORE[1:]}
    for id, settings in values.items():
        arms[id]["method"] |= settings["method"]
        arms[id]["train"] |= settings["train"]
    shown = {"sets": [{**one, "shots": examples} for one in sets]}
    # Nothing is trained, but prompts are held to the same limit everywhere.
    return {**arms, "base-shots": {"method": {}, "train": {"max_prompt": _SHOWN}, "evaluation": shown}}


def _tuned() -> dict[str, Mapping[str, Any]]:
    """The values of table5's arms on word problems."""
    words = table5.EXPERIMENT.scales["micro"].arms
    return {id: words[f"words-{id}"] for id, _, method, _ in table5.CORE if method != "none"}


_MICRO_SETS = [{**table5.SET, "questions": None}]
MICRO = ScaleSettings(
    task={"name": "svamp", "options": {"template": "micro", "dev": 0}},
    base={**table5.WORDS_BASE, "task": table5.MICRO.task},
    seeds=5,
    train={**table5.TRAIN, "max_prompt": 96},
    evaluation={
        "sets": _MICRO_SETS,
        "max_completion": table5.TRAIN["max_completion"],
        "batch": 256,
        "curve": "test",  # all training questions are trained on, and nothing is chosen by the curve
        "dev_questions": 100,
        "dev_n": 4,
    },
    arms=_arms(_MICRO_SETS, _tuned(), MICRO_SHOTS),
)

_REAL_SETS = [{**table5.SET, "questions": None, "n": 4}]
_REAL_TRAIN = {
    "steps": 200,
    "completions_per_step": 128,
    "micro_batch": 8,
    "learning_rate": 1e-5,
    "max_prompt": 256,
    "max_completion": 256,
    "gradient_checkpointing": True,
    # The upper half of 28 layers.
    "lora": {"rank": 16, "alpha": 32.0, "layers": list(range(14, 28))},
    "eval_every": 20,
    "checkpoint_every": 20,
}
_LONG = {"sgrpo": {"method": {"alpha": 20, "p": 0.3}, "train": {}}}  # answers of a hundred tokens and more
SMALL = ScaleSettings(
    task={"name": "svamp", "options": {}},
    base={"kind": "hub", "id": "Qwen/Qwen2-1.5B", "revision": None},
    seeds=5,
    train={**_REAL_TRAIN, "precision": "bf16"},
    evaluation={
        "sets": _REAL_SETS,
        "max_completion": 256,
        "batch": 256,
        "dev_questions": 64,
        "dev_n": 1,
    },
    arms=_arms(_REAL_SETS, _LONG),
)
PAPER = ScaleSettings(
    task={"name": "svamp", "options": {"dev": 0}},
    base=SMALL.base,
    seeds=1,
    train={**_REAL_TRAIN, "gradient_checkpointing": False},  # fp32, as a note on the paper says
    evaluation={**SMALL.evaluation, "curve": "test"},
    arms=_arms(_REAL_SETS, _LONG),
)

EXPERIMENT = Experiment(
    id="table5-svamp",
    title="Token-efficient RL under LoRA on SVAMP",
    paper="token_efficient",
    summary="The core arms of table5 on the real SVAMP, at micro scale with the model that learnt generated word "
    "problems and with the values tuned on them.",
    arms=ARMS,
    metrics=table5.EXPERIMENT.metrics,
    claims=(*selection_claims("", FLOOR), *svamp_claims(FLOOR)),
    ledger=SVAMP_LEDGER,
    scales={"micro": MICRO, "small": SMALL, "paper": PAPER},
    tuned_in="table5",
    planned=(Planned(MEMORY, tuple(id for id, _, method, _ in table5.CORE if method != "none"), SMALL.base),),
)
