"""figure1's data against what the paper says."""

import pytest

from repro import papers
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.statistics.contrast import evaluate_claims

FIGURE1 = registry.get("figure1")
CAPTION = next(figure for figure in papers.load("inference_time")["figures"] if figure["id"] == "1")


@pytest.mark.parametrize("scale", ["smoke", "micro"])
@pytest.mark.parametrize("arm", [arm.id for arm in FIGURE1.arms])
def test_every_arm_resolves_and_draws_its_k(scale, arm):
    config = resolve(FIGURE1, scale, arm, 0)
    assert type(config).from_json(config.to_json()) == config and config.tabular
    assert config.n == config.train.completions_per_step == int(arm.rpartition("-k")[2])


def test_the_setting_is_that_of_the_caption():
    config = resolve(FIGURE1, "micro", "pass-k4", 0)
    assert config.task["options"]["actions"] == CAPTION["actions"]
    assert (config.n, config.train.learning_rate) == (CAPTION["k"], CAPTION["learning_rate"])
    arms = [resolve(FIGURE1, "micro", arm.id, 0) for arm in FIGURE1.arms]
    assert len({repr((c.base, c.task, c.train.steps, c.train.learning_rate)) for c in arms}) == 1


def test_claims_name_arms_and_paper_claims_and_carry_a_tag():
    arms = {arm.id for arm in FIGURE1.arms}
    assert len({claim.id for claim in FIGURE1.claims}) == len(FIGURE1.claims)
    for claim in FIGURE1.claims:
        assert {claim.arm, claim.against} <= arms
        papers.claim("inference_time", claim.id.partition("-")[0])
        assert claim.evidence.startswith(("[paper]", "[second-hand]", "[derived]")) and claim.paper_supports
        assert claim.kind in ("exact", "direction", "threshold")
        exact = claim.metric.startswith("estimator:")
        assert exact == (claim.kind == "exact"), claim.id


def test_the_panels_are_tested_at_both_scales_of_the_mean_gradient_and_at_every_step():
    left = {claim.id for claim in FIGURE1.claims if claim.id.startswith("F1-left-")}
    expected = {
        f"F1-left-{step}-{rival}{scale}"
        for step in (10, 100, 1000)
        for rival in ("loo", "centred")
        for scale in ("", "-matched")
    }
    assert left == expected
    for claim in FIGURE1.claims:
        if claim.id.startswith("F1-"):
            assert (claim.arm if "left" in claim.id else claim.against).startswith("mean")
            assert (claim.kind, claim.better, claim.margin) == ("direction", "higher", 0.0), "no value is known"


def test_every_claim_of_the_paper_is_tested_or_named_as_untested():
    tested = {claim.id.partition("-")[0] for claim in FIGURE1.claims}
    untested = next(line.paper for line in FIGURE1.ledger if line.where == "claims not tested here")
    every = {entry["id"] for entry in papers.load("inference_time")["claims"]}
    assert every - tested == {name for name in every if name in untested} == {"C5", "C6", "C7", "C8", "C9"}


def test_without_records_every_claim_is_not_run():
    assert {result.verdict for result in evaluate_claims(FIGURE1.claims, [])} == {"not run"}


def test_ledger_covers_what_the_paper_leaves_open():
    text = " ".join(f"{line.where} {line.paper} {line.ours}" for line in FIGURE1.ledger).lower()
    for topic in (
        "steps", "1,000 independent", "initialisation", "sampled", "inferred", "1/k", "matched", "equal learning rate",
        "kl efficiency", "max@k", "naive", "variance", "reference set-up", "tied", "percentile", "uniforms",
    ):  # fmt: skip
        assert topic in text, topic
