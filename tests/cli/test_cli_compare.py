"""`repro compare`: who runs, who is paired with whom, what is said, what is refused. No trial really trains."""

import hashlib
import json
from pathlib import Path

import pytest
from plugin_files import method_file

from repro.cli import opponents, pipeline, retiming
from repro.experiments import registry
from repro.experiments.plan import published_bundle
from repro.experiments.resolve import resolve
from repro.store.published import read_bundle
from repro.store.records import load_records, write_record
from repro.store.workspace import Workspace

from .fake_trials import FakeLaunch, record_of, timing_of

pytestmark = pytest.mark.usefixtures("plugged")

HASHES = {"base": "b", "prompts": {"test": "t"}, "template": "x"}  # of the records in `fake_trials`
SKILL = {"base": 0.25, "ppo-n1": 0.625, "tbrm-n1": 0.5, "grpo-n4": 0.375}
HERE = {"cpu": "this one", "cores": 3, "gpu": None, "measured_on": "3 cores of this one"}
PROJECT = Path(__file__).resolve().parents[2]


def trial(arm, seed, accuracy=None, experiment="table1", scale="micro", **more):
    config = resolve(registry.get(experiment), scale, arm, seed)
    return record_of(config, SKILL[arm] if accuracy is None else accuracy, **more)


def rounds(seconds, count=8):
    one = {"phases": {}, "completions": 1, "prompts": 1}
    return {"rounds": [{"seconds": seconds * (1 + 0.01 * index), **one} for index in range(count)]}


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    """Published results are those of the checkout, wherever the package is installed."""
    for module in (opponents, pipeline):
        monkeypatch.setattr(module, "published_bundle", lambda experiment: published_bundle(experiment, PROJECT))


@pytest.fixture
def stored(monkeypatch):
    """The published records: four arms on five seeds, of no real trial."""
    records = [trial(arm, seed) for arm in SKILL for seed in range(5)]
    monkeypatch.setattr(opponents, "published", lambda experiment, scale: records if experiment == "table1" else [])
    monkeypatch.setattr(retiming, "published", opponents.published)
    return records


@pytest.fixture
def launch(monkeypatch, stored):
    """`launch(**options)`: trials end at once; base and questions are those of the stored records."""
    monkeypatch.setattr("repro.launch.identify.trial_hashes", lambda config, data_dir: HASHES)
    monkeypatch.setattr(retiming, "cpu_model", lambda: HERE["cpu"])
    monkeypatch.setattr(retiming, "usable_cores", lambda: HERE["cores"])

    def replace(**options):
        fake = FakeLaunch(**{"accuracy": 0.75, **options})
        fake.timed = []

        def time_configs(configs, workspace, data_dir, emit):
            fake.timed.append(sorted(configs))
            seconds = {arm: rounds(1.5 if arm == "mine" else 1.0) for arm in configs}
            made = timing_of(configs) | {"timing": {"prompts_equal": seconds, "completions_equal": seconds}}
            made["provenance"] |= HERE
            write_record(workspace, made)
            return made

        monkeypatch.setattr("repro.launch.local.run_trials", fake)
        monkeypatch.setattr(retiming, "time_configs", time_configs)
        return fake

    return replace


@pytest.fixture
def mine(tmp_path):
    return method_file(tmp_path)


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_only_the_new_arm_runs_and_meets_every_stored_one(cli_json, launch, mine, tmp_path):
    fake, before = launch(), tree(PROJECT / "results")
    (found,) = cli_json("compare", "mine", "--experiment", "table1", "--method", mine)["comparisons"]
    assert [name.split("/")[1:] for name in fake.ran] == [["mine", f"seed{seed}"] for seed in range(5)]
    assert found["against"] == "ppo-n1" and "best-ranked stored core arm" in found["because"]
    assert [one["arm"] for one in found["rivals"]] == ["ppo-n1", "tbrm-n1", "grpo-n4", "base"]
    assert [one["difference"] for one in found["rivals"]] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert all(one["seeds"] == [0, 1, 2, 3, 4] and one["questions"] == 4 for one in found["rivals"])
    assert {one["word"] for one in found["rivals"]} == {"better"} and (found["rank"], found["of"]) == (1, 5)
    assert fake.timed == [["mine", "ppo-n1"]]
    assert found["cost"]["step"]["completions_equal"]["ratio"] == pytest.approx(1.5)
    assert found["cost"]["timed_on"] == HERE["measured_on"]
    assert found["sentence"] == (
        "On table1 (scale micro, 5 seeds, 4 questions), mine reaches 75.0 % accuracy, 12.50 points above PPO n=1 "
        "(ppo-n1) (95 % interval +12.50 to +12.50, P(improvement) >0.99): better; it ranks 1 of 5; a training step "
        "takes 1.50 times as long as one of ppo-n1; unlike ppo-n1, it was not tuned."
    )
    assert found["notes"][0].startswith("tuning: ppo-n1 was tuned (4 learning rates x 2 values of minibatches")
    assert tree(PROJECT / "results") == before, "published files are as they were"
    assert not list(tmp_path.rglob("leaderboard*")), "and no leaderboard is written"


def test_what_is_done_is_not_done_again(cli_json, launch, mine):
    launch()
    words = ("compare", mine, "--experiment", "table1")
    first = cli_json(*words)["comparisons"]
    fake = launch()
    again = cli_json(*words)["comparisons"]
    assert fake.ran == [] and fake.timed == []
    assert again[0]["rivals"] == first[0]["rivals"] and again[0]["sentence"] == first[0]["sentence"]
    assert again[0]["evidence"] == "yours"


def test_trials_of_another_command_count(cli, cli_json, launch, mine, monkeypatch):
    from repro.cli import pipeline

    monkeypatch.setattr(pipeline, "time_arms", lambda *_: None)
    monkeypatch.setattr(pipeline, "finish", lambda *_: None)
    launch()
    assert cli("run", "table1", "--arms", "mine", "--seeds", "3", "--method", mine)[0] == 0
    fake = launch()
    cli_json("compare", "mine", "--experiment", "table1", "--method", mine)
    assert [name[-5:] for name in fake.ran] == ["seed3", "seed4"]


def test_a_dry_run_starts_nothing_and_says_what_would(cli, cli_json, launch, mine, tmp_path):
    fake = launch()
    words = ("compare", "mine", "--experiment", "table1", "--method", mine, "--dry-run")
    before = tree(tmp_path)
    code, out, _ = cli(*words)
    assert code == 0 and fake.ran == [] and fake.timed == [] and tree(tmp_path) == before
    assert "mine would be held against PPO n=1 (ppo-n1), the best-ranked stored core arm" in out
    assert "seeds 0, 1, 2, 3, 4: about 65 s each" in out and "tuning: ppo-n1 was tuned" in out
    (found,) = cli_json(*words)["comparisons"]
    assert len(found["to_run"]) == 5 and found["estimated_seconds"] >= 65 and "rivals" not in found
    assert cli("compare", "mine", "--experiment", "table1", "--method", mine, "--dry-run", "--against", "nix")[0] == 2


def test_the_seeds_are_those_of_the_stored_arm(cli_json, launch, mine, stored):
    stored[:] = [record for record in stored if record["seed"] < 3]
    fake = launch()
    (found,) = cli_json("compare", "mine", "--experiment", "table1", "--method", mine)["comparisons"]
    assert len(fake.ran) == 3 and found["seeds"] == [0, 1, 2]
    assert {one["word"] for one in found["rivals"]} == {"no verdict"}
    assert found["rivals"][0]["reason"] == "needs at least 5 seeds, has 3" and found["p_best"] is None


def test_seeds_beyond_the_stored_ones_are_named(cli, launch, mine, tmp_path):
    fake = launch()
    words = ("compare", "mine", "--experiment", "table1", "--method", mine, "--seeds", "7")
    code, out, _ = cli(*words)
    assert code == 0 and len(fake.ran) == 7
    assert "seeds 5, 6 are not paired: ppo-n1 has no records of them" in out
    workspace = Workspace(tmp_path / "runs")
    for seed in (5, 6):
        write_record(workspace, trial("ppo-n1", seed))
    launch()
    code, out, _ = cli(*words)
    assert "not paired" not in out and "PPO n=1 (ppo-n1), stored and yours" in out and "7 seeds" in out


def test_the_arm_to_hold_it_against(cli, cli_json, launch, mine):
    fake = launch()
    words = ("compare", "mine", "--experiment", "table1", "--method", mine, "--against")
    (found,) = cli_json(*words, "grpo-n4")["comparisons"]
    assert (found["against"], found["because"]) == ("grpo-n4", "you named it") and fake.timed == [["grpo-n4", "mine"]]
    wrong = {
        "gpro-n4": "did you mean grpo-n4", "mine": "that is the arm itself", "brm-n1": "repro run table1/brm-n1"
    }  # fmt: skip
    for name, said in wrong.items():
        code, out, err = cli(*words, name)
        assert code == 2 and out == "" and err.count("\n") == 1 and said in err


def test_an_untrained_rival_has_no_steps_to_time(cli_json, launch, mine, stored):
    fake = launch()
    (found,) = cli_json("compare", mine, "--experiment", "table1", "--against", "base")["comparisons"]
    assert fake.timed == [["mine", "ppo-n1"]] and found["cost"]["rival"] == "ppo-n1", "the best trained one instead"
    stored[:] = [record for record in stored if record["arm"] == "base"]
    (found,) = cli_json("compare", mine, "--experiment", "table1")["comparisons"]
    assert found["cost"]["step"] == {} and "is not trained" in found["cost"]["why"][0]


def test_other_settings_are_said(cli, launch, mine, stored):
    for record in stored:
        record["provenance"] |= {"packages": {"torch": "1.0"}, "measured_on": "a farm"}
    launch()
    code, out, _ = cli("compare", mine, "--experiment", "table1", "--set", "mine.steps=7")
    assert code == 0 and "train.steps: 7 against 50" in out
    assert "version of torch: absent against 1.0" in out and "machine: unknown against a farm (their times are" in out
    assert "and beside tbrm-n1, grpo-n4: only one of the two was tuned" in out


def test_a_change_of_the_stored_arms_leaves_those_without_records(cli, launch, mine):
    launch()
    code, out, _ = cli("compare", mine, "--experiment", "table1", "--set", "grpo-n4.beta=0.5")
    assert code == 0 and "without records of these settings: grpo-n4, tbrm-n4" in out
    code, _, err = cli("compare", mine, "--experiment", "table1", "--set", "*.max_prompt=40")
    assert code == 2 and "table1 has no stored records with these settings: run its arms first" in err
    assert "repro run table1, with the same --set, --method, --task and --model" in err


@pytest.mark.parametrize(
    ("hashes", "said"),
    [
        ({"base": "z"}, "the same base model has other weights here (z) than there (b); another processor rounds "
         "differently: make records of it here, repro run table1"),
        ({"prompts": {"test": "z"}}, "other test questions"),
        ({"template": "z"}, "another prompt template"),
    ],
)  # fmt: skip
def test_what_the_hashes_show_is_refused_before_anything_trains(cli, launch, mine, monkeypatch, hashes, said):
    fake = launch()
    monkeypatch.setattr("repro.launch.identify.trial_hashes", lambda *_: HASHES | hashes)
    code, out, err = cli("compare", mine, "--experiment", "table1")
    assert code == 2 and out == "" and fake.ran == [] and said in err.splitlines()[-1]


def test_records_with_the_weights_of_this_machine_stand_in_for_published_ones(cli_json, launch, mine, stored, tmp_path):
    for record in stored:
        write_record(Workspace(tmp_path / "runs"), record)
    stored[:] = [record | {"hashes": HASHES | {"base": "z"}} for record in stored]
    launch()
    (found,) = cli_json("compare", mine, "--experiment", "table1")["comparisons"]
    assert {one["evidence"] for one in found["rivals"]} == {"yours"}


def test_a_trial_that_fails_is_one_line_and_changes_no_file_but_its_record(cli, launch, mine, tmp_path):
    published = tree(PROJECT / "results")
    board = tmp_path / "runs/results/leaderboard.jsonl"
    board.parent.mkdir(parents=True)
    board.write_text("")
    launch(failing=("mine",), message="method mine: credit: there is NaN in advantages")
    code, out, err = cli("compare", mine, "--experiment", "table1")
    assert code == 1 and out == ""
    said = [line for line in err.splitlines() if line.startswith("repro: ")]
    assert len(said) == 5 and all("credit: there is NaN in advantages" in line for line in said)
    assert board.read_text() == "" and tree(PROJECT / "results") == published
    records, _ = load_records(Workspace(tmp_path / "runs"))
    assert {record["status"] for record in records} == {"failed"}


def test_input_that_no_trial_can_use_is_exit_code_2(cli, launch, mine):
    launch(failing=("mine",), message="no room for mine", kind="input")
    code, out, err = cli("compare", mine, "--experiment", "table1")
    assert code == 2 and out == "" and err.splitlines()[-1] == "repro: no room for mine"


def test_a_timing_that_fails_leaves_the_result(cli, launch, mine, monkeypatch):
    from repro.errors import TrialError

    def fail(*_):
        raise TrialError("timing: mine: RuntimeError: no")

    launch()
    monkeypatch.setattr(retiming, "time_configs", fail)
    code, out, err = cli("compare", mine, "--experiment", "table1")
    assert code == 1 and "rank 1 of 5" in out and "the timing failed" in out and "timing: mine: RuntimeError" in err


@pytest.mark.parametrize(
    ("code", "said"), [("raise ValueError('boom')", "ValueError: boom (mine.py, line 1)"), ("x = 1", "must define one")]
)
def test_a_file_that_cannot_be_used_is_refused(cli, launch, tmp_path, code, said):
    (tmp_path / "mine.py").write_text(code)
    found, out, err = cli("compare", "mine", "--experiment", "table1", "--method", "mine.py")
    assert found == 2 and out == "" and err.count("\n") == 1 and said in err


def test_a_plug_in_called_like_an_arm_never_gets_the_arms_results(cli, launch, tmp_path):
    path = method_file(tmp_path, "mine", {'name = "mine"': 'name = "tbrm-n4"'})
    code, out, err = cli("compare", path, "--experiment", "table1", "--dry-run")
    assert code == 2 and out == "" and err.count("\n") == 1 and "has an arm called tbrm-n4 already" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grpp-n4", "--experiment", "table1"], "did you mean grpo-n4"),
        (["mine", "--experiment", "table1"], "(--method FILE.py names a plug-in)"),
        (["tbrm-n4", "--experiment", "tabel1"], "did you mean table1"),
        (["tbrm-n4"], "--all-experiments is required"),
        (["mean-k4", "--experiment", "figure1"], "figure1 runs on bandits: it has no test questions to pair by"),
        (["tbrm-n4", "--experiment", "table1-tuning"], "holds tuning trials"),
        (["tbrm-n4", "--experiment", "table1@smoke"], "run its arms first, repro run table1 --scale smoke"),
        (["tbrm-n4", "--experiment", "table1@smoke", "--scale", "micro"], "give one of them"),
        (["tbrm-n4", "--experiment", "table1", "--against", "tbrm-n4"], "name another one"),
        (["tbrm-n4", "--experiment", "table1", "--metric", "truncated"], "--metric truncated: use accuracy"),
        (["tbrm-n4", "--experiment", "table1", "--metric", "majority@3"], "no stored arm has the metric"),
        (["tbrm-n4", "--experiment", "table1", "--seeds", "0"], "--seeds must be from 1"),
        (["tbrm-n4", "--experiment", "table1", "--set", "x.n=4"], "has no arm 'x'"),
        (["math-mean", "--experiment", "table4", "--against", "code-mean"],
         "math-mean cannot be compared with code-mean: another base model, other test questions"),
        (["tbrm-n4", "--experiment", "table1", "--set", "tbrm-n4.evaluation.questions=64"], "other test questions"),
        (["tbrm-n4", "--experiment", "table1", "--set", "tbrm-n4.evaluation.temperature=0.1"], "another temperature"),
        (["nix", "--all-experiments"], "nothing can be compared"),
    ],
)  # fmt: skip
def test_bad_input_of_compare_is_one_line_and_exit_code_2(cli, words, said):
    code, out, err = cli("compare", *words)
    assert code == 2 and out == ""
    assert err.startswith("repro: ") and err.count("\n") == 1 and said in err


def refuse(*_, **__):
    raise AssertionError("nothing may start")


def test_two_published_arms_are_compared_without_a_run(cli, cli_json, monkeypatch, tmp_path):
    for name in ("launch.local.run_trials", "launch.identify.trial_hashes", "cli.retiming.time_configs"):
        monkeypatch.setattr(f"repro.{name}", refuse)
    words = ("compare", "tbrm-n4", "--against", "grpo-n4", "--experiment", "table1")
    (found,) = cli_json(*words)["comparisons"]
    assert found["to_run"] == [] and not (tmp_path / "runs").exists()
    records = [r for r in read_bundle(PROJECT / "results/table1.jsonl.gz") if r["kind"] == "trial"]

    def mean(arm):
        own = [r["metrics"]["chain/accuracy"] for r in records if r["arm"] == arm]
        return sum(own) / len(own)

    by_arm = {one["arm"]: one for one in found["rivals"]}
    assert by_arm["grpo-n4"]["difference"] == pytest.approx(mean("tbrm-n4") - mean("grpo-n4"))
    better = sum(mean(arm) > mean("tbrm-n4") for arm in by_arm)
    assert found["rank"] == 1 + better and found["of"] == len({r["arm"] for r in records})
    timing = next(r for r in read_bundle(PROJECT / "results/table1.jsonl.gz") if r["kind"] == "timing")
    assert found["cost"]["timed_on"] == timing["provenance"]["measured_on"]
    ratio = found["cost"]["step"]["completions_equal"]
    assert ratio["lo"] < ratio["ratio"] < ratio["hi"] and ratio["rounds"] == 8
    assert cli(*words)[1].splitlines()[-1] == found["sentence"]


def test_every_experiment_in_which_it_can_be_compared(cli, cli_json, monkeypatch):
    monkeypatch.setattr("repro.launch.local.run_trials", refuse)
    found = cli_json("compare", "tbrm-n1", "--against", "grpo-n4", "--all-experiments")
    assert [one["experiment"] for one in found["comparisons"]] == ["table1", "table3"]
    others = {name for name in registry.experiments() if not name.endswith("-tuning")} - {"table1", "table3"}
    assert found["refused"].keys() == others and "bandits" in found["refused"]["figure1"]
    code, out, _ = cli("compare", "tbrm-n1", "--against", "grpo-n4", "--all-experiments")
    assert code == 0 and "not compared:" in out and out.splitlines()[-1].startswith("in 2 experiments: ")


def test_an_experiment_without_the_metric_is_named(cli_json):
    words = ("compare", "grpo-n4", "--all-experiments", "--metric", "majority@64")
    found = cli_json(*words)
    assert [one["experiment"] for one in found["comparisons"]] == ["table2"]
    assert found["refused"]["table1"] == "table1: no stored arm has the metric 'majority@64'"


def test_json_is_what_the_help_says(cli, cli_json):
    (found,) = cli_json("compare", "tbrm-n4", "--experiment", "table1")["comparisons"]
    told = cli("compare", "--help")[1]
    names = {*found, *found["rivals"][0], *found["cost"]}
    assert all(name in told for name in names), [name for name in names if name not in told]
    assert json.dumps(found)


def test_a_compared_arm_can_be_added_to_the_leaderboard_with_its_step_time(cli_json, launch, mine, tmp_path):
    launch()
    cli_json("compare", mine, "--experiment", "table1")
    assert cli_json("leaderboard", "add")["added"] == 5
    lines = (tmp_path / "runs/results/leaderboard.jsonl").read_text().splitlines()
    assert [json.loads(line)["cost"]["step_seconds"] for line in lines] == pytest.approx([1.5 * 1.035] * 5)


def test_another_method_of_ones_own_can_be_the_rival(cli, cli_json, launch, mine, tmp_path):
    other = method_file(tmp_path, "other")
    words = ("compare", mine, "--experiment", "table1", "--method", other, "--against", "other")
    launch()
    code, _, err = cli(*words)
    assert code == 2 and "other has no stored record with these settings: run it first" in err
    launch(accuracy=0.5)
    cli_json("compare", other, "--experiment", "table1")
    fake = launch()
    (found,) = cli_json(*words)["comparisons"]
    assert {name.split("/")[1] for name in fake.ran} == {"mine"} and found["against"] == "other"
    assert {one["arm"]: one["core"] for one in found["rivals"]}["other"] is False, "not an arm of the experiment"


def test_a_method_with_the_settings_of_a_stored_arm_has_its_trials(cli_json, monkeypatch):
    monkeypatch.setattr("repro.launch.local.run_trials", refuse)
    monkeypatch.setattr(retiming, "time_configs", refuse)
    sets = ("rloo.learning_rate=1e-4", "rloo.minibatches=4")
    (found,) = cli_json("compare", "rloo", "--experiment", "table1", "--set", sets[0], "--set", sets[1])["comparisons"]
    (same,) = [one for one in found["rivals"] if one["arm"] == "rloo-n4"]
    assert found["to_run"] == [] and (same["difference"], same["p_improvement"]) == (0, 0.5)


def test_a_method_takes_the_task_of_the_arm_it_is_held_against(cli_json):
    words = ("compare", "rloo", "--experiment", "table4", "--dry-run")
    (plain,) = cli_json(*words)["comparisons"]
    (code,) = cli_json(*words, "--against", "code-mean")["comparisons"]
    assert "code-mean" in plain["refused"] and code["refused"].keys() >= {"math-mean", "math-base"}
    assert not any(name.startswith("code-") for name in code["refused"]), "now these can be compared"
    ids = [{trial.split("/")[0] for trial in found["to_run"]} for found in (plain, code)]
    assert ids[0].isdisjoint(ids[1]), "another task is another variant"
    (same,) = cli_json(*words, "--against", "math-pass")["comparisons"]
    assert same["to_run"] == plain["to_run"]
