"""The catalogue is data: it must match the modules, and the modules must keep to their layer."""

from __future__ import annotations

import ast
import importlib
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import repro.methods
from repro.errors import InputError
from repro.methods import base, catalogue, configs

FOLDER = Path(repro.methods.__file__).parent
SUPPORT = {
    "__init__", "base", "catalogue", "configs", "options", "regression_configs", "ksample_configs", "token_configs",
    "terms", "guard",
}  # fmt: skip
PLAIN = [entry for entry in catalogue.METHODS.values() if entry.inner is None]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"unit": 0}, "unit must be a whole number of at least 1, not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, not 1.5"),
        ({"minibatches": True}, "minibatches must be a whole number of at least 1, not True"),
        ({"prompt_samples": -1}, "prompt_samples must be a whole number of at least 0, not -1"),
        ({"extra_states": 0}, "extra_states must be a whole number of at least 1 or None, not 0"),
        ({"unit": None}, "unit must be a whole number of at least 1, not None"),
        ({"state_values": "al"}, "state_values must be one of none, first, all, not 'al'"),
        ({"verdict": []}, "verdict must be one of none, policy, head, separate, not"),
        ({"critic": "no"}, "critic must be True or False, not 'no'"),
        ({"replay": True, "extra_rollouts": 4}, "exclude each other"),
    ],
)
def test_needs_that_cannot_be_met_are_one_line(fields, said):
    with pytest.raises(InputError, match=f"^Needs: .*{said}"):
        base.Needs(**fields)


def test_every_method_module_is_in_the_catalogue():
    modules = {path.stem for path in FOLDER.glob("*.py")} - SUPPORT
    assert modules == {entry.module.removeprefix("repro.methods.") for entry in PLAIN} | {"verified"}
    assert all(entry.module == f"repro.methods.{entry.name.replace('-', '_')}" for entry in PLAIN)
    assert {entry.inner for entry in catalogue.METHODS.values()} == {entry.name for entry in PLAIN} | {None}
    assert set(catalogue.METHODS) | {"none"} == set(configs.CONFIGS)


@pytest.mark.parametrize("entry", catalogue.METHODS.values(), ids=lambda entry: entry.name)
def test_entry_matches_its_module(entry):
    module = importlib.import_module(entry.module)
    if entry.inner is None:
        cls = getattr(module, entry.cls)
    else:
        cls = module.verified(catalogue.load(entry.inner))
    assert catalogue.load(entry.name) is cls and issubclass(cls, base.Method)
    assert cls.name == entry.name and cls.__name__ == entry.cls
    assert cls.Config is configs.CONFIGS[entry.name] is getattr(configs, entry.config)
    assert "What differs from the paper" in module.__doc__ and "\n1. " in module.__doc__
    for text in (getattr(entry, spec.name) for spec in fields(entry) if spec.name != "inner"):
        assert text and "\n" not in text


@pytest.mark.parametrize("name", catalogue.METHODS)
def test_needs_follow_the_config(name):
    known = catalogue.load(name).Config()
    clip = {"clip": True} if hasattr(known, "clip") else {}
    several = {"epochs": 2, "minibatches": 3} if hasattr(known, "epochs") else {}
    method = catalogue.create({"name": name, "semantics": 1, **several, **clip})
    needs = method.needs()
    assert (needs.epochs, needs.minibatches) == ((2, 3) if several else (1, 1))
    assert needs.verdict == ("policy" if name.endswith("-v") else "none")
    name = name.removesuffix("-v")
    assert bool(several) == (name not in ("sgrpo", "tspmo")), "the others take several updates"
    old = ("grpo", "rloo", "loo", "vineppo", "ppo", "rebel", "passk-training", "krpo", "grpo-entropy")
    assert needs.old == (name in old or bool(clip))
    assert needs.critic == (name == "ppo")
    assert needs.unit == (2 if name == "rebel" else 1)
    assert needs.prompt_samples == (method.config.samples if name == "astar-po" else 0)
    assert needs.state_values == {"tbrm": "first", "brm": "all"}.get(name, "none")
    assert needs.extra_rollouts == (method.config.k if name == "vineppo" else 0)
    assert needs.selected == (name in ("sgrpo", "tspmo", "grpo-entropy"))
    assert needs.entropies == (name == "grpo-entropy") and not needs.replay


def test_what_is_not_needed_is_not_asked_for():
    assert catalogue.create({"name": "grpo"}).needs() == base.Needs()
    assert catalogue.create({"name": "grpo", "beta": 0.1}).needs() == base.Needs(reference=True)
    assert catalogue.create({"name": "rloo", "beta": 0.1}).needs() == base.Needs(reference=True, old=True)
    assert catalogue.create({"name": "loo"}).needs() == base.Needs(old=True, minibatches=2)
    assert not catalogue.create({"name": "vineppo", "beta": 0}).needs().reference
    bare = catalogue.create({"name": "ppo", "kl_coefficient": 0, "entropy_coefficient": 0}).needs()
    assert not bare.reference and not bare.entropy
    astar = base.Needs(reference=True, prompt_samples=8, minibatches=2)
    assert catalogue.create({"name": "astar-po"}).needs() == astar
    assert catalogue.create({"name": "astar-po", "entropy_coefficient": 0.1}).needs() == replace(astar, entropy=True)
    assert catalogue.create({"name": "ksample"}).needs() == catalogue.create({"name": "pkpo"}).needs() == base.Needs()
    assert catalogue.create({"name": "ksample", "objective": "majority"}).needs() == base.Needs(answers=True)
    assert catalogue.create({"name": "rebel"}).needs() == base.Needs(old=True, unit=2)
    penalised = catalogue.create({"name": "rebel", "kl_coefficient": 0.1}).needs()
    assert penalised == base.Needs(old=True, unit=2, reference=True)
    assert catalogue.create({"name": "sgrpo"}).needs() == base.Needs(selected=True, example=True)
    for scope, selected in (("selected", True), ("all", False)):  # a KL term on all tokens needs all log-probs
        needs = catalogue.create({"name": "sgrpo", "beta": 0.1, "kl_scope": scope}).needs()
        assert needs == base.Needs(reference=True, selected=selected, example=True)
    replay = catalogue.create({"name": "tspmo", "replay": True}).needs()
    assert replay == base.Needs(selected=True, example=True, replay=True)
    assert catalogue.create({"name": "krpo"}).needs() == base.Needs(reference=True, example=True)
    by_entropy = base.Needs(entropies=True, selected=True, example=True)
    assert catalogue.create({"name": "grpo-entropy"}).needs() == by_entropy
    penalised = catalogue.create({"name": "grpo-entropy", "beta": 0.1}).needs()
    assert penalised == replace(by_entropy, reference=True, selected=False)


@pytest.mark.parametrize("name", catalogue.METHODS)
def test_only_a_method_with_samples_before_training_makes_prompt_values(name):
    """The others keep every prompt, and asking them for values is a mistake of the caller."""
    method, rewards = catalogue.create({"name": name}), torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    kept = method.kept_prompts(rewards)
    assert kept.dtype == torch.bool and kept.tolist() == [True] * 3
    if method.needs().prompt_samples:
        assert method.prompt_values(rewards).shape == (3,)
    else:
        with pytest.raises(TypeError, match="offline"):
            method.prompt_values(rewards)


@pytest.mark.parametrize("name", catalogue.METHODS)
def test_only_a_method_with_replay_says_where_it_restarts(name):
    config = {"replay": True} if name.startswith("tspmo") else {}
    method = catalogue.create({"name": name, **config})
    mask = torch.ones(method.config.n, 3, dtype=torch.bool)
    rows = torch.zeros(method.config.n)
    batch = base.GenerationBatch(rows, mask, mask.long(), method.config.n, mask[:, 0], mask[:, 0])
    if method.needs().replay:
        assert method.replay_from(batch).shape == (1, 2)
    else:
        with pytest.raises(TypeError, match="replays nothing"):
            method.replay_from(batch)


# Some methods are made of a baseline or a normaliser that another one defines.
BORROWED = {
    "loo": {"repro.methods.rloo"},
    "pkpo": {"repro.methods.ksample"},
    "vineppo": {"repro.methods.ppo"},
    **dict.fromkeys(("sgrpo", "krpo", "grpo_entropy"), {"repro.methods.grpo"}),
    "verified": {"repro.methods"},
}


@pytest.mark.parametrize("name", [*(entry.module.rpartition(".")[2] for entry in PLAIN), "verified"])
def test_methods_import_torch_and_the_base_types_only(name):
    allowed = {"torch", "repro.errors", "repro.methods.base", "repro.methods.configs", "repro.methods.terms"}
    allowed |= {"repro.methods.regression_configs"}
    allowed |= BORROWED.get(name, set())
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            imported = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported = {node.module}
        else:
            continue
        assert {module for module in imported if module.split(".")[0] not in sys.stdlib_module_names} <= allowed


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean tbrm"):
        catalogue.load("tbmr")
    with pytest.raises(InputError, match="methods: grpo"):
        catalogue.create({"name": "none"})
