"""Method configs: defaults, validation, canonical numbers, documented fields; and the torch-free promise."""

from __future__ import annotations

import ast
import json
import pickle
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.methods import configs, ksample_configs, regression_configs, token_configs


def test_importing_configs_and_catalogue_loads_neither_torch_nor_numpy():
    code = (
        "import sys, repro.methods.configs, repro.methods.catalogue\n"
        "heavy = {'torch', 'numpy', 'pandas', 'transformers', 'trl'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", configs.CONFIGS)
def test_defaults_survive_json(name):
    config = configs.build(name)
    entry = json.loads(json.dumps(configs.to_json(name, config)))
    assert entry["name"] == name and entry["semantics"] == configs.SEMANTICS[name]
    assert configs.from_json(entry) == (name, config)
    assert pickle.loads(pickle.dumps(config)) == config


def test_semantics_and_configs_name_the_same_methods():
    assert set(configs.SEMANTICS) == set(configs.CONFIGS)
    assert all(isinstance(version, int) and version >= 1 for version in configs.SEMANTICS.values())
    for name in configs.TRAINED:
        assert configs.SEMANTICS[f"{name}-v"] == configs.SEMANTICS[name] + configs.VERDICT_SEMANTICS - 1


def test_the_settings_the_papers_print_are_the_defaults():
    tbrm, ppo = configs.build("tbrm"), configs.build("ppo")
    assert (tbrm.n, tbrm.beta, tbrm.updates) == (1, 0.002, 1)
    assert (ppo.n, ppo.epsilon, ppo.kl_coefficient, ppo.entropy_coefficient) == (1, 0.2, 0.001, 0.001)
    assert ppo.updates == 2
    astar, rebel = configs.build("astar-po"), configs.build("rebel")
    assert (astar.n, astar.samples, astar.beta1, astar.beta2, astar.updates) == (1, 8, 0.5, 1e-3, 2)
    assert not astar.filter_wrong and astar.entropy_coefficient == 0
    assert (rebel.n, rebel.scale, rebel.kl_coefficient, rebel.updates) == (2, "paper", 0, 1)
    vineppo = configs.build("vineppo")
    assert (vineppo.epsilon, vineppo.beta, vineppo.cap) == (0.2, 1e-4, None)
    krpo = configs.build("krpo")
    assert (krpo.q, krpo.r, krpo.x0, krpo.p0, krpo.order) == (1e-5, 1e-2, 0, 1, "sampling")
    assert (krpo.beta, krpo.epsilon) == (0.01, 0.2)
    assert configs.build("vineppo", {"epochs": 2, "minibatches": 512 // 64}).updates == 16


def test_every_field_has_a_one_line_docstring():
    modules = (configs, ksample_configs, regression_configs, token_configs)
    trees = [ast.parse(Path(module.__file__).read_text()) for module in modules]
    seen = set()
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            seen.add(node.name)
            documented = set()
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr):
                    assert "\n" not in after.value.value
                    documented.add(before.target.id)
            own = {spec.name for spec in fields(getattr(configs, node.name))}
            assert own == documented, node.name
    assert seen == {configs.CONFIGS[name].__name__ for name in ("none", *configs.TRAINED)} | {"VerdictConfig"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grop", {}, "did you mean grpo"),
        ("grpo", {"bta": 0.1}, "no option 'bta'; did you mean beta"),
        ("none", {"beta": 0.1}, "options: none"),
        ("grpo", {"n": 1}, "n must be at least 2"),
        ("rloo", {"n": 1}, "n must be at least 2"),
        ("grpo", {"n": 4.5}, "n must be a whole number, not 4.5"),
        ("grpo", {"n": True}, "n must be a whole number"),
        ("grpo", {"n": "4"}, "n must be a whole number"),
        ("grpo", {"n": None}, "n must be a whole number"),
        ("grpo", {"scale": "batch"}, "scale must be one of std, none"),
        ("grpo", {"scale": ["std"]}, "scale must be one of"),
        ("grpo", {"aggregate": "fixed"}, "fixed_length"),
        ("grpo", {"fixed_length": 100}, "fixed_length"),
        ("grpo", {"aggregate": "fixed", "fixed_length": 0}, "fixed_length must be at least 1"),
        ("grpo", {"epsilon": 0}, "epsilon must be above 0"),
        ("grpo", {"epsilon": 1.0}, "epsilon must be below 1"),
        ("grpo", {"epsilon_high": "high"}, "epsilon_high must be a number or null"),
        ("grpo", {"beta": -0.1}, "beta must be at least 0"),
        ("grpo", {"beta": float("nan")}, "beta must be a number"),
        ("grpo", {"epochs": 0}, "epochs must be at least 1"),
        ("ppo", {"minibatches": 1}, "at least 2"),
        ("ppo", {"lam": 1.1}, "lam must be between 0 and 1"),
        ("ppo", {"whiten": 1}, "whiten must be true or false"),
        ("ppo", {"value_clip": 0.0}, "value_clip must be above 0"),
        ("tbrm", {"beta": 0}, "beta must be above 0"),
        ("brm", {"n": 0}, "n must be at least 1"),
        ("loo", {"n": 1}, "n must be at least 2"),
        ("loo", {"minibatches": 1}, "at least 2"),
        ("loo", {"beta": -1}, "beta must be at least 0"),
        ("vineppo", {"k": 0}, "k must be at least 1"),
        ("vineppo", {"cap": 0}, "cap must be at least 1"),
        ("vineppo", {"cap": 2.5}, "cap must be a whole number or null"),
        ("vineppo", {"minibatches": 1}, "at least 2"),
        ("vinepo", {}, "did you mean vineppo"),
        ("astarpo", {}, "did you mean astar-po"),
        ("astar-po", {"beta1": 0}, '"mean" or "max", not 0.0'),
        ("astar-po", {"beta1": -0.5}, '"mean" or "max", not -0.5'),
        ("astar-po", {"beta1": float("nan")}, "a number or one of mean, max, not nan"),
        ("astar-po", {"beta1": float("inf")}, "a number or one of mean, max, not inf"),
        ("astar-po", {"beta1": "median"}, "a number or one of mean, max, not 'median'"),
        ("astar-po", {"beta1": None}, "a number or one of mean, max, not None"),
        ("astar-po", {"beta1": True}, "a number or one of mean, max, not True"),
        ("astar-po", {"beta2": 0}, "beta2 must be above 0"),
        ("astar-po", {"samples": 0}, "samples must be at least 1"),
        ("astar-po", {"entropy_coefficient": -1e-3}, "entropy_coefficient must be at least 0"),
        ("astar-po", {"filter": True}, "did you mean filter_wrong"),
        ("astar-po-v", {"beta1": 0}, '"mean" or "max"'),
        ("rebel", {"n": 3}, "n must be even, not 3"),
        ("rebel", {"n": 1}, "n must be at least 2"),
        ("rebel", {"eta": 0}, "eta must be above 0"),
        ("rebel", {"eta": -1}, "eta must be above 0"),
        ("rebel", {"scale": "std"}, "scale must be one of paper, code"),
        ("rebel", {"kl_coefficient": -0.1}, "kl_coefficient must be at least 0"),
        ("rebel-v", {"n": 5}, "n must be even, not 5"),
        ("sgrpo", {"n": 1}, "n must be at least 2"),
        ("sgrpo", {"alpha": -1}, "alpha must be at least 0, not -1"),
        ("sgrpo", {"k": -1}, "k must be at least 0, not -1"),
        ("sgrpo", {"k": 2.5}, "k must be a whole number or null"),
        ("sgrpo", {"p": 1.5}, "p must be between 0 and 1, not 1.5"),
        ("sgrpo", {"p": -0.1}, "p must be between 0 and 1, not -0.1"),
        ("sgrpo", {"p": None}, "p must be a number"),
        ("sgrpo", {"reading": "scan"}, "reading must be one of so_far, length, random_rest"),
        ("sgrpo", {"minibatches": 2}, "no option 'minibatches'"),
        ("tspmo", {"n": 1}, "n must be at least 2"),
        ("tspmo", {"normalise": "tokens"}, "normalise must be one of pairs, branching"),
        ("tspmo", {"replay": 1}, "replay must be true or false"),
        ("tspmo", {"beta": -1}, "beta must be at least 0"),
        ("tspm", {}, "did you mean tspmo"),
        ("krpo", {"n": 1}, "n must be at least 2"),
        ("krpo", {"q": -1e-5}, "q must be at least 0"),
        ("krpo", {"r": 0}, "r must be above 0"),
        ("krpo", {"p0": 0}, "p0 must be above 0"),
        ("krpo", {"order": "random"}, "order must be one of sampling, shuffled, averaged"),
        ("krpo", {"order": "averaged", "baseline": "group-mean"}, "order=averaged .* needs baseline=kalman"),
        ("krpo", {"scale": "unit", "baseline": "running-mean"}, "scale=unit .* needs baseline=kalman"),
        ("grpo-entropy", {"top_entropy": 0}, "top_entropy must be above 0"),
        ("grpo-entropy", {"top_entropy": 1.2}, "top_entropy must be between 0 and 1"),
        ("grpo-entropy", {"aggregate": "fixed"}, "aggregate must be one of token-mean, sequence-mean"),
        ("sgrpo-v", {"alpha": -1}, "alpha must be at least 0"),
        ("grpo-v", {"verify_lambda": -0.1}, "verify_lambda must be at least 0"),
        ("grpo-v", {"verify_lambda": None}, "verify_lambda must be a number"),
        ("grpo-v", {"verifier": "judge"}, "verifier must be one of policy, head, separate"),
        ("grpo-v", {"lambda": 1}, "did you mean verify_lambda"),
        ("grpo-v", {"n": 1}, "n must be at least 2"),
        ("loo-v", {"minibatches": 1}, "at least 2"),
        ("vineppo-v", {"balance": 1}, "balance must be true or false"),
    ],
)
def test_bad_input_is_one_clear_line(name, options, message):
    with pytest.raises(InputError, match=message) as caught:
        configs.build(name, options)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_ppo_takes_two_updates_in_either_way():
    assert configs.build("ppo", {"epochs": 2, "minibatches": 1}).updates == 2
    assert configs.build("ppo", {"epochs": 2, "minibatches": 3}).updates == 6


def test_numbers_are_canonical():
    """1 and 1.0 are one setting, so they must give one trial key."""
    written = [
        configs.to_json("ppo", configs.build("ppo", {"gamma": g, "minibatches": m})) for g, m in ((1, 2), (1.0, 2.0))
    ]
    assert json.dumps(written[0]) == json.dumps(written[1])
    assert configs.build("ppo", {"value_clip": None}).value_clip is None
    whole = configs.build("astar-po", {"beta1": 1})
    assert json.dumps(configs.to_json("astar-po", whole)) == json.dumps(
        configs.to_json("astar-po", configs.build("astar-po", {"beta1": 1.0}))
    )
    assert configs.build("astar-po", {"beta1": "max"}).beta1 == "max"


@given(st.sampled_from(sorted(configs.CONFIGS)), st.data())
def test_any_json_value_is_accepted_or_refused_cleanly(name, data):
    known = sorted(asdict(configs.build(name)))
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    values = scalars | st.lists(scalars, max_size=2)
    options = data.draw(st.dictionaries(st.sampled_from(known) if known else st.just("x"), values, max_size=3))
    try:
        config = configs.build(name, options)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert configs.from_json(configs.to_json(name, config)) == (name, config)


def test_an_entry_without_a_name_is_refused():
    with pytest.raises(InputError, match="name"):
        configs.from_json({"beta": 0.1})
