"""table2's data against what the papers say, and the fairness rules of the suite."""

import pytest

from repro import papers
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.methods import configs
from repro.statistics.contrast import evaluate_claims

TABLE2 = registry.get("table2")
CORE = ["base", "grpo-n4", "grpo-n4-v", "loo-n4", "loo-n4-v", "vineppo-n4", "vineppo-n4-v"]
SCALES = ["micro", "small", "paper"]
ONLY_V = set(configs.CONFIGS["grpo-v"].__dataclass_fields__) - set(configs.CONFIGS["grpo"].__dataclass_fields__)


def config(scale, arm):
    return resolve(TABLE2, scale, arm, 0)


def test_the_core_arms_are_the_base_and_three_methods_with_and_without_verification():
    assert [arm.id for arm in TABLE2.core_arms] == CORE
    for arm in TABLE2.arms:
        if arm.id.endswith("-n4-v"):
            assert arm.method == TABLE2.arm(arm.id.removesuffix("-v")).method + "-v"


@pytest.mark.parametrize("scale", ["smoke", *SCALES])
@pytest.mark.parametrize("arm", [arm.id for arm in TABLE2.arms])
def test_every_arm_resolves_at_every_scale(scale, arm):
    resolved = config(scale, arm)
    assert type(resolved).from_json(resolved.to_json()) == resolved
    if not resolved.trains:
        return
    _, method = configs.from_json(resolved.method)
    per_update = resolved.train.completions_per_step // resolved.train.processes // method.minibatches
    assert per_update % resolved.train.micro_batch == 0, "rows per update must be whole micro-batches"
    assert resolved.method["name"] == "grpo" or resolved.method["name"] == "grpo-v" or method.updates >= 2


@pytest.mark.parametrize("scale", SCALES)
def test_all_arms_share_base_task_evaluation_and_sampling(scale):
    resolved = [config(scale, arm.id) for arm in TABLE2.arms]
    assert (
        len({repr((c.base, c.task, c.evaluation, c.train.max_completion, c.train.temperature)) for c in resolved}) == 1
    )
    assert len({(c.train.completions_per_step, c.train.steps, c.n) for c in resolved if c.trains}) == 1


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("base", ["grpo-n4", "loo-n4", "vineppo-n4"])
def test_a_verifying_arm_differs_from_its_base_method_in_verification_and_rate_only(scale, base):
    plain, verifying = config(scale, base), config(scale, base + "-v")
    own = {name: value for name, value in verifying.method.items() if name not in ONLY_V | {"name", "semantics"}}
    assert own == {name: value for name, value in plain.method.items() if name not in ("name", "semantics")}
    assert verifying.method["verify_lambda"] > 0 and verifying.method["verifier"] == "policy"
    assert not verifying.method["balance"], "off unless the paper says otherwise"


@pytest.mark.parametrize("scale", SCALES)
def test_an_ablation_arm_varies_one_thing(scale):
    of_v, of_vine = config(scale, "grpo-n4-v"), config(scale, "vineppo-n4")
    varied = {
        **{f"grpo-n4-v-lam{value:g}": {"verify_lambda": value} for value in (0.05, 0.1, 3.0, 10.0)},
        "grpo-n4-v-head": {"verifier": "head"},
        "grpo-n4-v-separate": {"verifier": "separate"},
        "grpo-n4-v-balanced": {"balance": True},
        "vineppo-n4-k1": {"k": 1},
        "vineppo-n4-k9": {"k": 9},
    }
    for arm, change in varied.items():
        origin, resolved = (of_v if arm.startswith("grpo") else of_vine), config(scale, arm)
        assert resolved.method == {**origin.method, **change}, arm
        assert resolved.train == origin.train, arm
    assert set(varied) | {"ppo-n4"} == {arm.id for arm in TABLE2.arms} - set(CORE)


def test_every_trained_core_arm_is_tuned_on_the_same_budget():
    assert list(TABLE2.tuning) == [*CORE[1:], "ppo-n4"], "claims rest on PPO as well, so it gets the same budget"
    assert len({grid.learning_rates for grid in TABLE2.tuning.values()}) == 1
    for arm, grid in TABLE2.tuning.items():
        wanted = "verify_lambda" if arm.endswith("-v") else "minibatches"
        assert grid.parameter == wanted, "a ^V arm takes the minibatches of its base method"
        assert len(set(grid.values)) == 2


def test_paper_scale_is_what_the_papers_state():
    """RL^V: second-hand digests and the author code; VinePPO: the released configuration."""
    c = config("paper", "vineppo-n4-v")
    assert c.base == {"kind": "hub", "id": "Qwen/Qwen2.5-Math-1.5B", "revision": None}
    assert (c.task["name"], c.train.max_completion) == ("math", 1024)
    assert (c.method["k"], c.method["epsilon"], c.method["beta"]) == (9, 0.2, 1e-4)
    assert c.method["epochs"] * c.method["minibatches"] == 16, "512 / 64 x 2 epochs"
    assert (c.train.completions_per_step, c.train.learning_rate, c.train.temperature) == (512, 1e-6, 0.6)
    assert c.train.max_grad_norm == 1.0
    sets = {one.task: one for one in c.evaluation.sets}
    assert set(sets) == {"math500", "math2", "gpqa", "aime24"}
    assert sets["math500"].n == 512 and all(one.temperature == 0.7 and one.verify for one in sets.values())
    assert (c.evaluation.max_completion, c.evaluation.backend) == (2048, "vllm")


@pytest.mark.parametrize("scale", SCALES)
def test_sets_are_named_by_their_role(scale):
    c = config(scale, "base")
    names = [one.name for one in c.evaluation.sets]
    assert names[:2] == ["in-distribution", "easy-to-hard"]
    assert all(one.verify and one.n >= 64 for one in c.evaluation.sets)
    assert c.evaluation.budgets and max(c.evaluation.budgets) <= c.evaluation.max_completion


def test_claims_name_arms_sets_and_paper_claims_that_exist():
    arms = {arm.id for arm in TABLE2.arms}
    sets = {one.name for one in config("micro", "base").evaluation.sets}
    assert len({claim.id for claim in TABLE2.claims}) == len(TABLE2.claims)
    for claim in TABLE2.claims:
        assert {claim.arm, claim.against} <= arms
        papers.claim(claim.paper, claim.id.partition("-")[0])
        assert claim.sentence and claim.paper_supports and claim.evidence.startswith("[")
        for metric in (claim.metric, claim.against_metric or claim.metric):
            assert metric == "time_per_step" or metric.partition(":")[2] in sets, metric
        same = claim.arm == claim.against
        assert not same or claim.metric != claim.against_metric, "an arm against itself needs two metrics"


def test_every_claim_of_the_papers_is_tested_or_named_as_untested():
    tested = {claim.id.partition("-")[0] for claim in TABLE2.claims}
    every = {entry["id"] for paper in ("rlv", "vineppo") for entry in papers.load(paper)["claims"]}
    untested = next(line.paper for line in TABLE2.ledger if line.where == "claims not tested here")
    assert every - tested == {name for name in every if f"{name} (" in untested} == {"R7", "V16"}


def test_claims_on_core_arms_cover_the_headline():
    core = {claim.id for claim in TABLE2.claims if {claim.arm, claim.against} <= set(CORE)}
    assert {name.partition("-")[0] for name in core} == {"R1", "R2", "R3", "R4", "R5", "R6", "R8", "R9"}


def test_claims_keep_the_papers_figures():
    by_id = {claim.id: claim for claim in TABLE2.claims}
    entries = {entry["sentence"]: entry["factor"] for entry in papers.load("rlv")["headline"] if "factor" in entry}
    for base in ("grpo", "loo", "vineppo"):
        claim = by_id[f"R3-{base}"]
        assert (claim.kind, claim.contrast, claim.margin) == ("threshold", "ratio", entries["8-32x"][0])
        assert by_id[f"R2-{base}"].kind == "direction", "over 20 % has no stated reference point"
    assert (by_id["R6"].kind, by_id["R6"].margin) == ("threshold", entries["1.2-1.6x"][0])
    cost = by_id["R1-cost"]
    assert (cost.kind, cost.contrast, cost.better) == ("non-inferior", "ratio", "lower")
    assert 1 / (1 - cost.margin) == pytest.approx(1.4) and "ours" in cost.evidence
    # UNVERIFIED outcomes are directions or margins of ours, never a figure.
    for name in ("R10-verifier", "R10-reasoner", "R11", "V15"):
        assert by_id[name].kind == "direction"


def test_without_records_every_claim_is_not_run():
    results = evaluate_claims(TABLE2.claims, [])
    assert {result.verdict for result in results} == {"not run"}


def test_ledger_covers_what_the_papers_leave_open():
    text = " ".join(f"{line.where} {line.paper} {line.ours}" for line in TABLE2.ledger).lower()
    for topic in (
        "lambda", "learning rate", "group size", "kl", "clip range", "temperature", "steps", "balance", "punctuation",
        "stop token", "top-p", "judge", "subsets", "budget", "raw p(yes)", "normalised", "ties", "without an answer",
        "per token", "epochs", "truncated", "standard deviation", "k = 9", "splitter", "whitening", "seeds", "head",
        "separate", "64 episodes", "verdict turn",
    ):  # fmt: skip
        assert topic in text, topic
