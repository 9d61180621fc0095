"""What ships: tables and figures regenerate from the committed records to the byte, and settings are the tuned ones."""

import warnings
from pathlib import Path

import pytest

from repro.cli.main import main
from repro.cli.verify import check_files
from repro.experiments import registry
from repro.report.committed import FOLDERS
from repro.store import leaderboard
from repro.store.details import Details
from repro.store.project import bundles
from repro.store.published import bundle_path, read_bundle

TABLES = ["table1", "table2", "table3", "table4", "table5"]
UNTUNED = ["table5-svamp"]  # takes the values of table5's tuning
REPOSITORY = Path(__file__).resolve().parents[2]


def needs(*names: str) -> None:
    missing = [name for name in names if not bundle_path(REPOSITORY / "results", name).is_file()]
    if missing:
        pytest.skip(f"NOT TESTED: the repository ships no records of {', '.join(missing)} yet (results/*.jsonl.gz)")


@pytest.mark.slow
def test_published_tables_and_figures_regenerate_to_the_byte(tmp_path):
    names = list(bundles(REPOSITORY))
    if not names:
        pytest.skip("NOT TESTED: the repository ships no records yet (results/*.jsonl.gz)")
    checks = check_files(REPOSITORY, tmp_path, names)
    uncompared = [check.file for check in checks if check.status == "not compared"]
    if uncompared:
        warnings.warn(f"{len(uncompared)} png and svg not compared: matplotlib or FreeType is not pinned", stacklevel=1)
    named = {check.file for check in checks}
    committed = {f"{folder}/{path.name}" for folder in FOLDERS for path in (REPOSITORY / folder).glob("[!.]*")}
    assert committed <= named, "files of no experiment that has records"
    different = [check for check in checks if not check.good]
    assert not different, f"`repro publish --only-regenerate` would change {different}"


def test_the_shipped_leaderboard_passes_its_verification(monkeypatch, capsys):
    needs("table1")
    monkeypatch.chdir(REPOSITORY)
    assert main(["leaderboard", "verify", "--root", str(REPOSITORY / "no-such-workspace")]) == 0
    assert capsys.readouterr().out.strip().endswith("lines, good")


@pytest.mark.parametrize("table", TABLES + UNTUNED)
def test_the_shipped_leaderboard_holds_every_core_arm_on_every_seed(table):
    needs(table)
    published = Details(REPOSITORY / "results").published
    entries = [line.entry for line in leaderboard.read(REPOSITORY / "results" / leaderboard.NAME)]
    held = {(entry.experiment, entry.arm, entry.seed) for entry in entries if entry.detail in published}
    seeds = registry.settings(registry.get(table), "micro").seeds
    assert seeds >= 5
    assert {(table, arm.id, seed) for arm in registry.get(table).core_arms for seed in range(seeds)} <= held


def test_the_published_folder_stays_small():
    size = sum(path.stat().st_size for path in (REPOSITORY / "results").rglob("*") if path.is_file())
    assert size < 20_000_000


@pytest.mark.parametrize("table", TABLES + UNTUNED)
def test_every_published_record_is_one_of_the_experiment_as_registered(table):
    needs(table)
    from repro.cli.pipeline import stored_configs, timing_record
    from repro.experiments.plan import current
    from repro.experiments.planned import plan_record

    bundle = read_bundle(bundle_path(REPOSITORY / "results", table))
    trials = current(stored_configs(registry.get(table), "micro", bundle), bundle)
    timing = timing_record(bundle, trials)
    plan = plan_record(bundle, registry.get(table))
    stale = [record["id"] for record in bundle if record not in trials and record is not timing and record is not plan]
    assert not stale, f"published under an older definition: {stale}"
    assert (plan is not None) == bool(registry.get(table).planned), "planned claims need a plan of today's definition"
    assert timing is not None, "the time claims need a timing record of today's definition"


def test_the_published_bandits_are_those_of_the_experiment_as_registered():
    needs("figure1")
    from repro.cli.pipeline import stored_configs
    from repro.experiments.plan import current

    bundle, figure1 = read_bundle(bundle_path(REPOSITORY / "results", "figure1")), registry.get("figure1")
    assert current(stored_configs(figure1, "micro", bundle), bundle) == bundle
    assert {record["arm"] for record in bundle} == {arm.id for arm in figure1.arms}


@pytest.mark.parametrize("table", TABLES)
def test_the_micro_scale_uses_what_the_shipped_tuning_records_choose(table):
    needs(f"{table}-tuning")
    experiment = registry.get(table)
    micro = experiment.scales["micro"]
    best = registry.chosen(read_bundle(bundle_path(REPOSITORY / "results", f"{table}-tuning")))
    assert set(best) == set(experiment.tuning), "an arm's grid is not complete"
    for arm, grid in experiment.tuning.items():
        special = micro.arms[arm]
        used = {**micro.train, **special["train"]}["learning_rate"], special["method"].get(grid.parameter)
        assert used == (best[arm]["learning_rate"], best[arm][grid.parameter]), f"{arm}: tuning chose {best[arm]}"
