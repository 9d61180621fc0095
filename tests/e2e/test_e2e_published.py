"""What ships: tables and figures regenerate from the committed records to the byte, and settings are the tuned ones."""

import re
import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib import ft2font

from repro.cli.publish import regenerate
from repro.experiments import registry
from repro.store.published import bundle_path, read_bundle

TABLES = ["table1", "table2", "table3", "table4", "table5"]
UNTUNED = ["table5-svamp"]  # takes the values of table5's tuning
REPOSITORY = Path(__file__).resolve().parents[2]
FREETYPE = "2.14.3"  # what the wheel of the pinned matplotlib bundles; another one draws letters by other pixels


def needs(*names: str) -> None:
    missing = [name for name in names if not bundle_path(REPOSITORY / "results", name).is_file()]
    if missing:
        pytest.skip(f"NOT TESTED: the repository ships no records of {', '.join(missing)} yet (results/*.jsonl.gz)")


def pinned(package: str) -> str:
    return re.search(rf"^{package}==(\S+)", (REPOSITORY / "constraints/cpu.txt").read_text(), re.MULTILINE)[1]


def test_published_tables_and_figures_regenerate_to_the_byte(tmp_path):
    if not list((REPOSITORY / "results").glob("*.jsonl.gz")):
        pytest.skip("NOT TESTED: the repository ships no records yet (results/*.jsonl.gz)")
    here = (matplotlib.__version__, ft2font.__freetype_version__)
    drawn_alike = here == (pinned("matplotlib"), FREETYPE)
    if not drawn_alike:
        warnings.warn(
            f"png and svg not compared: matplotlib {here[0]}, freetype {here[1]} are not pinned", stacklevel=1
        )
    regenerate(REPOSITORY, tmp_path)
    different = []
    for folder in ("paper_tables", "figures"):
        made = {path.name: path for path in (tmp_path / folder).iterdir()}
        committed = {path.name: path for path in (REPOSITORY / folder).iterdir() if not path.name.startswith(".")}
        assert set(made) == set(committed), f"{folder}: files without records, or records without files"
        for name, path in made.items():
            text = path.suffix in (".md", ".csv", ".tex")
            if (text or drawn_alike) and path.read_bytes() != committed[name].read_bytes():
                different.append(f"{folder}/{name}")
    assert not different, f"`repro publish --only-regenerate` would change {different}"


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
