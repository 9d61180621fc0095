"""From records to lines, ranks and findings."""

import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from leaderboard_records import HARDWARE, five, timing, trial

from repro.cli.standings import text
from repro.errors import InputError
from repro.experiments import registry
from repro.report import standings as module
from repro.report.additions import add_records, merge_board
from repro.report.audit import audit
from repro.report.boards import open_board, trials
from repro.report.entries import MOST_SCORES, entries_of, entry_of, published_entries, scores_of, setting_of
from repro.report.interval import accuracy_interval
from repro.report.standings import reported, standings
from repro.report.trial_rows import export, trial_rows
from repro.store import leaderboard
from repro.store.config import TrialConfig
from repro.store.details import Details
from repro.store.entry import GENESIS, MOST_BYTES, encode_line
from repro.store.key import content_hash, trial_key
from repro.store.published import bundle_path, write_bundle
from repro.store.records import encode_record, write_record
from repro.store.workspace import Workspace

ARMS = {"base": 0.3, "ppo-n1": 0.6, "tbrm-n1": 0.5, "grpo-n4": 0.55, "tbrm-n4": 0.56}


def published_records() -> list[dict]:
    records = [record for arm, share in ARMS.items() for record in five(arm, share)]
    return [*records, timing([record for record in records if record["arm"] != "base"])]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A results folder as `repro publish` leaves it, and a workspace with trials of one's own; tests take copies."""
    folder = tmp_path_factory.mktemp("made")
    path = write_bundle(bundle_path(folder / "project" / "results", "table1"), published_records())
    leaderboard.append(path.parent / leaderboard.NAME, published_entries(path, Details(path.parent)))
    workspace = Workspace(folder / "runs")
    for record in five("mine", 0.9):
        write_record(workspace, record)
    assert add_records(workspace.results / leaderboard.NAME, five("mine", 0.9)) == 5
    return folder


@pytest.fixture
def shipped(made, tmp_path):
    return Path(shutil.copytree(made / "project", tmp_path / "project")) / "results" / leaderboard.NAME


@pytest.fixture
def own(made, tmp_path):
    return Workspace(shutil.copytree(made / "runs", tmp_path / "runs"))


def both(shipped, own):
    return [open_board(shipped, shipped=True), open_board(own.results / leaderboard.NAME)]


def ranked(boards, workspace=None, **more):
    found, left_out = trials(boards, workspace)
    return standings(found, **more), left_out


def test_a_line_says_what_its_record_says():
    record = trial("tbrm-n4", 3, 0.5)
    entry = entry_of(record, timing([record], 0.25), "1" * 64)
    assert (entry.trial, entry.key, entry.task, entry.method) == (
        "table1/tbrm-n4/seed3",
        record["key"],
        "chain",
        "tbrm",
    )
    assert dict(zip(entry.scores.metrics, entry.scores.sets["chain"], strict=True)) == {
        name: round(record["metrics"][f"chain/{name}"], 6)
        for name in ("accuracy", "greedy", "pass@8", "pass@4", "pass@2")
    }
    assert entry.cost.step_seconds == 0.25 and entry.cost.train_seconds == 23 and entry.cost.predicted_peak == 1 << 24
    assert (entry.hardware, entry.finished, entry.commit) == (HARDWARE, "2030-01-01T11:00:03Z", "a" * 40)
    assert len(encode_line(entry, GENESIS)) <= MOST_BYTES


def test_a_resumed_trial_and_a_base_model_have_no_training_time():
    resumed = trial("tbrm-n4")
    resumed["cost"]["resumed"] = 1
    assert entry_of(resumed, None, "1" * 64).cost.train_seconds is None
    assert entry_of(trial("base"), None, "1" * 64).cost.train_seconds is None


def test_seeds_share_a_recipe_and_arms_a_setting():
    one, two, rival = (entry_of(r, None, "1" * 64) for r in (trial(seed=0), trial(seed=1), trial("ppo-n1", 0)))
    assert one.recipe == two.recipe != rival.recipe and one.setting == two.setting == rival.setting


@pytest.mark.parametrize("change", ["base", "template", "prompts", "questions", "temperature", "shots", "length"])
def test_another_setting_is_never_ranked_beside(change):
    record = trial()
    before = setting_of(record)
    if change == "prompts":
        record["hashes"]["prompts"]["chain"] = "0" * 64
    elif change in ("base", "template"):
        record["hashes"][change] = "0" * 64
    elif change == "questions":
        record["outcomes"]["chain"]["questions"][0] = "another"
    elif change == "temperature":
        record["config"]["evaluation"]["sets"][0]["temperature"] = 0.5
    elif change == "shots":
        record["config"]["evaluation"]["sets"][0]["shots"] = 4
    else:
        record["config"]["evaluation"]["max_completion"] += 1
    assert setting_of(record) != before
    record = trial()
    record["hashes"]["prompts"]["rl"] = "0" * 64
    assert setting_of(record) == before, "what was trained on is what arms differ in"


def test_failed_trials_bandits_tuning_and_other_kinds_have_no_line():
    failed = {"status": "failed", "error": {"message": "m", "step": 1}}
    others = [trial(seed=1, **failed), trial(seed=2, outcomes={}), trial(seed=3, experiment="table1-tuning")]
    assert [entry.seed for entry in entries_of([trial(), *others, timing([trial()])], "1" * 64)] == [0]


def test_scores_keep_what_matters_where_there_are_many_sets():
    record = trial()
    record["outcomes"] = {f"set-{n}": record["outcomes"]["chain"] for n in range(12)}
    scores = scores_of(record)
    assert scores.metrics == ("accuracy", "greedy", "pass@8", "pass@4") and len(scores.sets) == 12
    assert MOST_SCORES // 6 == 5
    record["outcomes"] |= {"dev": record["outcomes"]["set-0"]}
    assert "dev" not in scores_of(record).sets


def test_odd_hardware_becomes_plain_words():
    record = trial()
    record["provenance"]["measured_on"] = "\x1b[31m(Intel® Xeon™) <b>" + "x" * 200
    entry = entry_of(record, None, "1" * 64)
    entry.validate()
    assert "<" not in entry.hardware and len(entry.hardware) <= 80


def test_ranks_intervals_and_chances(shipped):
    (group,), left_out = ranked([open_board(shipped, shipped=True)])
    assert [row.arm for row in group.rows] == ["ppo-n1", "tbrm-n4", "grpo-n4", "tbrm-n1", "base"]
    assert [row.rank for row in group.rows] == [1, 2, 3, 4, 5] and left_out == 0 and not group.problems
    assert sum(row.p_best for row in group.rows) == pytest.approx(1)
    assert {row.evidence for row in group.rows} == {"stored"} and group.tasks == ("chain",)
    for row in group.rows:
        records = five(row.arm, ARMS[row.arm])
        assert row.estimate == pytest.approx(fmean(r["metrics"]["chain/accuracy"] for r in records))
        assert (row.lo, row.hi) == accuracy_interval(records), "the interval of the tables, to the last digit"
        assert row.step_seconds == (None if row.arm == "base" else 0.25)


@pytest.mark.parametrize("metric", ["greedy", "pass@8", "accuracy:chain"])
def test_other_metrics(shipped, metric):
    (group,), _ = ranked([open_board(shipped, shipped=True)], metric=metric)
    name = metric.partition(":")[0]
    best = max(ARMS, key=lambda arm: fmean(r["metrics"][f"chain/{name}"] for r in five(arm, ARMS[arm])))
    assert fmean(r["metrics"][f"chain/{name}"] for r in five(group.rows[0].arm, ARMS[group.rows[0].arm])) == fmean(
        r["metrics"][f"chain/{name}"] for r in five(best, ARMS[best])
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"metric": "acuracy"}, "did you mean accuracy"),
        ({"metric": "pass@64"}, "no metric 'pass@64'"),
        ({"metric": "truncated"}, "no metric"),
        ({"metric": "accuracy:nowhere"}, "no set 'nowhere'"),
        ({"experiment": "tabel1"}, "did you mean table1"),
        ({"scale": "paper"}, "no scale 'paper'"),
    ],
)
def test_what_the_leaderboard_does_not_have(shipped, more, said):
    with pytest.raises(InputError, match=said):
        ranked([open_board(shipped, shipped=True)], **more)


def test_few_seeds_have_no_chance_to_be_the_best(shipped, own):
    add_records(own.results / leaderboard.NAME, five("young", 0.99)[:4])
    (group,), _ = ranked(both(shipped, own), own)
    row = group.rows[0]
    assert (row.arm, row.p_best) == ("young", None) and row.lo < row.estimate
    assert sum(r.p_best for r in group.rows if r.p_best is not None) == pytest.approx(1)


def test_evidence_is_what_can_be_seen_here(shipped, own, tmp_path):
    theirs = tmp_path / "theirs" / leaderboard.NAME
    add_records(theirs, five("theirs", 0.7))
    merge_board(own.results / leaderboard.NAME, open_board(theirs))
    (group,), _ = ranked(both(shipped, own), own)
    assert {row.arm: row.evidence for row in group.rows} == {
        **dict.fromkeys(ARMS, "stored"),
        "mine": "yours",
        "theirs": "imported",
    }
    (group,), _ = ranked(both(shipped, own), Workspace(tmp_path / "another workspace"))
    assert {row.arm: row.evidence for row in group.rows}["mine"] == "imported", "nobody else's word makes it yours"
    (group,), _ = ranked([open_board(shipped)])
    assert {row.evidence for row in group.rows} == {"imported"}, "a folder that is not the project's is from outside"


def test_an_imported_trial_never_takes_the_place_of_a_stored_one(shipped, own):
    forged = five("base", 1.0)
    for record in forged:
        record["provenance"]["finished"] = "2999-01-01T00:00:00Z"
    add_records(own.results / leaderboard.NAME, forged)
    (group,), _ = ranked(both(shipped, own), own)
    rows = [(row.arm, row.evidence) for row in group.rows]
    assert ("base", "stored") in rows and ("base", "imported") in rows


@pytest.mark.parametrize("change", [{}, {"record": "0" * 64}], ids=["its record", "another record"])
def test_a_line_from_elsewhere_that_names_a_bundle_of_the_project_hides_nothing(shipped, own, change):
    entry = next(line.entry for line in leaderboard.read(shipped) if line.entry.arm == "tbrm-n4")
    scores = replace(entry.scores, sets={"chain": [0.1] * 5})
    forged = replace(entry, finished="2999-01-01T00:00:00Z", scores=scores, **change)
    leaderboard.append(own.results / leaderboard.NAME, [forged])
    (group,), _ = ranked(both(shipped, own), own)
    rows = {(row.arm, row.evidence): row.seeds for row in group.rows}
    assert rows["tbrm-n4", "stored"] == (0, 1, 2, 3, 4) and ("tbrm-n4", "imported") not in rows
    assert "tbrm-n4 (imported) is left out" in group.problems[0]


def test_the_last_finished_trial_counts_whatever_the_order_of_lines(own):
    later = five("mine", 0.2)
    for record in later:
        record["provenance"]["finished"] = "2031-01-01T00:00:00+00:00"
    path = own.results / leaderboard.NAME
    add_records(path, later)
    add_records(path, five("mine", 0.9))  # older, and there already
    (group,), _ = ranked([open_board(path)])
    assert [(row.arm, row.seeds) for row in group.rows] == [("mine", (0, 1, 2, 3, 4))]
    assert group.rows[0].estimate == pytest.approx(fmean(r["metrics"]["chain/accuracy"] for r in later))


def test_publishing_again_makes_history_of_old_lines(shipped):
    records = published_records()
    records[0] = trial("base", 0, 0.9)
    write_bundle(bundle_path(shipped.parent, "table1"), records)
    fresh = published_entries(shipped.parent / "table1.jsonl.gz", Details(shipped.parent))
    assert leaderboard.append(shipped, fresh) == 25 and leaderboard.append(shipped, fresh) == 0
    (group,), left_out = ranked([open_board(shipped, shipped=True)])
    assert len(group.rows) == 5 and left_out == 0
    assert {row.arm: row.estimate for row in group.rows}["base"] > 0.35
    board = open_board(shipped, shipped=True)
    assert not [found for found in audit(board) if found.wrong]
    assert sum(found.what == "superseded" for found in audit(board)) == 25
    write_bundle(bundle_path(shipped.parent, "table1"), published_records())  # and back
    assert (
        leaderboard.append(shipped, published_entries(shipped.parent / "table1.jsonl.gz", Details(shipped.parent))) == 0
    )
    (group,), _ = ranked([open_board(shipped, shipped=True)])
    assert {row.arm: row.estimate for row in group.rows}["base"] < 0.35


def test_different_questions_are_groups_of_their_own(shipped, own):
    other = five("other", 0.95)
    for record in other:
        record["hashes"]["base"] = "0" * 64
    add_records(own.results / leaderboard.NAME, other)
    groups, _ = ranked(both(shipped, own), own)
    assert sorted(len(group.rows) for group in groups) == [1, 6]


def in_variant(record, variant="1a2b3c4d"):
    """The record under the names of a variant, which are no part of what decides it."""
    names = {"variant": variant, "id": record["id"].replace("table1/", f"table1@{variant}/")}
    return record | names | {"config": record["config"] | {"variant": variant}}


def test_a_method_that_was_plugged_in_is_ranked_with_the_arms_as_registered(shipped, own):
    plugged = [in_variant(record) for record in five("plugged", 0.8)]
    for record in plugged:
        write_record(own, record)
    add_records(own.results / leaderboard.NAME, plugged)
    (group,), _ = ranked(both(shipped, own), own)
    assert group.experiment == "table1" and len(group.rows) == 7
    assert {row.arm: row.experiment for row in group.rows if row.experiment != "table1"} == {
        "plugged": "table1@1a2b3c4d"
    }
    assert sum(row.p_best for row in group.rows) == pytest.approx(1)


def under_other_settings(arm: str) -> list[dict]:
    """Under the name of a registered arm, but another method's longer training, and all answers right."""
    records = five(arm, 1.0)
    for record in records:
        record["config"]["method"]["name"] = "ppo"
        record["config"]["train"]["steps"] = 5000
        record["key"] = trial_key(TrialConfig.from_json(record["config"]), record["hashes"])
    return records


def test_other_settings_do_not_pass_for_the_registered_arm(shipped, own):
    add_records(own.results / leaderboard.NAME, under_other_settings("tbrm-n4"))
    (group,), _ = ranked(both(shipped, own), own)
    names = {(row.arm, row.evidence): row.display for row in group.rows}
    assert names["tbrm-n4", "imported"] == "tbrm-n4, ppo, other settings"
    assert names["tbrm-n4", "stored"] == "TBRM n=4" and names["mine", "yours"] == "mine"
    (cells,) = [line for line in text([group], {"table1": []}, 0).splitlines() if "other settings" in line]
    assert "TBRM" not in cells and cells.count("tbrm-n4") == 1


def test_the_settings_of_today_have_the_arms_title_wherever_they_are_from(shipped, own):
    add_records(own.results / leaderboard.NAME, five("tbrm-n4", 0.4))
    (group,), _ = ranked(both(shipped, own), own)
    assert [row.display for row in group.rows if row.arm == "tbrm-n4"] == ["TBRM n=4"] * 2


def test_imported_rows_take_no_chance_from_the_others(shipped, own):
    before, _ = ranked(both(shipped, own), own)
    add_records(own.results / leaderboard.NAME, under_other_settings("tbrm-n4"))
    (group,), _ = ranked(both(shipped, own), own)
    first, *others = group.rows
    assert (first.evidence, first.p_best) == ("imported", None)
    assert {row.arm: row.p_best for row in others} == {row.arm: row.p_best for row in before[0].rows}
    (alone,), _ = ranked([open_board(shipped)])
    assert sum(row.p_best for row in alone.rows) == pytest.approx(1), "where all are imported they are compared"


def test_a_trial_that_a_variant_shares_counts_once(shipped, own):
    before, _ = ranked(both(shipped, own), own)
    add_records(own.results / leaderboard.NAME, [in_variant(record) for record in five("mine", 0.9)])
    after, _ = ranked(both(shipped, own), None)
    (mine,) = [row for row in after[0].rows if row.arm == "mine"]
    assert mine.seeds == (0, 1, 2, 3, 4) and mine.experiment == "table1"
    assert [row.estimate for row in after[0].rows] == [row.estimate for row in before[0].rows]


def test_a_line_that_says_more_than_its_record_is_left_out(shipped, own, tmp_path):
    path = own.results / leaderboard.NAME
    first = leaderboard.read(path)[0].entry
    boast = replace(first, scores=replace(first.scores, sets={"chain": [1.0] * 5}))
    loud = tmp_path / "loud" / "results" / leaderboard.NAME
    Details(loud.parent).copy(first.detail, Details(path.parent))
    leaderboard.append(loud, [boast])
    (group,), _ = ranked([open_board(shipped, shipped=True), open_board(loud)])
    assert "mine" not in [row.arm for row in group.rows] and len(group.rows) == 5
    assert "another accuracy than its outcomes" in group.problems[0]
    with pytest.raises(InputError, match="scores differ from what its record says"):
        merge_board(path, open_board(loud))
    before = shipped.read_bytes()
    with pytest.raises(InputError):
        merge_board(shipped, open_board(loud))
    assert shipped.read_bytes() == before and not (shipped.parent / "leaderboard").exists()


def test_a_line_is_held_against_its_record_wherever_that_is(shipped, own, tmp_path):
    """The line comes alone; the records it names are in the project's bundle, or in a pack of the reader's."""
    path = own.results / leaderboard.NAME
    project = open_board(shipped, shipped=True)
    for source in (project, open_board(path)):
        entry = source.lines[0].entry
        boast = replace(entry, scores=replace(entry.scores, sets={"chain": [1.0] * 5}))
        forged = tmp_path / entry.arm / leaderboard.NAME
        leaderboard.append(forged, [boast])
        before = path.read_bytes()
        with pytest.raises(InputError, match="line 1, .*: scores differ from what its record says"):
            merge_board(path, open_board(forged), [project])
        assert path.read_bytes() == before
        boards = [project, open_board(path), open_board(forged)]
        assert [one.what for one in audit(boards[2], boards=boards) if one.wrong] == ["edited"]


@pytest.mark.parametrize("field", ["seed", "arm", "key", "setting", "experiment"])
def test_a_line_about_another_trial_is_left_out(own, field, tmp_path):
    path = own.results / leaderboard.NAME
    first = leaderboard.read(path)[0].entry
    other = {"seed": 9, "arm": "other", "key": "0" * 64, "setting": "0" * 16, "experiment": "table2"}
    loud = tmp_path / "loud" / leaderboard.NAME
    Details(loud.parent).copy(first.detail, Details(path.parent))
    leaderboard.append(loud, [replace(first, **{field: other[field]})])
    (group,), _ = ranked([open_board(loud)])
    assert not group.rows and f"has another {field} " in group.problems[0].replace(",", " ")


LIES = [
    {"cost": {"train_seconds": 0.001}}, {"cost": {"step_seconds": 0.001}}, {"cost": {"predicted_peak": 1}},
    {"cost": {"measured_peak": 5}}, {"cost": {"completions": 1}}, {"hardware": "abacus"}, {"commit": "f" * 40},
    {"dirty": None}, {"method": "free-lunch"}, {"recipe": "0" * 16}, {"task": "other"},
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=json.dumps)
def test_nothing_that_a_row_prints_is_believed(shipped, lie):
    ((name, value),) = lie.items()
    entries = [line.entry for line in leaderboard.read(shipped)]
    whole = replace(getattr(entries[7], name), **value) if name == "cost" else value
    assert whole != getattr(entries[7], name)
    arm, entries[7] = entries[7].arm, replace(entries[7], **{name: whole})
    shipped.unlink()
    leaderboard.append(shipped, entries)
    (group,), _ = ranked([open_board(shipped, shipped=True)])
    kept = {row.arm: row for row in group.rows}
    # A trial of another recipe is a row of its own.
    assert {*ARMS} - {*kept} == (set() if name == "recipe" else {arm})
    assert len(group.problems) == 1 and f"has another {name} than its record" in group.problems[0]
    if name == "recipe":
        assert 2 not in kept[arm].seeds


def test_a_pack_that_holds_what_no_record_is_breaks_nothing(shipped, own, tmp_path):
    """Whoever writes line and pack by hand passes every hash."""
    path = own.results / leaderboard.NAME
    entry = leaderboard.read(path)[0].entry
    for change in ({"provenance": {}}, {"cost": {"phases": 1}}, {"hashes": {}}):
        record = trial("mine", 0, 0.9, **change)
        detail = Details(path.parent).keep([encode_record(record)])
        line = replace(entry, detail=detail, record=content_hash(record), finished="2040-01-01T00:00:00Z")
        folder = tmp_path / next(iter(change))
        Details(folder).copy(detail, Details(path.parent))
        leaderboard.append(folder / leaderboard.NAME, [line])
        (group,), _ = ranked([open_board(shipped, shipped=True), open_board(folder / leaderboard.NAME)])
        assert {row.arm for row in group.rows} == {*ARMS} and len(group.problems) == 1
        assert "mine (imported) is left out" in group.problems[0]


def test_a_damaged_pack_of_one_leaderboard_hides_nothing_of_another(shipped, own, tmp_path):
    copy = tmp_path / "copy" / leaderboard.NAME
    merge_board(copy, open_board(shipped))
    for pack in (copy.parent / "leaderboard").iterdir():
        pack.write_bytes(b"damaged")
    extra = replace(leaderboard.read(shipped)[0].entry, arm="extra")
    leaderboard.append(copy, [extra])
    (group,), _ = ranked([open_board(copy), open_board(shipped, shipped=True)])
    assert {row.arm for row in group.rows} == {*ARMS} and "extra" in group.problems[0]


def test_rows_that_push_themselves_to_the_top_do_not_hide_the_others(shipped, tmp_path):
    first = leaderboard.read(shipped)[0].entry
    loud = tmp_path / "loud" / leaderboard.NAME
    boasts = [replace(first, arm=f"a{n}", scores=replace(first.scores, sets={"chain": [1.0] * 5})) for n in range(9)]
    leaderboard.append(loud, boasts)
    (group,), _ = ranked([open_board(shipped, shipped=True), open_board(loud)], top=3)
    assert [row.arm for row in group.rows] == ["ppo-n1", "tbrm-n4", "grpo-n4"] and group.more == 2
    assert len(group.problems) == 9


def test_few_rows_of_many_groups(shipped, own, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    (group,), _ = ranked([open_board(shipped, shipped=True)])
    assert (len(group.rows), group.more) == (4, 1)
    (group,), _ = ranked([open_board(shipped, shipped=True)], top=50)
    assert (len(group.rows), group.more) == (5, 0)


def test_lines_without_their_detail_file_are_left_out_and_said(shipped, tmp_path):
    alone = tmp_path / "alone" / leaderboard.NAME
    merge_board(alone, open_board(shipped))
    for pack in (alone.parent / "leaderboard").iterdir():
        pack.unlink()
    groups, left_out = ranked([open_board(alone)])
    assert groups == [] and left_out == 25
    assert {found.what for found in audit(open_board(alone))} == {"absent"}


def test_the_audit_of_a_good_leaderboard_finds_nothing(shipped, own):
    assert audit(open_board(shipped, shipped=True)) == []
    found = audit(open_board(own.results / leaderboard.NAME))
    assert {(one.what, one.wrong) for one in found} == {("imported", False)}


@pytest.mark.parametrize(
    "change",
    [
        {"arm": "rloo-n4"}, {"method": "brm"}, {"semantics": 7}, {"seed": 8}, {"task": "other"}, {"scale": "small"},
        {"variant": "1a2b3c4d"}, {"experiment": "table2"}, {"key": "0" * 64}, {"recipe": "0" * 16},
        {"setting": "0" * 16}, {"hardware": "8x H200"}, {"commit": None}, {"dirty": None}, {"pins": "0" * 16},
        {"finished": "2031-01-01T00:00:00Z"}, {"record": "0" * 64}, {"cost": {"train_seconds": 1.0}},
        {"cost": {"step_seconds": 0.01}}, {"cost": {"predicted_peak": 1}}, {"cost": {"measured_peak": 5}},
        {"cost": {"completions": 1}}, {"detail": "0" * 64}, {"scores": {"sets": {"chain": [0.9] * 5}}},
        {"scores": {"sets": {"other": [0.5] * 5}}},
        {"scores": {"metrics": ("greedy", "accuracy", "pass@8", "pass@4", "pass@2")}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_tampering_with_any_field_is_found(shipped, change):
    """Whoever writes the whole chain anew keeps it valid; the records tell all the same."""
    entries = [line.entry for line in leaderboard.read(shipped)]
    (name, value), place = next(iter(change.items())), 7
    whole = replace(getattr(entries[place], name), **value) if name in ("cost", "scores") else value
    assert whole != getattr(entries[place], name)
    entries[place] = replace(entries[place], **{name: whole})
    shipped.unlink()
    leaderboard.append(shipped, entries)
    found = audit(open_board(shipped, shipped=True))
    assert {one.what for one in found if one.wrong} == (
        {"incomplete"} if name == "detail" else {"edited", "incomplete"}
    )
    assert found[0].line == 8 and "line 8" in found[0].text and (name in found[0].text or name in ("record", "detail"))


def test_what_the_chain_does_not_show_the_commit_does(shipped):
    """Other records under a whole new chain: nothing contradicts itself, but it is not what was committed."""
    git = ["git", "-C", str(shipped.parent), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "m"]):
        subprocess.run([*git, *words], check=True)
    path = write_bundle(shipped.parent / "table1.jsonl.gz", five("base", 0.9))
    leaderboard.append(shipped, published_entries(path, Details(shipped.parent)))
    assert not [found for found in audit(open_board(shipped, shipped=True)) if found.wrong], "appended"
    shipped.unlink()
    leaderboard.append(shipped, published_entries(path, Details(shipped.parent)))
    wrong = [found for found in audit(open_board(shipped, shipped=True)) if found.wrong]
    assert [found.text for found in wrong] == ["lines that the last commit holds were changed, removed or moved"]


def test_a_bundle_that_was_edited_is_found(shipped):
    records = published_records()
    records[0]["metrics"]["chain/accuracy"] = 0.99
    write_bundle(shipped.parent / "table1.jsonl.gz", records)
    wrong = [found for found in audit(open_board(shipped, shipped=True)) if found.wrong]
    assert [found.what for found in wrong] == ["incomplete"] and "25 trials have no line" in wrong[0].text


def test_an_edited_pack_is_found(own):
    (pack,) = (own.results / "leaderboard").iterdir()
    pack.write_bytes(gzip.compress(gzip.decompress(pack.read_bytes())))
    found = audit(open_board(own.results / leaderboard.NAME))
    assert len(found) == 5 and all(one.wrong and "does not match its sha256" in one.text for one in found)


def test_uncommitted_changes_are_noted(own):
    records = five("dirty", 0.5)
    for record in records:
        record["provenance"]["dirty"] = True
    add_records(own.results / leaderboard.NAME, records)
    notes = [found for found in audit(open_board(own.results / leaderboard.NAME), {"x"}) if found.what == "dirty"]
    assert len(notes) == 5 and not notes[0].wrong
    (group,), _ = ranked([open_board(own.results / leaderboard.NAME)])
    assert {row.arm: row.dirty for row in group.rows} == {"mine": False, "dirty": True}


def test_a_results_folder_that_grows_too_large_is_found(shipped, monkeypatch):
    from repro.report import audit as where

    monkeypatch.setattr(where, "MOST_RESULTS", 1000)
    assert [found.what for found in where.audit(open_board(shipped, shipped=True))] == ["large"]


def test_adding_twice_adds_once_and_a_timing_record_makes_new_lines(own):
    path = own.results / leaderboard.NAME
    assert add_records(path, five("mine", 0.9)) == 0 and len(list((path.parent / "leaderboard").iterdir())) == 1
    assert add_records(path, [*five("mine", 0.9), timing(five("mine", 0.9))]) == 5
    (group,), _ = ranked([open_board(path)])
    assert group.rows[0].step_seconds in (0.25, None) and group.rows[0].seeds == (0, 1, 2, 3, 4)


def test_what_does_not_fit_is_not_half_added(own):
    path = own.results / leaderboard.NAME
    before, packs = path.read_bytes(), sorted((path.parent / "leaderboard").iterdir())
    wide = trial("wide")
    wide["outcomes"] = {f"set-{n}": wide["outcomes"]["chain"] for n in range(40)}
    with pytest.raises(InputError, match="more than 1500"):
        add_records(path, [trial("fine"), wide])
    with pytest.raises(InputError, match="unknown experiment"):
        add_records(path, [trial("fine"), trial("x", experiment="tabel1", id="tabel1/x/seed0")])
    assert path.read_bytes() == before and sorted((path.parent / "leaderboard").iterdir()) == packs


def test_what_papers_report_stands_apart():
    rows = reported("table1")
    assert rows and all(row["evidence"].startswith("reported (") for row in rows)
    assert {"arm", "mean_percent", "model", "source", "arxiv"} <= set(rows[0])
    assert reported("no-such-experiment") == []
    for name in registry.experiments():
        reported(name)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export(shipped, tmp_path, ending):
    import pandas

    found, _ = trials([open_board(shipped, shipped=True)])
    path = export(found, tmp_path / f"new/out.{ending}")
    frame = pandas.read_csv(path) if ending == "csv" else pandas.read_parquet(path)
    header, rows = trial_rows(found)
    assert list(frame.columns) == header and len(frame) == len(rows) == 25
    row = frame[(frame.arm == "ppo-n1") & (frame.seed == 2)].iloc[0]
    assert row["chain/accuracy"] == pytest.approx(five("ppo-n1", 0.6)[2]["metrics"]["chain/accuracy"], abs=1e-6)
    assert row.evidence == "stored" and row.step_seconds == 0.25 and row.hardware == HARDWARE
    with pytest.raises(InputError, match="use one of .csv, .parquet"):
        export(found, tmp_path / "out.xlsx")
