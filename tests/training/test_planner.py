"""The planner: what a plan holds, that it repeats, what it refuses, and what it advises."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.cost import shapes
from repro.cost.flops import ForwardFlops
from repro.cost.peak import phase_peaks
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.methods.catalogue import create
from repro.methods.configs import build, to_json
from repro.store.config import LoraSettings, TrainSettings, TrialConfig
from repro.training import planned_phases, planned_step, planner
from repro.training.planner import PlanOptions, advice, largest_micro_batch, plan_trial

MICRO = {"kind": "micro", "recipe": {"hidden": 32, "layers": 2, "heads": 2, "ffn": 64, "positions": 128}}
TASK = {"name": "chain", "options": {"terms": [2, 3], "digits": 1, "form": "totals", "rl": 24, "dev": 12, "test": 16}}
TRAIN = TrainSettings(
    steps=5, completions_per_step=16, micro_batch=4, max_prompt=32, max_completion=20, eval_every=0, checkpoint_every=0
)
METHODS = {
    "grpo": {"n": 4, "beta": 0.001},
    "rloo": {"n": 4},
    "ppo": {"n": 1, "minibatches": 2},
    "tbrm": {"n": 1},
    "astar-po": {"n": 1, "samples": 3, "minibatches": 2},
    "rebel": {"n": 2, "epochs": 2},
    "vineppo": {"n": 4},
    "grpo-v": {"n": 4},
    "sgrpo": {"n": 4, "alpha": 3, "p": 0.25},
    "grpo-entropy": {"n": 4},
    "tspmo": {"n": 4, "replay": True},
}
GIB = 1 << 30


def trial(method: str = "grpo", base: dict = MICRO, task: dict = TASK, options: dict | None = None, **train):
    chosen = {**METHODS[method], **(options or {})}
    return TrialConfig(
        experiment="unit", scale="micro", arm=f"{method}-arm", seed=0, method=to_json(method, build(method, chosen)),
        task=task, base=base, train=dataclasses.replace(TRAIN, **train),
    )  # fmt: skip


def hub(size: str) -> dict:
    return {"kind": "hub", "id": f"Qwen/Qwen2.5-{size}", "revision": None}


@pytest.mark.parametrize(
    "method,phases,loaded",
    [
        ("grpo", {"ref"}, {"reference"}),
        ("rloo", set(), set()),
        ("ppo", {"old", "ref", "value"}, {"reference", "critic"}),
        ("tbrm", {"ref"}, {"reference"}),
        ("astar-po", {"stage1", "ref"}, {"reference"}),
        ("rebel", {"old"}, set()),
        ("vineppo", {"extra_rollouts", "old", "ref"}, {"reference"}),
        ("grpo-v", set(), set()),
        ("sgrpo", set(), set()),
        ("grpo-entropy", {"old"}, set()),
        ("tspmo", set(), set()),
    ],
)
def test_only_what_a_method_needs_is_planned(method, phases, loaded):
    needs = create(trial(method).method).needs()
    plan = plan_trial(trial(method))
    assert set(plan["phases"]) == {"generate", "update", "optimizer"} | phases
    assert ("old" in phases) == (needs.old or needs.entropies) and ("ref" in phases) == needs.reference
    components = plan["phases"]["generate"]["peak"]["components"]
    assert {name.split("/")[1] for name in components if "parameters/" in name} == {"policy"} | loaded


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_adds_up(method):
    plan = plan_trial(trial(method))
    for name, phase in plan["phases"].items():
        assert sum(phase["peak"]["components"].values()) == phase["peak"]["total"], name
        assert min(phase["peak"]["components"].values(), default=0) >= 0
        assert all(type(phase[key]) is int for key in ("flops", "tokens", "calls"))
    online = {name: phase for name, phase in plan["phases"].items() if name != "stage1"}
    assert plan["step"]["flops"] == sum(phase["flops"] for phase in online.values()) > 0
    groups = 2 if METHODS[method].get("replay") else 1
    assert plan["step"]["completions"] == 16 and plan["step"]["prompts"] == 16 // METHODS[method]["n"] // groups
    assert plan["phases"]["generate"]["tokens"] == 16 * 20 - (8 * 10 if groups == 2 else 0)
    assert plan["peak"]["total"] == max(phase["peak"]["total"] for phase in plan["phases"].values())
    once = plan["stage1"] or {"flops": 0, "tokens": 0, "completions": 0}
    for key in ("flops", "tokens", "completions"):
        assert plan["run"][key] == 5 * plan["step"][key] + once[key]
    json.dumps(plan, allow_nan=False)


def test_stage_1_is_counted_once_for_the_run():
    plan = plan_trial(trial("astar-po"))
    assert plan["stage1"]["completions"] == 3 * 24 and plan["stage1"]["tokens"] == 3 * 24 * 20
    assert plan["stage1"]["flops"] * 16 == plan["phases"]["generate"]["flops"] * 72
    assert plan_trial(trial("grpo"))["stage1"] is None
    real = trial("astar-po", hub("0.5B"), {"name": "math", "options": {}}, backend="vllm")
    plan = planned_phases.Phases(real, "fp32", "chunked", None)
    assert plan.stage1_completions == 3 * (7500 - 512)
    assert planned_phases.Phases(
        dataclasses.replace(real, task={"name": "math", "options": {"rl": 100}}), "fp32", "chunked", None
    ).prompts == 100  # fmt: skip


def test_two_runs_agree_to_the_byte_also_in_another_process(tmp_path):
    config = trial("ppo")
    here = [json.dumps(plan_trial(config, cache=cache)) for cache in (None, tmp_path, tmp_path)]
    code = (
        "import json, sys; from repro.store.config import TrialConfig; from repro.training.planner import plan_trial;"
        "print(json.dumps(plan_trial(TrialConfig.from_json(json.loads(sys.argv[1])))))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, json.dumps(config.to_json())], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
    ).stdout.strip()  # fmt: skip
    assert {*here, there} == {here[0]}


def test_a_kept_plan_is_not_computed_again_and_arms_share_phases(tmp_path, monkeypatch):
    first = plan_trial(trial("tbrm"), cache=tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    plan_trial(trial("grpo"), cache=tmp_path)
    new = {path.name for path in tmp_path.iterdir()} - kept
    assert len(new) == 1  # the update; generation and the reference's pass are shared
    monkeypatch.setattr(planned_phases, "phase_peaks", lambda build: pytest.fail("computed again"))
    monkeypatch.setattr(planned_phases, "sampling_cost", lambda *a, **k: pytest.fail("computed again"))
    assert plan_trial(trial("tbrm"), cache=tmp_path) == first
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".json"]


def test_a_torn_cache_file_is_computed_again(tmp_path):
    first = plan_trial(trial(), cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_text(path.read_text()[:-9])
    assert plan_trial(trial(), cache=tmp_path) == first


@pytest.mark.parametrize(
    "change",
    [{"micro_batch": 8}, {"max_completion": 24}, {"precision": "bf16"}, {"lora": LoraSettings(rank=2)},
     {"gradient_checkpointing": True}],
)  # fmt: skip
def test_what_changes_the_cost_is_not_taken_from_the_cache(tmp_path, change):
    plan_trial(trial("tbrm"), cache=tmp_path)
    assert plan_trial(trial("tbrm", **change), cache=tmp_path) == plan_trial(trial("tbrm", **change))


@pytest.mark.slow
def test_options_change_what_they_say():
    wide = {**MICRO, "recipe": {**MICRO["recipe"], "hidden": 64, "layers": 6, "ffn": 256}}
    sizes = {"micro_batch": 16, "completions_per_step": 16}

    def peak(name: str = "tbrm", options: PlanOptions = PlanOptions(), **train):  # noqa: B008
        return plan_trial(trial(name, wide, **{**sizes, **train}), options)["phases"]["update"]["peak"]

    plain = peak()["components"]
    lora = peak(lora=LoraSettings(rank=2))["components"]
    assert "parameters/reference" in plain and "parameters/reference" not in lora
    assert lora["optimizer/policy"] < plain["optimizer/policy"] / 4
    half = peak(options=PlanOptions(states="bf16"))["components"]
    assert half["parameters/policy"] * 2 == plain["parameters/policy"]
    assert half["optimizer/policy"] == pytest.approx(plain["optimizer/policy"] / 2, rel=0.01)
    assert peak(gradient_checkpointing=True)["total"] < peak()["total"]


def test_full_logits_cost_what_they_hold(tmp_path):
    shapes.micro({**MICRO["recipe"], "positions": 128}, 80_000).save_pretrained(tmp_path)
    config = trial("grpo", {"kind": "folder", "path": str(tmp_path)}, max_completion=64, micro_batch=8)
    rows = {logits: plan_trial(config, PlanOptions(logits=logits)) for logits in ("chunked", "full")}
    whole = 8 * 64 * 80_000 * 4
    assert rows["full"]["logits"] == whole and rows["chunked"]["logits"] == 8 * 64 * 32_768 * 4
    update = {logits: row["phases"]["update"]["peak"]["total"] for logits, row in rows.items()}
    assert update["full"] - update["chunked"] > whole  # their gradient as well


def test_selected_tokens_alone_go_through_the_planned_head(tmp_path):
    """A network that is little but its head, where selection shows; 3 + 0.25 x 17 tokens of 20 are counted as 8."""
    shapes.micro(MICRO["recipe"], 80_000).save_pretrained(tmp_path)
    base, lora = {"kind": "folder", "path": str(tmp_path)}, LoraSettings(rank=2)
    rows = {"grpo": {"n": 4, "aggregate": "sequence-mean"}, "sgrpo": {"n": 4, "alpha": 3, "p": 0.25}, "tspmo": {"n": 4}}
    plans = {
        logits: {
            name: plan_trial(trial(name, base, options=options, lora=lora), PlanOptions(logits=logits), tmp_path)
            for name, options in rows.items()
        }
        for logits in ("chunked", "full")
    }
    tokens = {"grpo": 20, "sgrpo": 8, "tspmo": 2}  # of T-SPMO at most 2 (n - 1) in n completions
    for row in plans.values():
        assert {name: plan["settings"]["scored_tokens"] for name, plan in row.items()} == tokens
        assert [any("selected tokens" in line for line in row[name]["left_out"]) for name in tokens] == [
            False,
            True,
            True,
        ]
    one = ForwardFlops.of(shapes.micro(MICRO["recipe"], 80_000)).head
    chunked = {name: plan["phases"]["update"]["flops"] for name, plan in plans["chunked"].items()}
    for name in ("sgrpo", "tspmo"):
        # forward, once more for the backward pass, and the gradient of the hidden states: the head itself is frozen
        assert chunked["grpo"] - chunked[name] == 16 * (20 - tokens[name]) * 3 * one
    full = {name: plan["phases"]["update"]["peak"]["total"] for name, plan in plans["full"].items()}
    logits = {name: 4 * count * 80_000 * 4 for name, count in tokens.items()}
    assert full["grpo"] > full["sgrpo"] > full["tspmo"] > logits["tspmo"]
    assert full["grpo"] - full["sgrpo"] > logits["grpo"] - logits["sgrpo"]


@pytest.mark.slow
def test_selection_hardly_lowers_the_peak_at_1_5b():
    """LoRA on Qwen2-1.5B, 8 rows of 256 + 768 tokens, fp32: most of the peak is activations of layers, and those see
    every token. Only where the logits of all tokens are kept does selection save memory, and a fused head saves more.

    Layers are alike: what two of 28 add to a peak, all of them do.
    """
    shape, lora = shapes.shape({"kind": "hub", "id": "Qwen/Qwen2-1.5B"}), LoraSettings(rank=8)
    assert (shape.vocab_size, shape.num_hidden_layers) == (151_936, 28)
    kinds = list(shape.layer_types)
    arms = {"grpo": {"n": 4}, "sgrpo": {"n": 4, "alpha": 150, "p": 0.38}, "tspmo": {"n": 4}}

    def step(name: str, layers: int, **form):
        train = dataclasses.replace(
            TRAIN, micro_batch=8, max_completion=768, lora=lora, gradient_checkpointing=form.pop("recomputed", False)
        )
        shape.num_hidden_layers, shape.layer_types = layers, kinds[:layers]
        method = create(to_json(name, build(name, arms[name])))
        return planned_step.update(planned_step.Form(shape, train, 256, **form), method)

    def whole(name: str, **form) -> float:
        two, four = (
            phase_peaks(lambda layers=layers: step(name, layers, **form))["update"]["total"] for layers in (2, 4)
        )
        return (two + 13 * (four - two)) / GIB

    chunked, full = ({name: whole(name, logits=logits) for name in arms} for logits in ("chunked", "full"))
    assert chunked == pytest.approx({"grpo": 48.56, "sgrpo": 48.46, "tspmo": 48.46}, abs=0.02)
    assert full == pytest.approx({"grpo": 58.35, "sgrpo": 53.15, "tspmo": 48.46}, abs=0.02)
    recomputed = {name: whole(name, recomputed=True) for name in arms}
    assert recomputed == pytest.approx({"grpo": 9.22, "sgrpo": 9.22, "tspmo": 9.22}, abs=0.02)


def test_replay_samples_half_of_the_rows_from_longer_prompts():
    config = trial("tspmo", options={"replay": False})
    plain, again = plan_trial(config), plan_trial(trial("tspmo"))
    parts = planned_phases.Phases(config, "fp32", "chunked", None)
    flops, prompt = ForwardFlops.of(parts.shape), parts.form.prompt
    expected = flops.generate([prompt] * 8 + [prompt + 10] * 8, [20] * 8 + [10] * 8)
    assert again["phases"]["generate"]["flops"] == pytest.approx(expected, rel=1e-6)
    assert again["phases"]["generate"]["calls"] == 2 * plain["phases"]["generate"]["calls"] == 2
    assert again["kv_cache"] * 2 == plain["kv_cache"]
    assert again["phases"]["update"] == plain["phases"]["update"]
    assert again["settings"]["replay"] and any("restart" in line for line in again["left_out"])


def test_sharding_divides_the_states_and_gathers_a_unit():
    config = trial("tbrm", processes=4, completions_per_step=16)
    whole, split = plan_trial(config), plan_trial(dataclasses.replace(config, train=dataclasses.replace(
        config.train, sharding="fsdp")))  # fmt: skip
    for name in ("parameters/policy", "parameters/reference", "optimizer/policy"):
        parts = (plan["phases"]["optimizer"]["peak"]["components"][name] for plan in (split, whole))
        assert next(parts) == -(-next(parts) // 4)
    assert 0 < split["peak"]["components"]["gathered"] < 4 * split["parameters"]
    assert any("With sharding" in sentence for sentence in split["left_out"])
    assert split["step"]["flops"] == whole["step"]["flops"]


@pytest.mark.slow
def test_update_of_1_5b_is_six_operations_per_weight_and_token_plus_attention():
    config = trial("tbrm", hub("1.5B"), micro_batch=1, completions_per_step=4, max_prompt=256, max_completion=256,
                   backend="vllm", task={"name": "math", "options": {}})  # fmt: skip
    plan = plan_trial(config)
    length, kept, layers, hidden = 512, 256, 28, 1536
    head = 151_936 * hidden
    row = 6 * (plan["parameters"] - head) * length
    row += (4 + 10) * layers * hidden * length**2  # two products forward; backward the scores again and four products
    row += 8 * head * kept + 6 * head  # the tiles are computed again; and the first state's value
    assert plan["phases"]["update"]["flops"] == pytest.approx(4 * row, rel=0.02)
    forward = ForwardFlops.of(planned_phases.Phases(config, "fp32", "chunked", None).shape)
    assert plan["phases"]["ref"]["flops"] == pytest.approx(forward.forward([512] * 4, [256] * 4), rel=1e-6)
    assert plan["phases"]["generate"]["flops"] == pytest.approx(forward.generate([256] * 4, [256] * 4), rel=1e-6)
    assert plan["parameters"] == 1_543_714_304
    assert plan["kv_cache"] == 4 * 511 * 2 * 2 * 128 * 28 * 4


@pytest.mark.parametrize(
    "config,message",
    [
        (lambda: trial(base={"kind": "hub", "id": "Qwen/Qwen2.5-15B"}), "did you mean Qwen/Qwen2.5-1.5B"),
        (lambda: trial(base={"kind": "folder", "path": "/nowhere"}), "no config.json"),
        (lambda: trial(max_completion=120), "32 .* 120 are more than the 128 positions"),
        (lambda: trial("rebel", micro_batch=1), "unit of 2 rows"),
        (lambda: trial(lora=LoraSettings(targets=("q_pro",))), "did you mean q_proj"),
        (lambda: trial(task={"name": "math", "options": {}}), "name a model"),
        (lambda: dataclasses.replace(trial(), method={"name": "none", "semantics": 1}), "trains nothing"),
    ],
)
def test_what_cannot_be_planned(config, message):
    with pytest.raises(InputError, match=message) as caught:
        plan_trial(config())
    assert "\n" not in str(caught.value)


@settings(max_examples=30, deadline=None)
@given(
    peaks=st.lists(st.integers(1, 1000), min_size=5, max_size=5).map(sorted),
    whole=st.integers(1, 1000),
    card=st.integers(1, 1000),
)
def test_the_search_finds_the_largest_that_fits(peaks, whole, card):
    """Against trying every size: 1, 2, 4, 8, 16 and 32. The whole update may need less: no gradients wait for it."""
    tried, peaks = [], [*peaks, whole]

    def plan(config, options, cache):
        size = config.train.micro_batch
        tried.append(size)
        return {"peak": {"total": peaks[size.bit_length() - 1]}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "plan_trial", plan)
        found = largest_micro_batch(trial("tbrm", completions_per_step=32), card)
    assert found == max((1 << place for place, peak in enumerate(peaks) if peak <= card), default=0)
    assert len(tried) == len(set(tried)) <= 6


def test_the_largest_micro_batch_fits_and_the_next_does_not(tmp_path):
    config = trial("rebel", completions_per_step=8)
    totals = {
        size: plan_trial(trial("rebel", completions_per_step=8, micro_batch=size), cache=tmp_path)["peak"]["total"]
        for size in (2, 4, 8)
    }
    assert sorted(totals.values()) == list(totals.values())
    assert largest_micro_batch(config, totals[8], cache=tmp_path) == 8
    assert largest_micro_batch(config, totals[8] - 1, cache=tmp_path) == 4
    assert largest_micro_batch(config, totals[2] - 1) == 0


def test_advice_names_the_component_and_the_remedy():
    row = plan_trial(trial("tbrm"))
    assert "fits" in advice(row, 80 * GIB) and "does not" not in advice(row, 80 * GIB)

    def against(phase: str, components: dict, **chosen) -> str:
        made = {**row, "peak": {"total": sum(components.values()), "phase": phase, "components": components}}
        return advice({**made, "settings": {**row["settings"], **chosen}}, GIB)

    text = against("optimizer", {"optimizer/policy": 9 * GIB, "activations": GIB})
    assert "does not fit 1.0 GiB; optimizer take 90 % of it".replace(" %", "%") in text and "LoRA" in text
    assert "LoRA" not in against("optimizer", {"optimizer/policy": 9 * GIB}, lora={"rank": 4})
    assert "gradient_checkpointing" in against("update", {"activations": 9 * GIB})
    assert "gradient_checkpointing" not in against("update", {"activations": 9 * GIB}, gradient_checkpointing=True)
    assert "completions_per_step" in against("generate", {"kv_cache": 9 * GIB})
    assert "chunked" in against("update", {"activations": 9 * GIB}, logits="full")


@pytest.mark.parametrize("name", ["table1", "table2", "table3"])
@pytest.mark.parametrize("scale", ["micro", "small", "paper"])
def test_every_arm_can_be_planned_and_left_out_is_said(name, scale):
    """Up to the fake step itself: shapes, lengths, sizes, prompts and verdicts of every registered arm."""
    experiment = registry.get(name)
    for arm in experiment.arms:
        if arm.trained:
            parts = planned_phases.Phases(resolve(experiment, scale, arm.id, 0), "fp32", "chunked", None)
            assert parts.parameters > 0 and parts.form.prompt <= parts.train.max_prompt
            if parts.needs.prompt_samples:
                assert parts.stage1_completions > 0
            assert any("pool" in sentence for sentence in planner._left_out(parts)) == parts.engine


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1.5B", "7B"])
def test_a_large_model_is_planned_in_little_memory(size):
    """How long it takes is in benchmarks/bench_planner.py."""
    config = trial("astar-po", hub(size), {"name": "math", "options": {}}, precision="bf16", micro_batch=1,
                   max_prompt=256, max_completion=1024, completions_per_step=64)  # fmt: skip
    code = (
        "import json, resource, sys; from repro.store.config import TrialConfig;"
        "from repro.training.planner import plan_trial; import torch; torch.set_num_threads(1);"
        "plan_trial(TrialConfig.from_json(json.loads(sys.argv[1])));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    out = subprocess.run([sys.executable, "-c", code, json.dumps(config.to_json())], capture_output=True, text=True)
    assert int(out.stdout) < 4 * GIB
