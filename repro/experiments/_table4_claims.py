"""The claims of table4: training for inference-time objectives (arXiv 2503.19595), on maths and on code.

The paper's directions are known, its numbers are not: every claim is a direction. C1 to C5 are about the estimators and
stand in figure1.
"""

from typing import Any

from repro.experiments.types import Claim

K = 8
_TASKS = {"math": "maths", "code": "code"}
_NONE = "A direction only: no number of the paper's language models is known."
_MATHS = "[paper] abstract; captions of Figures 2 and 4"
_CODE = "[paper] abstract; caption of Figure 5"
_EVIDENCE = {"math": _MATHS, "code": _CODE}


def _claim(id: str, sentence: str, metric: str, arm: str, against: str, **changes: Any) -> Claim:
    values = {
        "paper": "inference_time",
        "evidence": _EVIDENCE[arm.partition("-")[0]],
        "kind": "direction",
        "contrast": "difference",
        "better": "higher",
        "margin": 0.0,
        "paper_supports": _NONE,
    }
    return Claim(id=id, sentence=sentence, metric=metric, arm=arm, against=against, **(values | changes))


def _number(task: str) -> str:
    """C6 is the trade-off in general and on maths, C7 that on code."""
    return "C6" if task == "math" else "C7"


_TRADE_OFF = tuple(
    claim
    for task, name in _TASKS.items()
    for claim in (
        _claim(
            f"{_number(task)}-mean-{task}",
            f"Training for the mean is better at pass@1 than training for pass@{K} ({name}).",
            "accuracy",
            f"{task}-mean",
            f"{task}-pass",
        ),
        _claim(
            f"{_number(task)}-pass-{task}",
            f"Training for pass@{K} is better at pass@{K} than training for the mean ({name}).",
            f"pass@{K}",
            f"{task}-pass",
            f"{task}-mean",
        ),
        _claim(
            f"{_number(task)}-biased-{task}",
            f"Training for pass@{K}, biased variant, is better at pass@{K} than training for the mean ({name}).",
            f"pass@{K}",
            f"{task}-pass-biased",
            f"{task}-mean",
        ),
        _claim(
            f"{_number(task)}-base-{task}",
            f"Training for pass@{K} raises pass@{K} above the base model's ({name}).",
            f"pass@{K}",
            f"{task}-pass",
            f"{task}-base",
        ),
        _claim(
            f"{_number(task)}-majority-{task}",
            f"Training for majority voting is better at majority@{K} than training for the mean ({name}).",
            f"majority@{K}",
            f"{task}-majority",
            f"{task}-mean",
            evidence="[second-hand] a reading note: each objective is best when trained for it",
        ),
    )
)

_EQUAL = tuple(
    claim
    for task, name in _TASKS.items()
    for claim in (
        _claim(
            f"{_number(task)}-mean-{task}-rate",
            f"At the mean's learning rate, too, training for the mean is better at pass@1 ({name}).",
            "accuracy",
            f"{task}-mean",
            f"{task}-pass-rate",
        ),
        _claim(
            f"{_number(task)}-pass-{task}-rate",
            f"At the mean's learning rate, too, training for pass@{K} is better at pass@{K} ({name}).",
            f"pass@{K}",
            f"{task}-pass-rate",
            f"{task}-mean",
        ),
    )
)

_CONTROL = tuple(
    _claim(
        f"{_number(task)}-many-{task}",
        f"Training for pass@{K} keeps its lead at pass@{K} over the mean with {K} times the updates on as many "
        f"completions ({name}).",
        f"pass@{K}",
        f"{task}-pass",
        f"{task}-mean-many",
        evidence="[second-hand] asked for by an ICML reviewer; the authors' answer is not known",
        paper_supports="Nothing: the comparison was asked for.",
    )
    for task, name in _TASKS.items()
)

_OVER_K = tuple(
    _claim(
        f"F3-k{k}",
        f"Training for pass@{k} is better at pass@{k} than training for the mean (maths).",
        f"pass@{k}",
        f"math-pass-k{k}",
        "math-mean",
        evidence="[paper] caption of Figure 3",
        paper_supports="The estimates gain efficiency over the baseline as k grows; values of k and sizes are not "
        "known.",
    )
    for k in (2, 4, 16)
)

_BASELINE = (
    _claim(
        "C3-naive",
        f"Without the leave-one-out control variate training for pass@{K} is worse at pass@{K} (maths).",
        f"pass@{K}",
        "math-pass",
        "math-pass-naive",
        evidence="[derived] from the variances of the estimators; the paper's own comparison is not known",
        paper_supports="The variance is lower (see figure1); what that means for a trained model is not reported.",
    ),
)

_PPO = (
    _claim(
        "C8-base",
        f"Training for pass@{K} works inside PPO: it raises pass@{K} above the base model's (maths).",
        f"pass@{K}",
        "math-pass-ppo",
        "math-base",
        evidence="[second-hand] a one-paragraph summary",
        paper_supports="A statement without formula or number.",
    ),
    _claim(
        "C8-mean",
        f"With PPO's clip, too, training for pass@{K} is better at pass@{K} than training for the mean (maths).",
        f"pass@{K}",
        "math-pass-ppo",
        "math-mean-ppo",
        evidence="[second-hand] a one-paragraph summary",
        paper_supports="A statement without formula or number.",
    ),
)

_LATER = tuple(
    _claim(
        f"C9-pkpo-{task}",
        f"PKPO with k=4 of {K} samples is better at pass@{K} than the estimator with k={K} ({name}).",
        f"pass@{K}",
        f"{task}-pkpo-k4",
        f"{task}-pass",
        evidence="[other] PKPO (arXiv 2505.15201), Tables 1-6",
        paper_supports="Another paper's runs: PKPO with k=8 of 16 samples is ahead in every cell of its six tables.",
    )
    for task, name in _TASKS.items()
)

CLAIMS = (*_TRADE_OFF, *_EQUAL, *_CONTROL, *_OVER_K, *_BASELINE, *_PPO, *_LATER)
