"""Micro bases: rebuilt to the bit, trained once, and never on a prompt that RL, tuning or the test uses."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from repro import tasks
from repro.errors import InputError
from repro.tasks.chain import ChainTask
from repro.training import base as base_module
from repro.training import micro
from repro.training.base import check_folder, ensure_base, folder_digest

from .helpers import RECIPE, TASK, make_base, trial_config

TINY = {**RECIPE, "steps": 6}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def builds(monkeypatch):
    """One entry per base that is trained."""
    seen, build = [], micro.build
    monkeypatch.setattr(micro, "build", lambda recipe, *rest: seen.append(recipe) or build(recipe, *rest))
    return seen


def config(recipe=TINY, **task):
    plain = trial_config("unused")
    options = {**TASK["options"], **task}
    return dataclasses.replace(plain, base={"kind": "micro", "recipe": recipe}, task={**TASK, "options": options})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_builds_are_bit_identical(tmp_path):
    first = make_base(tmp_path / "a", TINY)
    torch.manual_seed(123)  # what the process drew before does not matter
    torch.rand(5)
    state = torch.get_rng_state()
    second = make_base(tmp_path / "b", TINY)
    assert torch.equal(torch.get_rng_state(), state)  # and the build leaves no trace in it
    assert contents(first) == contents(second)
    assert "model.safetensors" in contents(first) and folder_digest(first) == folder_digest(second)


@pytest.mark.parametrize("change", [{"seed": 1}, {"noise": 0.0}, {"steps": 7}, {"learning_rate": 2e-2}])
def test_every_part_of_the_recipe_counts(tmp_path, change):
    weights = [make_base(tmp_path / str(i), {**TINY, **c}) / "model.safetensors" for i, c in enumerate(({}, change))]
    assert weights[0].read_bytes() != weights[1].read_bytes()


# -- what base training has seen ---------------------------------------------------------------------------------------


def trained_on(monkeypatch, folder) -> set[str]:
    """Canonical questions of all demonstrations of a build."""
    seen, draw = [], ChainTask.base_prompt
    with monkeypatch.context() as patch:
        patch.setattr(ChainTask, "base_prompt", lambda task, rng: seen.append(draw(task, rng)) or seen[-1])
        make_base(folder, {**RECIPE, "steps": 25, "batch": 32})
    assert len(seen) == 25 * 32
    task = tasks.load(TASK["name"], TASK["options"])
    return {task.canonical(prompt.question) for prompt in seen}


def held_out(split) -> set[str]:
    task = tasks.load(TASK["name"], TASK["options"])
    return {task.canonical(prompt.question) for prompt in task.prompts(split)}


@pytest.mark.parametrize("split", ["rl", "dev", "test"])
def test_base_training_never_sees_a_prompt_of_another_split(tmp_path, monkeypatch, split):
    assert held_out(split)
    assert not trained_on(monkeypatch, tmp_path / "base") & held_out(split)


def test_that_check_would_notice(tmp_path, monkeypatch):
    """The old trap: without the split filter, base training meets RL and test prompts at once."""
    prompts = {split: held_out(split) for split in ("rl", "test")}
    monkeypatch.setattr(ChainTask, "split_of", lambda task, question: "base")
    seen = trained_on(monkeypatch, tmp_path / "base")
    assert seen & prompts["rl"] and seen & prompts["test"]


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_the_second_call_trains_nothing(cache, builds):
    first = ensure_base(config())
    again = ensure_base(config())
    assert len(builds) == 1 and first == again
    assert first.folder.is_relative_to(cache)
    assert first.digest == folder_digest(first.folder)
    assert set(first.facts) == {"pass@1_rl", "pass@1_test", "seconds"}
    assert all(0 <= first.facts[name] <= 1 for name in ("pass@1_rl", "pass@1_test"))


def test_another_recipe_or_task_is_another_base(cache, builds):
    bases = [ensure_base(c) for c in (config(), config({**TINY, "seed": 1}), config(terms=[3, 4]))]
    assert len({base.folder for base in bases}) == len(builds) == 3


def test_a_default_that_is_written_out_is_the_same_base(cache, builds):
    assert ensure_base(config()).folder == ensure_base(config({**TINY, "noise": 0.5, "positions": 512})).folder
    assert len(builds) == 1


DAMAGES = {
    "weights edited": lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100),
    "tokenizer gone": lambda folder: (folder / "tokenizer.json").unlink(),
    "manifest torn": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest gone": lambda folder: (folder / "manifest.json").unlink(),
    "config edited": lambda folder: (folder / "config.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_base_is_rebuilt_as_it_was(cache, builds, damage):
    first = ensure_base(config())
    before = contents(first.folder)
    DAMAGES[damage](first.folder)
    again = ensure_base(config())
    assert len(builds) == 2
    assert again.folder == first.folder and again.digest == first.digest
    after = contents(again.folder)
    assert before.keys() == after.keys() and all(
        before[name] == after[name]
        for name in before
        if name != "manifest.json"  # it holds the seconds
    )


def test_after_an_interrupted_build_it_is_built_anew(cache, monkeypatch, builds):
    with monkeypatch.context() as patch:
        patch.setattr(base_module, "_facts", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            ensure_base(config())
    found = ensure_base(config())
    assert len(builds) == 2 and found.digest == folder_digest(found.folder)
    assert [path for path in (cache / "bases").iterdir() if path.is_dir()] == [
        found.folder
    ]  # nothing half-built is left


def real_config(template="micro", base_task="words"):
    """A trial on real SVAMP that starts from a base of word problems."""
    words = {"name": base_task, "options": {"levels": ["add-plain"], "rl": 8, "test": 8}}
    return dataclasses.replace(
        config(), task={"name": "svamp", "options": {"template": template}},
        base={"kind": "micro", "recipe": {**TINY, "steps": 2}, "task": words},
    )  # fmt: skip


def test_a_base_can_learn_another_task_than_the_trials(cache, builds):
    real = ensure_base(real_config())
    own = dataclasses.replace(real_config(), task=real_config().base["task"])
    named = ensure_base(own)
    without = ensure_base(dataclasses.replace(own, base={"kind": "micro", "recipe": own.base["recipe"]}))
    assert real == named == without and len(builds) == 1
    assert json.loads((real.folder / "config.json").read_text())["vocab_size"] == len(tasks.load("words").tokenizer())


def test_a_base_that_fits_its_trial_ill_is_refused(cache, builds):
    with pytest.raises(InputError, match="task svamp asks with qwen-math: set the task's option template to micro"):
        ensure_base(real_config("qwen-math"))
    with pytest.raises(InputError, match="task gsm8k has no micro base"):
        broken = real_config()
        ensure_base(dataclasses.replace(broken, base={**broken.base, "task": {"name": "gsm8k"}}))
    assert not builds


def test_unknown_words_are_a_share_of_the_words_of_questions():
    task = tasks.load("words")
    tokenizer, recipe = task.tokenizer(), micro.Recipe.from_json({"unknown": 0.3, "noise": 0.0, "batch": 200})
    ids, _, labels = micro._batch(recipe, task, tokenizer, 0)
    plain, _, known = micro._batch(dataclasses.replace(recipe, unknown=0.0), task, tokenizer, 0)
    words = torch.tensor([token.isalpha() for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))])
    unknown = tokenizer.unk_token_id
    share = (ids == unknown).sum() / ((ids == unknown) | words[ids]).sum()
    assert abs(float(share) - 0.3) < 0.02 and not (plain == unknown).any()
    assert not (labels == unknown).any() and (known >= 0).any()
    assert (ids[:, :5] == plain[:, :5]).any()  # the first question is the same, but for unknown words


def test_slips_begin_after_the_clean_steps():
    task, recipe = tasks.load(**TASK), micro.Recipe.from_json({"noise": 1.0, "clean": 0.5, "steps": 4, "batch": 30})
    tokenizer = task.tokenizer()
    for step in range(4):
        ids, _, labels = micro._batch(recipe, task, tokenizer, step)
        texts = [tokenizer.decode(row[row > 2]) for row in torch.where(labels >= 0, labels, 0)]
        questions = [tokenizer.decode(row[row > 2]) for row in torch.where(labels >= 0, 0, ids)]
        right = [
            text.endswith(f"#{eval(question.rstrip('='))}") for text, question in zip(texts, questions, strict=True)
        ]
        assert set(right) == {step < 2}


def test_packed_rows_hold_the_same_demonstrations():
    task, recipe = tasks.load("ladder"), micro.Recipe.from_json({"batch": 6, "packed": 3, "verdicts": 0.5})
    tokenizer = task.tokenizer()
    single, packed = (micro._batch(dataclasses.replace(recipe, packed=n), task, tokenizer, 0) for n in (1, 3))
    assert len(single[0]) == 6 and len(packed[0]) == 2
    for place in (0, 2):  # ids, labels
        rows = [row[mask > 0].tolist() for row, mask in zip(single[place], single[1], strict=True)]
        joined = [row[mask > 0].tolist() for row, mask in zip(packed[place], packed[1], strict=True)]
        assert joined == [sum(rows[:3], []), sum(rows[3:], [])]


@pytest.mark.parametrize(("name", "value"), [("unknown", 0.1), ("clean", 0.5), ("packed", 2)])
def test_a_recipe_without_later_fields_is_what_it_was(name, value):
    assert name not in micro.Recipe().to_json() and micro.Recipe(**{name: value}).to_json()[name] == value


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"unknown": 1.5}, r"base.recipe.unknown must lie in \[0, 1\]"),
        ({"clean": -0.1}, r"base.recipe.clean must lie in \[0, 1\]"),
        ({"packed": 3}, "base.recipe.packed=3 must divide base.recipe.batch=64"),
        ({"packed": 0}, "base.recipe.packed=0 must divide"),
    ],
)
def test_bad_recipes_are_one_clear_line(recipe, message):
    with pytest.raises(InputError, match=message):
        micro.Recipe.from_json(recipe)


def test_unknown_field_of_a_recipe(cache):
    with pytest.raises(InputError, match=r"base\.recipe: unknown field 'hiden'"):
        ensure_base(config({**TINY, "hiden": 8}))


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set REPRO_CACHE_DIR"):
        ensure_base(config())


def test_events_of_a_build(cache):
    events = []
    ensure_base(config({**TINY, "steps": 100}), emit=events.append)
    assert [(event["step"], event["total"]) for event in events] == [(50, 100), (100, 100)]


# -- folders and hub ids -----------------------------------------------------------------------------------------------


def test_a_folder_as_base(base):
    named = ensure_base(trial_config(base))
    assert (named.folder, named.digest, named.facts) == (base, folder_digest(base), {})


def test_the_digest_follows_the_content(base, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    (copy / "README.md").write_text("notes do not count")
    assert folder_digest(copy) == folder_digest(base)
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "rms_norm_eps": 0.1}))
    assert folder_digest(copy) != folder_digest(base)


@pytest.mark.parametrize("pattern", ["config.json", "*.safetensors", "tokenizer*"])
def test_what_a_model_folder_lacks_is_named(base, tmp_path, pattern):
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    check_folder(copy)
    for path in copy.glob(pattern):
        path.unlink()
    with pytest.raises(InputError) as caught:
        check_folder(copy)
    assert pattern in str(caught.value) and str(copy) in str(caught.value)
    with pytest.raises(InputError):
        ensure_base(trial_config(copy))


def test_pickled_weights_are_not_accepted(base, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(InputError, match="never loaded"):
        check_folder(copy)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_folder(tmp_path / "absent")


def test_a_hub_model_without_network(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    offline = dataclasses.replace(
        trial_config("unused"), base={"kind": "hub", "id": "nobody/nothing", "revision": None}
    )
    with pytest.raises(InputError, match="nobody/nothing cannot be fetched.*--model PATH"):
        ensure_base(offline)
