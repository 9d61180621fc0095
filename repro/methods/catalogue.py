"""The methods as data: what `repro list` shows, and where the trainer finds the class. Importing it loads no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro.errors import InputError
from repro.methods import configs

if TYPE_CHECKING:
    from repro.methods.base import Method


@dataclass(frozen=True)
class MethodEntry:
    """One method. `evidence` says what its formulas rest on; the module's docstring lists what differs.

    `inner` names the method that a form with verdicts (`<inner>-v`) wraps; its class is built by `module`'s `verified`.
    """

    name: str
    module: str
    cls: str
    config: str
    summary: str
    paper: str
    evidence: str
    inner: str | None = None


METHODS: dict[str, MethodEntry] = {
    entry.name: entry
    for entry in (
        MethodEntry(
            "grpo",
            "repro.methods.grpo",
            "Grpo",
            "GrpoConfig",
            "Group-relative policy optimisation: clipped surrogate, group mean (and standard deviation) as baseline.",
            "DeepSeekMath (arXiv 2402.03300); options of Dr. GRPO (2503.20783) and DAPO (2503.14476)",
            "papers, and TRL 1.16's GRPOTrainer for epsilon and the KL estimator",
        ),
        MethodEntry(
            "rloo",
            "repro.methods.rloo",
            "Rloo",
            "RlooConfig",
            "REINFORCE with the mean reward of the group's other rollouts as baseline; a completion is one action.",
            "Ahmadian et al. (arXiv 2402.14740); estimator of Kool et al. 2019",
            "paper",
        ),
        MethodEntry(
            "loo",
            "repro.methods.loo",
            "Loo",
            "LooConfig",
            "Leave-one-out PPO: RLOO's baseline under PPO's clip, token by token; no critic.",
            "RL^V (arXiv 2505.04842); LOOP (arXiv 2502.01600)",
            "papers at second hand; the variant that RL^V uses is not stated",
        ),
        MethodEntry(
            "vineppo",
            "repro.methods.vineppo",
            "VinePpo",
            "VinePpoConfig",
            "PPO without a critic: values of reasoning steps are mean rewards of fresh rollouts from them.",
            "Kazemnejad et al. (arXiv 2410.01679)",
            "authors' released code and configs; formulas at second hand",
        ),
        MethodEntry(
            "ppo",
            "repro.methods.ppo",
            "Ppo",
            "PpoConfig",
            "Proximal policy optimisation: clipped surrogate, GAE on a separate critic, KL penalty in the reward.",
            "Schulman et al. (arXiv 1707.06347); for language models Ouyang et al. (2203.02155)",
            "papers; coefficients from TBRM (2505.15311) section 4.1",
        ),
        MethodEntry(
            "tbrm",
            "repro.methods.tbrm",
            "Tbrm",
            "TbrmConfig",
            "Trajectory Bellman residual minimisation: logits as Q-values, one squared residual per trajectory.",
            "Yuan et al. (arXiv 2505.15311)",
            "paper section 3 prose and Appendix E; constant factors are not stated",
        ),
        MethodEntry(
            "brm",
            "repro.methods.brm",
            "Brm",
            "BrmConfig",
            "Token-level Bellman residual minimisation, the ablation that collapses in TBRM's paper.",
            "Yuan et al. (arXiv 2505.15311), Equation 3 and Appendix H.3",
            "formula reconstructed from the paper's prose",
        ),
        MethodEntry(
            "astar-po",
            "repro.methods.astar_po",
            "AstarPo",
            "AstarPoConfig",
            "A*-PO: V* from the base model's samples before training, then one rollout and a squared residual each.",
            "Accelerating RL for LLM Reasoning with Optimal Advantage Regression (arXiv 2505.20686)",
            "authors' released code and configs, and TRL 1.16's A2POTrainer; formulas at second hand",
        ),
        MethodEntry(
            "rebel",
            "repro.methods.rebel",
            "Rebel",
            "RebelConfig",
            "REBEL: the difference of two log-ratios to the sampling policy regressed onto the difference of rewards.",
            "Gao et al. (arXiv 2404.16767)",
            "authors' released code; the formula at second hand, and no script for A*-PO's baseline",
        ),
        MethodEntry(
            "ksample",
            "repro.methods.ksample",
            "Ksample",
            "KsampleConfig",
            "Policy gradient of a k-sample objective (mean, pass@k, majority), with or without leave-one-out baseline.",
            "Optimizing Language Models for Inference Time Objectives using RL (arXiv 2503.19595)",
            "formulas at second hand, checked by exact enumeration; the biased variant is inferred",
        ),
        MethodEntry(
            "pkpo",
            "repro.methods.pkpo",
            "Pkpo",
            "PkpoConfig",
            "PKPO: unbiased pass@k gradient from n samples, averaged over all subsets of size k.",
            "Pass@K Policy Optimization (arXiv 2505.15201)",
            "paper's main text, checked by brute force",
        ),
        MethodEntry(
            "passk-training",
            "repro.methods.passk_training",
            "PasskTraining",
            "PasskTrainingConfig",
            "Pass@k Training: GRPO with analytic pass@k advantages.",
            "Pass@k Training (arXiv 2508.10751)",
            "paper, Equations 11-15",
        ),
        MethodEntry(
            "sgrpo",
            "repro.methods.sgrpo",
            "Sgrpo",
            "SgrpoConfig",
            "S-GRPO: GRPO on the first tokens of each completion and a random sample of the later ones.",
            "Token-Efficient RL for LLM Reasoning (arXiv 2504.20834)",
            "token rule and loss at second hand, checked by exact enumeration; alpha, k and P are not public",
        ),
        MethodEntry(
            "tspmo",
            "repro.methods.tspmo",
            "Tspmo",
            "TspmoConfig",
            "T-SPMO (reconstruction): credit at the branching points of the prefix tree of a group's completions.",
            "Token-Efficient RL for LLM Reasoning (arXiv 2504.20834)",
            "reconstruction: advantage, loss, regulariser and replay rule of the paper are not public",
        ),
        MethodEntry(
            "krpo",
            "repro.methods.krpo",
            "Krpo",
            "KrpoConfig",
            "KRPO: a Kalman filter over the group's rewards gives GRPO its baseline and scale.",
            "Kalman Filter Enhanced GRPO (arXiv 2505.07527)",
            "authors' released code; formulas at second hand",
        ),
        MethodEntry(
            "grpo-entropy",
            "repro.methods.grpo_entropy",
            "GrpoEntropy",
            "GrpoEntropyConfig",
            "GRPO on the tokens of highest entropy only.",
            "Beyond the 80/20 Rule (arXiv 2506.01939)",
            "TRL 1.16's GRPOTrainer (top_entropy_quantile)",
        ),
    )
}


def _with_verdicts(inner: MethodEntry) -> MethodEntry:
    return MethodEntry(
        f"{inner.name}-v",
        "repro.methods.verified",
        f"Verified{inner.cls}",
        f"Verified{inner.config}",
        f"{inner.name} with unified verification (RL^V).",
        f"RL^V (arXiv 2505.04842) on {inner.paper}",
        "RL^V's figure captions and digests of it; the weight of the verdicts is not stated",
        inner=inner.name,
    )


METHODS |= {made.name: made for made in map(_with_verdicts, list(METHODS.values()))}


def entry(name: str) -> MethodEntry:
    """The catalogue entry of `name`; InputError with the nearest names if there is none."""
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}{configs.nearest(name, METHODS)} (methods: {', '.join(METHODS)})")
    return METHODS[name]


def load(name: str) -> type[Method]:
    """The class of method `name`; imports its module, and with it torch."""
    found = entry(name)
    if found.inner is not None:
        return importlib.import_module(found.module).verified(load(found.inner))
    return getattr(importlib.import_module(found.module), found.cls)


def create(method: dict[str, Any]) -> Method:
    """The method of a trial config's `method` entry, ready to use."""
    name, config = configs.from_json(method)
    return load(name)(config)
