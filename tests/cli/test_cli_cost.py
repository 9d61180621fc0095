"""What a run costs before it starts: rows of `repro plan`, the plan record of `repro run`, and what does not fit."""

import json
import subprocess
import sys

import pytest

from repro.cli import cost, pipeline
from repro.cli.cost import cost_text, grouped, parse_size, refuse_what_cannot_fit
from repro.errors import InputError, TrialError
from repro.experiments import registry
from repro.experiments.planned import plan_record
from repro.experiments.resolve import UNCHANGED, parse_changes, resolve, resolve_selection
from repro.launch.planning import Card, this_card
from repro.store.provenance import usable_cores
from repro.store.records import load_records, write_record
from repro.store.workspace import Workspace

from .fake_trials import FakeLaunch, made_up, record_of

GIB = 1 << 30
TABLE3 = registry.get("table3")


class FakePlanner:
    """Stands in for `plan_rows`; remembers what it was asked."""

    def __init__(self, total=10 * GIB, error=None):
        self.total, self.error, self.asked = total, error, []

    def __call__(self, configs, options, cache, jobs, on_row, rooms=None, search=True, trials=False):
        rows = []
        for place, config in enumerate(configs):
            room = None if rooms is None else rooms[place]
            self.asked.append((config, dict(options), jobs, room))
            row = self.error or made_up(config, self.total)
            if room is not None and not self.error:
                fits = self.total <= room
                row |= {"fits": fits, "advice": None if fits else f"{config.arm}: weights dominate, use LoRA"}
                row |= {"largest_micro_batch": 1} if search else {}
            on_row(place, row)
            rows.append(row)
        return rows


@pytest.fixture
def planner(monkeypatch):
    def replace(**options):
        fake = FakePlanner(**options)
        monkeypatch.setattr(cost, "plan_rows", fake)
        return fake

    return replace


@pytest.fixture
def card(monkeypatch):
    """`card(size)`: what this machine has."""
    return lambda size: monkeypatch.setattr(cost, "this_card", lambda trials: Card(size, "made-up card"))


@pytest.fixture
def launch(monkeypatch):
    fake = FakeLaunch()
    monkeypatch.setattr("repro.launch.local.run_trials", fake)
    monkeypatch.setattr(pipeline, "time_arms", lambda *_: None)
    monkeypatch.setattr(pipeline, "finish", lambda *_: None)
    monkeypatch.setattr(pipeline, "check_inputs", lambda *_: None)
    monkeypatch.setattr("repro.cli.run._print", lambda *_: None)
    return fake


# -- repro plan --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80GiB", 80 * GIB), ("24g", 24 * GIB), ("24 G", 24 * GIB), ("80GB", 80 * 10**9), ("512MiB", GIB // 2),
        ("1.5gib", 3 * GIB // 2), ("1TB", 10**12),
    ],
)  # fmt: skip
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["80", "GiB", "-1GiB", "0GiB", "nanGiB", "80GiBs", "1e3GiB", "", "80PB"])
def test_bad_sizes_are_refused_before_anything_is_planned(cli, planner, text):
    fake = planner()
    code, out, err = (
        cli("plan", "table3", "--fits", text) if not text.startswith("-") else cli("plan", "table3", f"--fits={text}")
    )
    assert code == 2 and not out and err.count("\n") == 1 and "--fits" in err and fake.asked == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cost", "--no-cost"], "--no-cost"),
        (["--no-cost", "--fits", "80GiB"], "--fits"),
        (["--no-cost", "--states", "bf16"], "--states"),
        (["--states", "fp8"], "fp8"),
        (["--logits", "none"], "none"),
    ],
)
def test_options_that_contradict_each_other(cli, planner, words, said):
    fake = planner()
    code, out, err = cli("plan", "table3", *words)
    assert code == 2 and not out and err.count("\n") == 1 and said in err and fake.asked == []


@pytest.mark.parametrize(
    ("words", "planned"),
    [
        ([], False), (["--scale", "smoke"], False), (["--cost"], True), (["--fits", "80GiB"], True),
        (["--logits", "full"], True), (["--scale", "small"], True), (["--scale", "paper"], True),
        (["--scale", "paper", "--no-cost"], False),
    ],
)  # fmt: skip
def test_when_cost_is_shown(cli_json, planner, words, planned):
    fake = planner()
    found = cli_json("plan", "table3", *words)
    assert (found["cost"] is not None) == planned == bool(fake.asked)


def test_a_scale_in_the_id_counts_as_well(cli_json, planner):
    planner()
    assert cli_json("plan", "table3@paper/ppo-n1")["cost"] and cli_json("plan", "table3@smoke")["cost"] is None


def test_plan_without_cost_loads_no_torch():
    for scale in ("smoke", "micro"):
        code = (
            "import sys\nfrom repro.cli.main import main\n"
            f"assert main(['plan', 'table3', '--scale', {scale!r}]) == 0\n"
            "print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]"


def test_rows_of_the_paper_scale(cli, cli_json, planner):
    fake = planner()
    rows = cli_json("plan", "table3", "--scale", "paper", "--arms", "all", "--seeds", "2")["cost"]
    sizes = [f"Qwen/Qwen2.5-{size}" for size in ("1.5B", "3B", "7B")]
    own = TABLE3.scales["paper"].base["id"]
    models = {arm.id: [row["model"] for row in rows if row["arm"] == arm.id] for arm in TABLE3.arms}
    assert models["base"] == [], "nothing is trained there"
    assert models["grpo-n4"] == models["astar-po-n1"] == models["rebel-n2"] == sizes
    assert models["ppo-n1"] == [*sizes, "Qwen/Qwen2.5-Math-7B"] and models["tbrm-n1"] == ["Qwen/Qwen2.5-Math-7B"]
    assert models["astar-po-n1-mean"] == [own], "no entry lists it"
    assert {(row["experiment"], row["name"]) for row in rows if row["arm"] == "rebel-n2"} == {
        ("table3@paper", "1.5B"), ("table3@paper", "3B"), ("table3@paper", "7B"),
    }  # fmt: skip
    assert {row["name"] for row in rows if row["model"] == own and "mean" in row["arm"]} == {None}
    jobs = min(2, usable_cores())
    assert all(asked[1:] == ({"states": "fp32", "logits": "chunked"}, jobs, None) for asked in fake.asked)
    with_model = cli_json("plan", "table3", "--scale", "paper", "--model", "Qwen/Qwen2.5-0.5B")["cost"]
    assert [row["model"] for row in with_model] == ["Qwen/Qwen2.5-0.5B"] * 4


def test_options_reach_the_planner(cli_json, planner):
    fake = planner()
    words = ["--states", "bf16", "--logits", "full", "--fits", "20GiB", "--jobs", "1", "--set", "*.micro_batch=4"]
    rows = cli_json("plan", "table3@paper/rebel-n2", *words)["cost"]
    assert [row["fits"] for row in rows] == [True] * 3 and [row["largest_micro_batch"] for row in rows] == [1] * 3
    for config, options, jobs, room in fake.asked:
        assert options == {"states": "bf16", "logits": "full"} and jobs == 1 and config.train.micro_batch == 4
        # The engine of the paper scale keeps its share of the card.
        assert config.train.backend == "vllm" and room == int(20 * GIB * (1 - config.train.vllm_memory))


def test_the_text_names_every_row_its_verdict_and_what_is_left_out(cli, planner):
    planner(total=14 * GIB)
    code, out, err = cli("plan", "table3@paper/ppo-n1", "table3@paper/rebel-n2", "--fits", "20GiB")
    assert code == 0 and "planned 7 of 7" in err
    lines = [line.split() for line in out.splitlines() if line.startswith(("ppo-n1 ", "rebel-n2 "))]
    assert [words[1] for words in lines[:4]] == ["Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B", "Qwen2.5-Math-7B"]
    assert lines[0][2:12] == ["14.00", "update", "4.00", "1.00", "1.00", "5.00", "1.00", "2.00", "0", "0.00"]
    assert "no, up to 1" in out and "weights dominate" in out and "left out: The engine's pool." in out
    assert "fits 20GiB" in out and "1e+15" in out
    assert not cli("plan", "table3@paper/base")[1].count("left out"), "an arm that trains nothing costs no step"


def test_columns_add_up_to_the_peak():
    row = made_up(resolve(TABLE3, "paper", "ppo-n1", 0))
    parts = grouped(row)
    assert sum(parts.values()) == row["peak"]["total"]
    assert parts["critic"] == 2 * GIB and parts["reference"] == GIB and parts["other"] == 3
    unknown = {**row, "peak": {"total": 5, "phase": "update", "components": {"gathered": 5}}}
    assert grouped(unknown)["other"] == 5, "a new component is never lost"


def test_a_small_model_is_shown_in_mib():
    row = made_up(resolve(TABLE3, "micro", "ppo-n1", 0), stage1={"flops": 10, "completions": 4096, "tokens": 1})
    small = {**row, "peak": {"total": 3 << 20, "phase": "update", "components": {"activations": 3 << 20}}}
    text = cost_text([small], None)
    assert "memory in MiB" in text and " 3.00 " in text and "stage 1 samples 4,096 completions" in text


@pytest.mark.parametrize("error", [InputError("the shape of a/b is not pinned"), TrialError("no room")])
def test_what_cannot_be_planned_is_one_line(cli, planner, error):
    planner(error=error)
    code, out, err = cli("plan", "table3@paper/ppo-n1")
    assert code == (2 if isinstance(error, InputError) else 1)
    assert not out and err == f"repro: {error}\n"


def test_an_interrupted_plan_says_how_to_go_on(cli, monkeypatch):
    def broken(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cost, "plan_rows", broken)
    code, _, err = cli("plan", "table3@paper/ppo-n1")
    assert code == 130 and "same command" in err and err.count("\n") == 1


# -- repro run: the record ---------------------------------------------------------------------------------------------
def selected(scale=None, arms="core"):
    return registry.select(["table3"], scale, arms)[0]


def finish_arms(workspace, arms, scale="micro", changes=UNCHANGED):
    for config in resolve_selection(registry.select(["table3"], scale, ",".join(arms), 1)[0], changes):
        write_record(workspace, record_of(config))


def stored_plans(workspace, name="table3"):
    return [record for record in load_records(workspace, name)[0] if record["kind"] == "plan"]


def test_plan_record_is_written_once_and_covers_whole_entries(tmp_path, planner):
    fake, workspace = planner(), Workspace(tmp_path)
    assert pipeline.plan_shapes(selected(), UNCHANGED, workspace) is None
    assert fake.asked == [], "nothing has run yet"
    finish_arms(workspace, ["base"])
    pipeline.plan_shapes(selected(), UNCHANGED, workspace)
    assert fake.asked == [], "the base alone rests on no plan"
    finish_arms(workspace, ["rebel-n2"])
    assert pipeline.plan_shapes(selected(), UNCHANGED, workspace) is None
    assert len(fake.asked) == 12 and {asked[3] for asked in fake.asked} == {None}
    (record,) = stored_plans(workspace)
    assert record["id"] == "table3/plan/seed0" and len(record["plan"]["rows"]) == 12
    assert record["plan"]["rows"][0]["name"] == "1.5B" and record["config"]["rows"][0]["scale"] == "paper"
    assert record["provenance"]["finished"] and plan_record([record], TABLE3) == record
    pipeline.plan_shapes(selected(), UNCHANGED, workspace)
    assert len(fake.asked) == 12, "a current record is not made again"
    finish_arms(workspace, ["tbrm-n1"])
    pipeline.plan_shapes(selected(), UNCHANGED, workspace)
    assert len(fake.asked) == 12 + 14, "another entry has joined"
    records, _ = load_records(workspace, "table3")

    assert len(plan_record(records, TABLE3)["plan"]["rows"]) == 14


def test_no_plan_record_at_smoke_or_without_planned_models(tmp_path, planner):
    fake, workspace = planner(), Workspace(tmp_path)
    finish_arms(workspace, ["rebel-n2"], "smoke")
    write_record(workspace, record_of(resolve(registry.get("table1"), "micro", "tbrm-n1", 0)))
    assert pipeline.plan_shapes(selected("smoke"), UNCHANGED, workspace) is None
    assert pipeline.plan_shapes(registry.select(["table1"])[0], UNCHANGED, workspace) is None
    assert fake.asked == []


def test_a_variant_has_a_plan_record_of_its_own(tmp_path, planner):
    fake, workspace, changes = planner(), Workspace(tmp_path), parse_changes(["*.micro_batch=8"])
    for scale in ("micro", "paper"):
        finish_arms(workspace, ["rebel-n2"], scale, changes)
    assert pipeline.plan_shapes(selected(), changes, workspace) is None
    assert fake.asked == [], "a change at micro scale says nothing about the paper's shapes"
    pipeline.plan_shapes(selected("paper"), changes, workspace)
    folder = next(path.name for path in workspace.results.glob("table3@paper-*"))
    (record,) = stored_plans(workspace, folder)
    assert record["id"] == f"{folder}/plan/seed0" and len(record["plan"]["rows"]) == 12
    assert {row["train"]["micro_batch"] for row in record["config"]["rows"]} == {8}


def test_a_failed_plan_is_told_and_the_run_goes_on(cli, launch, planner):
    planner(error=TrialError("no room"))
    code, _, err = cli("run", "table3", "--seeds", "1")
    assert code == 1 and "repro: table3: planning failed: no room" in err and len(launch.ran) == 5


def test_run_plans_after_the_trials(cli, launch, planner, tmp_path):
    fake = planner()
    assert cli("run", "table3", "--seeds", "1")[0] == 0
    assert len(launch.ran) == 5 and len(fake.asked) == 14
    assert len(stored_plans(Workspace(tmp_path / "runs"))) == 1
    assert cli("run", "table3", "--seeds", "1")[0] == 0 and len(fake.asked) == 14


def test_other_verbs_are_not_confused_by_a_plan_record(cli, cli_json, launch, planner, tmp_path):
    planner()
    cli("run", "table3", "--seeds", "1")
    (table3,) = cli_json("status")["experiments"]
    assert table3["done"] == 5 and "plan" not in {trial["arm"] for trial in table3["trials"]}
    found = cli_json("plan", "table3", "--seeds", "1")
    assert found["cached"] == 5 and found["to_run"] == 0 and not found["problems"]
    assert cli_json("clean") == {"removed": [], "bytes": 0}
    workspace = Workspace(tmp_path / "runs")
    records, problems = load_records(workspace, "table3")
    assert len(records) == 6 and not problems
    known, _ = pipeline.known_records(selected(), UNCHANGED, workspace)
    assert {record["kind"] for record in known} == {"trial"}
    pipeline.share_finished(resolve_selection(selected()), records, workspace)
    assert len(load_records(workspace)[0]) == 6, "a plan is adopted by nobody"


# -- repro run: what does not fit --------------------------------------------------------------------------------------
def test_a_run_that_does_not_fit_starts_nothing(cli, launch, planner, card):
    fake = planner(total=50 * GIB)
    card(40 * GIB)
    code, _, err = cli("run", "table3@small", "--seeds", "1")
    last = err.splitlines()[-1]
    assert code == 2 and launch.ran == []
    assert all(word in last for word in ("table3@small/", "weights dominate, use LoRA", "40.0 GiB", "made-up card"))
    assert "3 more arms" in last and "--force" in last
    assert {asked[0].arm for asked in fake.asked} == {"ppo-n1", "grpo-n4", "rebel-n2", "astar-po-n1"}
    assert cli("run", "table3@small", "--seeds", "1", "--force")[0] == 0 and len(launch.ran) == 5


def test_a_run_that_fits_goes_on_and_finished_trials_are_not_asked(cli, launch, planner, card):
    fake = planner(total=40 * GIB)
    card(40 * GIB)
    assert cli("run", "table3@small/ppo-n1", "--seeds", "1")[0] == 0 and len(launch.ran) == 1
    asked = [config.arm for config, _, _, room in fake.asked if room is not None]
    assert asked == ["ppo-n1"]
    cli("run", "table3@small/ppo-n1", "table3@small/grpo-n4", "--seeds", "1")
    assert [config.arm for config, _, _, room in fake.asked if room is not None] == ["ppo-n1", "grpo-n4"]


def test_smoke_and_micro_are_never_refused(cli, launch, planner, card):
    planner(total=50 * GIB)
    card(1)
    assert cli("run", "table3@smoke", "--seeds", "1")[0] == 0 and len(launch.ran) == 5


def test_the_engine_and_several_processes_share_what_there_is(planner, card, monkeypatch):
    config = resolve(TABLE3, "paper", "ppo-n1", 0)
    planner(total=50 * GIB)
    card(80 * GIB)
    with pytest.raises(InputError, match=r"80.0 GiB, of which one process of the trainer may have 48.0"):
        refuse_what_cannot_fit([config])
    planner(total=48 * GIB)
    refuse_what_cannot_fit([config])
    monkeypatch.setattr(cost, "this_card", lambda trials: Card(4 * 48 * GIB - 1, "this machine's memory", host=True))
    with pytest.raises(InputError, match="this machine's memory"):
        refuse_what_cannot_fit([config])


def test_a_model_of_unknown_shape_is_said_to_be_unchecked(planner, card, capsys):
    fake = planner(total=50 * GIB)
    card(1)
    refuse_what_cannot_fit([resolve(TABLE3, "paper", "ppo-n1", 0, parse_changes(model="a/b"))])
    err = capsys.readouterr().err
    assert fake.asked == [] and err.count("\n") == 1 and "a/b" in err and "not checked" in err


@pytest.mark.slow
def test_this_machine():
    found = this_card()
    assert found.bytes > 1 << 28 and found.name


# -- the real planner --------------------------------------------------------------------------------------------------
@pytest.fixture
def tiny(tmp_path):
    """A folder with a tiny model's config; a plan reads no weights."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    shape = {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "vocab_size": 300, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": 4096, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(shape))
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plans"


def test_a_tiny_model_at_paper_scale(cli, cli_json, tiny, cache, launch, tmp_path):
    words = ("table3@paper", "--model", tiny, "--set", "*.max_completion=8", "--set", "train.max_prompt=8")
    code, out, err = cli("plan", *words, "--fits", "1GiB", "--json")
    assert code == 0, err
    rows = json.loads(out)["cost"]
    assert [row["arm"] for row in rows] == ["ppo-n1", "grpo-n4", "rebel-n2", "astar-po-n1"]
    assert all(row["model"] == "tiny" and row["fits"] and row["largest_micro_batch"] > 1 for row in rows)
    peaks = {row["arm"]: row["peak"]["total"] for row in rows}
    assert peaks["ppo-n1"] > peaks["astar-po-n1"], "a critic is trained beside the policy"
    assert all(sum(grouped(row).values()) == row["peak"]["total"] for row in rows)
    assert [row["stage1"] is not None for row in rows] == [False, False, False, True]
    assert list(cache.rglob("*.json")), "what was planned is kept"
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")}
    again = cli_json("plan", *words, "--fits", "1GiB")["cost"]
    assert again == rows and {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")} == before
    assert not (tmp_path / "runs").exists(), "a plan leaves no trace in the workspace"
    small = json.loads(cli("plan", *words, "--fits", "100KB", "--json")[1])["cost"]
    assert not any(row["fits"] for row in small) and all(row["largest_micro_batch"] == 0 for row in small)
    assert all(row["advice"] for row in small)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "Qwen/Qwen2.5-9B"], "Qwen/Qwen2.5-9B"),
        (["--set", "train.max_prompt=200000"], "200"),
        (["--set", "rebel-n2.micro_batch=3"], "micro_batch"),
    ],
)
def test_what_the_real_planner_refuses_is_one_line(cli, cache, words, said):
    code, out, err = cli("plan", "table3@paper/rebel-n2", *words)
    assert code == 2 and not out and err.count("\n") == 1 and said in err


def test_a_run_of_a_tiny_model_is_really_checked(cli, launch, tiny, cache, card):
    words = ("run", "table3@small/grpo-n4", "--seeds", "1", "--model", tiny, "--set", "*.max_completion=8")
    card(100_000)
    code, _, err = cli(*words, "--set", "train.max_prompt=8")
    last = err.splitlines()[-1]
    assert code == 2 and "does not fit" in last and "--force" in last and launch.ran == []


def test_a_run_of_a_tiny_model_fits_this_machine(cli, launch, tiny, cache):
    words = ("run", "table3@small/grpo-n4", "--seeds", "1", "--model", tiny, "--set", "*.max_completion=8")
    code, _, err = cli(*words, "--set", "train.max_prompt=8")
    assert code == 0 and len(launch.ran) == 1 and "planned 1 of 1: grpo-n4 on tiny" in err
