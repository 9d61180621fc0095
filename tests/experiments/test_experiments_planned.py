"""Which shapes are planned, whose settings they have, and which plan record belongs to today's definition."""

import dataclasses

import pytest

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.planned import (
    claimed_shapes,
    covers,
    describe_plan,
    plan_record,
    planned_config,
    selected_shapes,
    shape_identity,
)
from repro.experiments.resolve import UNCHANGED, parse_changes, resolve_selection
from repro.experiments.types import Planned
from repro.store.key import content_hash
from repro.store.record import check_record
from repro.store.records import decode_record, encode_record

SMALLER = {"kind": "hub", "id": "Qwen/Qwen2.5-0.5B", "revision": None}
LARGER = {"kind": "hub", "id": "Qwen/Qwen2.5-3B", "revision": None}
PLANNED = (
    Planned("0.5B", ("ppo-n1", "grpo-n4"), SMALLER, {"max_completion": 100, "completions_per_step": 256}),
    Planned("3B", ("grpo-n4",), LARGER, {"processes": 1}, {"grpo-n4": {"micro_batch": 2}}),
)
TABLE1 = dataclasses.replace(registry.get("table1"), planned=PLANNED)
RESERVED = ("timing", "plan")  # records of these kinds carry such an arm


def selection(scale="paper", arms=("base", "ppo-n1", "grpo-n4", "tbrm-n4")):
    return registry.Selection(TABLE1, scale, tuple((arm, seed) for arm in arms for seed in (0, 1)))


def shapes(scale="paper", changes=UNCHANGED, **more):
    chosen = selection(scale, **more)
    return selected_shapes(chosen, changes, resolve_selection(chosen, changes))


def row(shape, peak=10):
    return {"arm": shape.config.arm, "model": shape.config.base["id"], "peak": {"total": peak, "phase": "update"}}


def record(found, scale="micro", peak=10, finished="2026-01-01", variant=None):
    rows = [row(shape, peak) for shape in found]
    return describe_plan(selection(scale), variant, found, rows, {"finished": finished})


def test_layers_of_a_planned_config():
    paper = TABLE1.scales["paper"]
    config = planned_config(TABLE1, PLANNED[1], "grpo-n4")
    assert config.base == LARGER and config.scale == "paper" and config.id == "table1@paper/grpo-n4/seed0"
    assert (config.train.processes, config.train.micro_batch) == (1, 2)
    assert config.train.max_completion == paper.train["max_completion"], "what is not named stays the scale's"
    # What the scale says of an arm wins over what the entry says of all, and --set over both.
    assert paper.arms["grpo-n4"]["train"]["completions_per_step"] == 512
    rows = [planned_config(TABLE1, PLANNED[0], arm).train.completions_per_step for arm in ("ppo-n1", "grpo-n4")]
    assert rows == [256, 512]
    changes = parse_changes(["*.micro_batch=1", "*.learning_rate=0.5"], model="a/b")
    changed = planned_config(TABLE1, PLANNED[1], "grpo-n4", changes)
    assert (changed.train.micro_batch, changed.train.learning_rate) == (1, 0.5)
    assert changed.base == LARGER, "the entry is about its own model"
    assert paper.arms["grpo-n4"]["train"].get("micro_batch") != 2, "the experiment itself is untouched"


def test_a_selection_has_one_row_per_trained_arm_and_planned_model():
    found = [(shape.name, shape.config.arm, shape.config.base.get("id")) for shape in shapes()]
    own = TABLE1.scales["paper"].base["id"]
    assert found == [
        ("0.5B", "ppo-n1", "Qwen/Qwen2.5-0.5B"), ("0.5B", "grpo-n4", "Qwen/Qwen2.5-0.5B"),
        ("3B", "grpo-n4", "Qwen/Qwen2.5-3B"), (None, "tbrm-n4", own),
    ]  # fmt: skip
    assert [shape.name for shape in shapes("small")] == [None] * 3, "the entries are of another scale"
    with_model = shapes(changes=parse_changes(model="a/b"))
    assert [(s.name, s.config.base["id"]) for s in with_model] == [(None, "a/b")] * 3


def test_claims_rest_on_whole_entries_of_which_an_arm_has_run():
    def named(finished, changes=UNCHANGED, scale="micro"):
        return [(s.name, s.config.arm) for s in claimed_shapes(TABLE1, scale, changes, finished)]

    assert named([]) == named(["base", "tbrm-n4"]) == []
    assert named(["ppo-n1"]) == [("0.5B", "ppo-n1"), ("0.5B", "grpo-n4")]
    assert named(["grpo-n4"]) == [*named(["ppo-n1"]), ("3B", "grpo-n4")]
    changes = parse_changes(["*.micro_batch=4"])
    assert named(["grpo-n4"], changes) == [], "what changes the micro scale is no statement about the paper's"
    assert claimed_shapes(TABLE1, "paper", changes, ["grpo-n4"])[-1].config.train.micro_batch == 4
    assert named(["grpo-n4"], parse_changes(model="a/b"), "paper") == []
    operational = parse_changes(["*.keep_checkpoints=2", "*.checkpoint_every=3"])
    assert claimed_shapes(TABLE1, "paper", operational, ["grpo-n4"]) == claimed_shapes(
        TABLE1, "paper", UNCHANGED, ["grpo-n4"]
    ), "no variant, and so the rows as registered"


def test_the_identity_of_a_shape():
    plain = planned_config(TABLE1, PLANNED[1], "grpo-n4").to_json()
    seeded = {**plain, "seed": 7, "variant": "1a2b3c4d", "evaluation": {}}
    assert shape_identity(plain) == shape_identity(seeded)
    for field, value in (("processes", 4), ("micro_batch", 1), ("sharding", "fsdp"), ("gradient_checkpointing", True)):
        changed = {**plain, "train": {**plain["train"], field: value}}
        same = plain["train"][field] == value
        assert (shape_identity(plain) == shape_identity(changed)) is same, field
    operational = {**plain, "train": {**plain["train"], "trackers": ["wandb"], "checkpoint_every": 99}}
    assert shape_identity(plain) == shape_identity(operational)


def test_a_plan_record_survives_storage_and_names_its_content():
    found = claimed_shapes(TABLE1, "micro", UNCHANGED, ["grpo-n4"])
    made = record(found)
    check_record(made)
    assert made["id"] == "table1/plan/seed0" and made["kind"] == "plan"
    assert decode_record(encode_record(made), "x") == made
    assert record(found, finished="2027")["key"] == made["key"] != record(found, peak=11)["key"]
    assert record(found, variant="1a2b3c4d")["id"] == "table1@1a2b3c4d/plan/seed0"


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r.pop("plan"),
        lambda r: r["plan"].update(rows=[]),
        lambda r: r["plan"]["rows"].pop(),
        lambda r: r["plan"]["rows"][0].pop("peak"),
        lambda r: r["plan"]["rows"][0]["peak"].update(total="10"),
        lambda r: r["config"]["rows"].__setitem__(0, None),
        lambda r: r.pop("provenance"),
    ],
)
def test_a_malformed_plan_record_is_refused(damage):
    made = record(claimed_shapes(TABLE1, "micro", UNCHANGED, ["grpo-n4"]))
    damage(made)
    with pytest.raises(InputError, match="record: "):
        check_record(made)


def test_the_plan_record_of_today():
    some, all_ = (claimed_shapes(TABLE1, "micro", UNCHANGED, [arm]) for arm in ("ppo-n1", "grpo-n4"))
    assert plan_record([], TABLE1) is None and not covers(None, some)
    narrow, wide, later = record(some), record(all_), record(all_, peak=11, finished="2027-01-01")
    assert plan_record([narrow], TABLE1) == narrow
    assert covers(narrow, some) and not covers(narrow, all_) and covers(wide, some)
    assert plan_record([wide, narrow], TABLE1) == wide, "more rows first"
    assert plan_record([later, wide], TABLE1) == plan_record([wide, later], TABLE1) == later
    # One row of an older definition makes the record one of an older definition.
    old = dataclasses.replace(
        TABLE1, planned=(dataclasses.replace(PLANNED[0], train={"max_completion": 99}), PLANNED[1])
    )
    assert plan_record([wide], old) is None
    assert plan_record([wide]) == wide, "without a definition to compare with: of a variant"
    changes = parse_changes(["*.micro_batch=4"])
    assert plan_record([record(all_, "paper")], TABLE1, changes) is None
    altered = record(claimed_shapes(TABLE1, "paper", changes, ["grpo-n4"]), "paper")
    assert plan_record([altered], TABLE1, changes) == altered and plan_record([altered], TABLE1) is None


@pytest.mark.parametrize("name", list(registry.experiments()))
def test_no_arm_has_the_name_of_a_record_that_is_no_trial(name):
    assert not {arm.id for arm in registry.get(name).arms}.intersection(RESERVED)


@pytest.mark.parametrize("name", [name for name, experiment in registry.experiments().items() if experiment.planned])
def test_planned_entries_of_the_suite_name_arms_and_shapes_that_exist(name):
    from repro.cost import shapes as known

    experiment = registry.get(name)
    found = claimed_shapes(experiment, "micro", UNCHANGED, [arm.id for arm in experiment.arms])
    assert len(found) == sum(len(planned.arms) for planned in experiment.planned)
    assert len({entry.name for entry in experiment.planned}) == len(experiment.planned)
    for shape in found:
        assert shape.config.trains and (shape.config.base["kind"] != "hub" or shape.config.base["id"] in known.HUB)
    hashes = {content_hash(shape.config.to_json()) for shape in found}
    assert len(hashes) == len(found), "two rows plan the same thing"
