"""The claims of table2: RL^V (arXiv 2505.04842, R…) and VinePPO (2410.01679, V…).

Most tables of RL^V could not be read, so its claims are the headline factors and qualitative statements, each with the
evidence it has. The gain of over 20 % has no stated reference point: only its direction is tested.
Claims that need an ablation arm stay "not run" until that arm is run.
"""

from typing import Any

from repro.experiments.types import Claim

NEAR, HARD, FAR = "in-distribution", "easy-to-hard", "out-of-distribution"
BASES = {"grpo": "GRPO", "loo": "Leave-one-out PPO", "vineppo": "VinePPO"}
_NOT_BY_METHOD = "Which base methods the figure rests on could not be read; the claim is made for all."


def _claim(name: str, sentence: str, metric: str, arm: str, against: str, **more: Any) -> Claim:
    """A claim with the fields most of them share: a direction of a difference, higher is better."""
    usual = {"kind": "direction", "contrast": "difference", "better": "higher", "margin": 0.0, "paper": "rlv"}
    return Claim(id=name, sentence=sentence, metric=metric, arm=arm, against=against, **{**usual, **more})


_COST = (
    _claim(
        "R1-cost",
        "Verification comes without additional sampling: a training step of GRPO^V takes at most 1.4 times one of "
        "GRPO.",
        "time_per_step",
        "grpo-n4-v",
        "grpo-n4",
        kind="non-inferior",
        contrast="ratio",
        better="lower",
        margin=1 - 1 / 1.4,
        evidence="[paper] Fig. 3 (design); the limit of 1.4 is ours",
        paper_supports="A statement of design; no cost is printed.",
    ),
)

_PARALLEL = tuple(
    _claim(
        f"R2-{base}",
        f"Parallel sampling with the trained verifier raises the accuracy of {name}^V on MATH.",
        f"weighted@64:{NEAR}",
        f"{base}-n4-v",
        f"{base}-n4-v",
        against_metric=f"accuracy:{NEAR}",
        evidence="[paper] abstract",
        paper_supports="Over 20 % up, but whether relative or absolute and against which point is not stated; only the "
        f"direction against a single sample is tested. {_NOT_BY_METHOD}",
    )
    for base, name in BASES.items()
)

_EFFICIENCY = tuple(
    _claim(
        f"R3-{base}",
        f"{name}^V reaches the best accuracy of {name} with at least 8 times fewer samples.",
        f"weighted@efficiency:{NEAR}",
        f"{base}-n4-v",
        f"{base}-n4",
        against_metric=f"majority@efficiency:{NEAR}",
        kind="threshold",
        contrast="ratio",
        margin=8.0,
        evidence="[paper] abstract",
        paper_supports="8-32x without the accuracies behind it; slides say 32x on MATH500 for Leave-one-out PPO "
        f"[second-hand]. {_NOT_BY_METHOD}",
    )
    for base, name in BASES.items()
)

_CEILING = (
    _claim(
        "R4",
        "Leave-one-out PPO^V has the higher ceiling at large N in distribution.",
        f"weighted@64:{NEAR}",
        "loo-n4-v",
        "loo-n4",
        against_metric=f"majority@64:{NEAR}",
        evidence="[second-hand] slides of a talk",
        paper_supports="+3 % on MATH500 at N up to 512 [second-hand]; nothing in the text that could be read.",
    ),
)

_TRANSFER = tuple(
    _claim(
        f"R5-{short}-{what}",
        f"{sentence} {where}.",
        f"{metric}:{label}",
        "loo-n4-v",
        "loo-n4",
        against_metric=f"{rival}:{label}",
        evidence="[paper] abstract, qualitative; figures [second-hand] slides",
        paper_supports=f"Qualitative; {gain} for Leave-one-out PPO [second-hand].",
    )
    for short, label, where, gain in (
        ("hard", HARD, "from easy to hard problems", "+5 % on MATH^2"),
        ("far", FAR, "out of distribution", "+10 % on GPQA Diamond Physics"),
    )
    for what, sentence, metric, rival in (
        (
            "vote",
            "Leave-one-out PPO^V, voting by its verifier, beats leave-one-out PPO by majority",
            "weighted@64",
            "majority@64",
        ),
        (
            "verifier",
            "The trained verifier tells right from wrong solutions of a question better than the judge",
            "verifier_auc_within",
            "verifier_auc_within",
        ),
    )
)

_JOINT = (
    _claim(
        "R6",
        "When parallel and sequential compute are scaled together, GRPO^V is at least 1.2 times as accurate as GRPO.",
        f"joint@64:{HARD}",
        "grpo-n4-v",
        "grpo-n4",
        against_metric=f"joint_majority@64:{HARD}",
        kind="threshold",
        contrast="ratio",
        margin=1.2,
        evidence="[paper] abstract (v1, v2)",
        paper_supports="1.2-1.6x for a long chain-of-thought model on AIME'24, trained on MATH; the abstract on "
        "OpenReview says 1.5-2x. Which average the factor is taken over is not stated.",
    ),
)

_VOTING = tuple(
    _claim(
        f"R8-{rule}",
        f"With 8 samples weighted voting beats {name} (GRPO^V).",
        f"weighted@8:{NEAR}",
        "grpo-n4-v",
        "grpo-n4-v",
        against_metric=f"{rule}@8:{NEAR}",
        evidence="[second-hand] a digest and a news article",
        paper_supports="Qualitative, from 8 samples on, for short and long chains of thought.",
    )
    for rule, name in (("majority", "majority voting"), ("best", "Best-of-N"))
)

_JUDGE = tuple(
    _claim(
        f"R9-{base}",
        f"The trained verifier of {name}^V beats the model of {name} as a judge.",
        f"verifier_accuracy:{NEAR}",
        f"{base}-n4-v",
        f"{base}-n4",
        evidence="[second-hand] COLM reviews; design of Fig. 1 and 2",
        paper_supports="No figure; whether the judge is the base model or the RL-tuned one is not stated. An untrained "
        "judge's accuracy depends on the share of correct samples, which stands beside it.",
    )
    for base, name in BASES.items()
)

_ABLATIONS = (
    _claim(
        "R10-verifier",
        "A larger lambda makes the better verifier (GRPO^V).",
        f"verifier_auc_within:{NEAR}",
        "grpo-n4-v-lam10",
        "grpo-n4-v-lam0.05",
        evidence="[second-hand] a news article",
        paper_supports="Accuracy from about 50 % to about 80 % as lambda grows [second-hand]; the values of lambda are "
        "not stated. Tested by the ranking within questions, which does not depend on how many samples are right.",
    ),
    _claim(
        "R10-reasoner",
        "A larger lambda makes the weaker reasoner (GRPO^V).",
        f"accuracy:{NEAR}",
        "grpo-n4-v-lam0.05",
        "grpo-n4-v-lam10",
        evidence="[second-hand] a news article",
        paper_supports="That lambda must be balanced [second-hand]; no figure.",
    ),
    _claim(
        "R11",
        "A generative verdict beats a classification head.",
        f"verifier_auc_within:{NEAR}",
        "grpo-n4-v",
        "grpo-n4-v-head",
        evidence="[second-hand] a digest names the ablation",
        paper_supports="Only that the ablation exists; its outcome could not be confirmed.",
    ),
    _claim(
        "R12",
        "One model for both roles verifies as well as a separate verifier.",
        f"verifier_auc_within:{NEAR}",
        "grpo-n4-v",
        "grpo-n4-v-separate",
        kind="non-inferior",
        margin=0.02,
        evidence="[second-hand] a digest",
        paper_supports="No figure; the margin of 2 points is ours.",
    ),
)

_VINEPPO = (
    _claim(
        "V13",
        "VinePPO beats PPO.",
        f"accuracy:{NEAR}",
        "vineppo-n4",
        "ppo-n4",
        paper="vineppo",
        evidence="[code] README figure",
        paper_supports="+4.9 and +3.2 points on MATH, +3.3 and +1.2 on GSM8K (RhoMath 1.1B and DeepSeekMath 7B); one "
        "label per bar, no error.",
    ),
    _claim(
        "V14",
        "More fresh rollouts per step are better: K=9 over K=1.",
        f"accuracy:{NEAR}",
        "vineppo-n4-k9",
        "vineppo-n4-k1",
        paper="vineppo",
        evidence="[second-hand] a digest of v2",
        paper_supports="19.9 (K=1), 21.2 (K=3), 23.0 (K=9) for RhoMath on MATH; only the last agrees with a figure of "
        "the authors.",
    ),
    _claim(
        "V15",
        "A training step of VinePPO takes longer than one of PPO.",
        "time_per_step",
        "ppo-n4",
        "vineppo-n4",
        contrast="ratio",
        better="lower",
        paper="vineppo",
        evidence="[second-hand] digests of v2",
        paper_supports="4.75 and 1.87 times slower, from seconds per iteration [second-hand]; only the direction is "
        "tested, because the factor depends on the sampling engine.",
    ),
)

CLAIMS = (
    *_COST, *_PARALLEL, *_EFFICIENCY, *_CEILING, *_TRANSFER, *_JOINT, *_VOTING, *_JUDGE, *_ABLATIONS, *_VINEPPO,
)  # fmt: skip
