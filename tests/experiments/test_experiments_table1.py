"""table1's data against the paper's own settings, and the fairness rules of the suite."""

import pytest

from repro import papers
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.methods import configs

TABLE1 = registry.get("table1")


def config(scale, arm):
    return resolve(TABLE1, scale, arm, 0)


@pytest.mark.parametrize("scale", ["smoke", "micro", "small", "paper"])
@pytest.mark.parametrize("arm", [arm.id for arm in TABLE1.arms])
def test_every_arm_resolves_at_every_scale(scale, arm):
    resolved = config(scale, arm)
    assert type(resolved).from_json(resolved.to_json()) == resolved
    if not resolved.trains:
        assert resolved.train.steps == 0
        return
    _, method = configs.from_json(resolved.method)
    per_update = resolved.train.completions_per_step // resolved.train.processes // getattr(method, "minibatches", 1)
    assert per_update % resolved.train.micro_batch == 0, "rows per update must be whole micro-batches"


@pytest.mark.parametrize("scale", ["smoke", "micro", "small"])
def test_accuracy_is_compared_at_equal_completions(scale):
    settings = {
        (c.train.completions_per_step, c.train.steps) for arm in TABLE1.arms if (c := config(scale, arm.id)).trains
    }
    assert len(settings) == 1


@pytest.mark.parametrize("scale", ["micro", "small", "paper"])
def test_all_arms_share_base_task_and_evaluation(scale):
    resolved = [config(scale, arm.id) for arm in TABLE1.arms]
    assert (
        len({repr((c.base, c.task, c.evaluation, c.train.max_completion, c.train.temperature)) for c in resolved}) == 1
    )


def test_paper_scale_is_the_papers_setting():
    """Sections 4.1, G.1 and G.3 of arXiv 2505.15311."""
    for arm, n in {"ppo-n1": 1, "tbrm-n1": 1, "grpo-n4": 4, "tbrm-n4": 4}.items():
        c = config("paper", arm)
        assert c.n == n
        assert c.base == {"kind": "hub", "id": "Qwen/Qwen2.5-Math-1.5B", "revision": None}
        assert c.task["name"] == "dapo17k"
        assert c.train.completions_per_step == 128 * n, "128 prompts per step for every arm"
        assert (c.train.steps, c.train.max_completion, c.train.temperature) == (760, 2048, 1.0)
        assert (c.train.backend, c.train.vllm_memory, c.train.processes, c.train.micro_batch) == ("vllm", 0.4, 4, 1)
    ppo, grpo = config("paper", "ppo-n1"), config("paper", "grpo-n4")
    assert (ppo.train.learning_rate, ppo.train.critic_learning_rate) == (1e-6, 1e-5)
    kl, entropy, clip = (ppo.method[name] for name in ("kl_coefficient", "entropy_coefficient", "epsilon"))
    assert (kl, entropy, clip) == (0.001, 0.001, 0.2)
    assert grpo.method["beta"] == 0.001
    for arm in ("tbrm-n1", "tbrm-n4"):
        c = config("paper", arm)
        assert (c.method["beta"], c.train.learning_rate, c.method["epochs"] * c.method["minibatches"]) == (
            0.002,
            2.5e-6,
            1,
        )
    sets = {one.task: one for one in config("paper", "base").evaluation.sets}
    assert set(sets) == {"aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench"}
    for name in ("aime24", "aime25", "amc23"):
        assert (sets[name].n, sets[name].temperature) == (32, 1.0)
    for name in ("math500", "minerva", "olympiadbench"):
        assert (sets[name].n, sets[name].temperature) == (1, 0.0)


def test_claims_name_arms_and_paper_claims_that_exist():
    arms = {arm.id for arm in TABLE1.arms}
    for claim in TABLE1.claims:
        assert {claim.arm, claim.against} <= arms
        papers.claim(claim.paper, claim.id.partition("-")[0])
        assert claim.sentence and claim.evidence and claim.paper_supports
    core = {arm.id for arm in TABLE1.core_arms}
    outside = [claim.id for claim in TABLE1.claims if not {claim.arm, claim.against} <= core]
    assert outside == ["T9-collapse", "T9-tbrm"], "only the claims on the collapsing ablation may need an ablation arm"


def test_claims_keep_the_papers_figures():
    margins = {claim.id: (claim.kind, claim.margin) for claim in TABLE1.claims}
    assert margins["T7-time-ppo"] == ("threshold", 1.3)
    assert margins["T7-time-grpo"] == ("threshold", 3.1)
    kind, margin = margins["T7-memory"]
    assert kind == "exact" and 1 - 1 / margin == pytest.approx(0.333, abs=0.001)
    assert margins["T2"] == ("non-inferior", 0.013)


def test_ledger_covers_what_the_paper_leaves_open():
    text = " ".join(f"{line.where} {line.paper} {line.ours}" for line in TABLE1.ledger).lower()
    for topic in (
        "loss", "optimizer", "gradient clipping", "precision", "truncated", "beta", "learning rate", "minibatches",
        "temperature", "seeds", "evaluation", "olympiadbench", "de-duplication", "prompt length", "gae", "completions",
    ):  # fmt: skip
        assert topic in text, topic
