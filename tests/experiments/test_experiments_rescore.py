"""What another checker changes, counted by hand; and that nothing is said where the right answers are not known."""

import copy

import pytest
from rescored_records import MADE_UP, rescored_trial

from repro.errors import InputError
from repro.experiments.rescore import rescore
from repro.tasks.checkers import get


def test_the_tasks_own_checker_changes_nothing():
    found = rescore([rescored_trial(), rescored_trial("tbrm-n4")], get("task"))
    assert found.changes == [] and (found.stored, found.of, found.without) == (8, 16, 0)
    (base, other) = found.arms
    assert (base.arm, base.set, base.trials, base.stored, base.of) == ("base", "chain", 1, 4, 8)
    assert base.recorded == base.other == 0.25 and base.recorded_of_all == 0.125 and other.arm == "tbrm-n4"
    assert base.other_of_all is None, "only the lenient reading of all samples is in a record"


def test_flips_each_way_and_changes_that_are_none():
    cut = [*MADE_UP[:3], ("#{gold}", "W", "c")]  # wrongly judged, and cut off
    found = rescore([rescored_trial(), rescored_trial(seed=1, made_up=cut)], get("lenient"))
    (arm,) = found.arms
    assert (arm.trials, arm.stored, arm.of) == (2, 8, 16)
    assert (arm.recorded, arm.other) == (2 / 8, 5 / 8) and (arm.now_right, arm.now_wrong, arm.otherwise) == (3, 0, 2)
    assert (arm.recorded_of_all, arm.other_of_all) == (2 / 16, 8 / 16)
    assert [(c.trial[-5:], c.recorded, c.other, c.flips) for c in found.changes] == [
        ("seed0", "u", "c", True), ("seed0", "u", "w", False),
        ("seed1", "u", "c", True), ("seed1", "u", "w", False), ("seed1", "W", "C", True),
    ]  # fmt: skip
    back = rescore([rescored_trial(made_up=(MADE_UP[0], ("#{gold} or so", "c", ""), *MADE_UP[2:]))], get("task"))
    assert (back.arms[0].now_right, back.arms[0].now_wrong) == (0, 1)
    assert back.changes[0].completion == f"#{back.changes[0].gold} or so"


def test_arms_whose_samples_were_not_read_leniently_have_no_figure_for_all():
    (arm,) = rescore([rescored_trial(), rescored_trial(seed=1, lenient=False)], get("lenient")).arms
    assert arm.other_of_all is None and arm.now_right == 2


def test_trials_without_completions_are_counted_and_left_out():
    found = rescore([rescored_trial(), rescored_trial(seed=1, samples=[])], get("task"))
    assert (found.without, found.stored, found.of) == (1, 4, 8)
    failed = rescored_trial(seed=2, status="failed", error={"message": "x", "step": None})
    for records in ([], [rescored_trial(samples=[])], [failed]):
        with pytest.raises(InputError, match="no completions are stored"):
            rescore(records, get("task"))


def test_nothing_of_the_records_is_changed():
    record = rescored_trial()
    before = copy.deepcopy(record)
    rescore([record], get("lenient"))
    assert record == before


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: r["hashes"]["prompts"].update(chain="0" * 64), "are not those that task chain has now"),
        (lambda r: r["hashes"]["prompts"].clear(), "are not those that task chain has now"),
        (lambda r: r["samples"][1].update(prompt="1+1="), "the prompt of .* is not the one"),
        (lambda r: r["samples"][1].update(gold="-77"), "the answer to .* is not the one"),
        (lambda r: r["samples"][1].update(question="\x1b[2J"), r"'\\x1b\[2J' is no question of the set 'chain'"),
        (lambda r: r["samples"][1].update(set="other"), "is no question of the set 'other'"),
        (lambda r: r["config"]["task"].update(name="gone"), "unknown task 'gone'"),
        (lambda r: r["config"]["task"].update(name="mine", source="0" * 64), "mine"),
    ],
)
def test_where_the_right_answer_is_not_known_nothing_is_said(spoil, said):
    record = rescored_trial()
    spoil(record)
    with pytest.raises(InputError, match=said) as error:
        rescore([record], get("task"))
    assert "\n" not in str(error.value)


def test_data_that_are_not_handed_on_come_from_the_task(data_dir):
    """The published records of SVAMP hold neither questions nor answers."""
    from pathlib import Path

    from repro.store.published import read_bundle

    records = read_bundle(Path(__file__).parents[2] / "results" / "table5-svamp.jsonl.gz")
    assert all(sample["gold"] is None for record in records for sample in record.get("samples", ()))
    found = rescore(records, get("task"), data_dir)
    assert found.changes == [] and (found.stored, found.of) == (480, 72_000)
    lenient = rescore(records, get("lenient"), data_dir)
    assert {arm.arm for arm in lenient.arms} == {"base", "base-shots", "grpo", "sgrpo", "tspmo", "krpo"}
    assert all(arm.other_of_all is not None for arm in lenient.arms)


@pytest.mark.parametrize("name", ["table1", "table2", "table5"])
def test_the_published_completions_are_judged_today_as_they_were(name):
    from pathlib import Path

    from repro.store.published import read_bundle

    found = rescore(read_bundle(Path(__file__).parents[2] / "results" / f"{name}.jsonl.gz"), get("task"))
    assert found.changes == [] and found.stored > 500
