"""The trials of `repro evaluate`: what decides their id, what is asked by default, what is refused."""

import pytest

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments._evaluate import EVALUATE
from repro.experiments.evaluation import arm_name, configs, parse_options

FOLDER = {"kind": "folder", "path": "/somewhere/my model"}


def one(task="chain", base=FOLDER, digest="0123456789abcdef", scale="micro", **options):
    return configs(task, base, digest, scale, **options)[0]


def test_models_that_are_asked_alike_share_one_id_and_nothing_else_does():
    first = one()
    assert first.id == f"evaluate@{first.variant}/my-model-01234567/seed0" and first.method["name"] == "none"
    alike = one(base={"kind": "hub", "id": "a/b", "revision": None}, digest="a/b@1")
    assert (alike.experiment_id, alike.arm) == (first.experiment_id, "a--b")
    others = [
        one("multiply"), one(options={"terms": [2]}), one(asked={"n": 4}), one(asked={"split": "dev"}),
        one(asked={"questions": 9}), one(sets=["evaluation.max_completion=9"]), one(sets=["train.max_prompt=99"]),
    ]  # fmt: skip
    assert len({config.variant for config in [first, *others]}) == 8
    assert {config.experiment_id for config in configs("chain", FOLDER, "0", "micro", seeds=3)} == {first.experiment_id}
    assert one(scale="smoke").experiment_id.startswith("evaluate@smoke-")


def test_what_costs_no_further_completion_is_recorded():
    (numbers,), (maths,), (code,), (greedy,) = (
        config.evaluation.sets
        for config in (one("svamp"), one("math500"), one("humaneval"), one("svamp", asked={"temperature": 0.0}))
    )
    assert (numbers.n, numbers.vote, numbers.lenient, numbers.greedy) == (8, True, True, True)
    assert (maths.vote, maths.lenient) == (True, False), "no last number in a formula"
    assert (code.vote, code.lenient) == (False, False), "a vote would run every program again"
    assert (greedy.n, greedy.vote, greedy.greedy) == (1, False, False)
    lengths = [
        one(task, scale=scale).evaluation.max_completion for task in ("chain", "svamp") for scale in EVALUATE.scales
    ]
    assert lengths == [32, 64, 64, 64, 32, 256, 512, 2048]


@pytest.mark.parametrize(
    ("name", "arm"),
    [("../a b/<script>", "script-abcdef01"), ("/x/checkpoint-100", "checkpoint-100-abcdef01"),
     ("/x/…", "model-abcdef01"), ("/x/" + "y" * 99, "y" * 60 + "-abcdef01")],
)  # fmt: skip
def test_a_model_is_named_by_its_folder_and_content(name, arm):
    assert arm_name({"kind": "folder", "path": name}, "abcdef0123456789") == arm


def test_a_hub_id_with_a_revision():
    base = {"kind": "hub", "id": "Owner/Model-1.5B", "revision": "v2"}
    assert arm_name(base, "irrelevant") == "Owner--Model-1.5B+v2"


def test_options_are_json_where_they_can_be():
    assert parse_options(["terms=[2,3]", "form=totals", "rl=5", "strict=true"]) == {
        "terms": [2, 3], "form": "totals", "rl": 5, "strict": True,
    }  # fmt: skip
    for text in ("terms", "=2", "a b=2"):
        with pytest.raises(InputError, match="NAME=VALUE"):
            parse_options([text])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "chian"}, "chain"),
        ({"options": {"term": 2}}, "no option 'term'"),
        ({"seeds": 0}, "--seeds"),
        ({"seeds": 10**6}, "--seeds"),
        ({"sets": ["steps=3"]}, "nothing is trained"),
        ({"sets": ["train.steps=3"]}, "nothing is trained"),
        ({"sets": ["evaluation.task=svamp"]}, "--task"),
        ({"sets": ["evaluation.nn=3"]}, "no field 'nn'"),
        ({"sets": ["evaluation.batch=many"]}, "whole number"),
        ({"asked": {"n": 0}}, "positive"),
        ({"asked": {"temperature": 0.0, "n": 3}}, "set n to 1"),
    ],
)
def test_what_cannot_be_asked_is_one_line(options, words):
    with pytest.raises(InputError, match=words) as error:
        one(**{"task": "chain", **options})
    assert "\n" not in str(error.value)


def test_the_experiment_has_records_but_nothing_to_run():
    assert registry.get("evaluate") is EVALUATE and "evaluate" not in registry.experiments()
    for ids in (["evaluate"], ["evaluate/x"], ["evaluate@smoke"]):
        with pytest.raises(InputError, match="repro evaluate --model"):
            registry.select(ids)
    assert all(selection.experiment is not EVALUATE for selection in registry.select(["*"]))
