import dataclasses
from pathlib import Path

import pytest

from repro.store.config import TrainSettings, TrialConfig
from repro.store.key import canonical, content_hash, deciding, trial_key
from repro.store.published import read_bundle

RESULTS = Path(__file__).parents[2] / "results"
HASHES = {"prompts": {"rl": "1", "test": "2"}, "base": "b"}


def test_golden_key(make_config):
    # Changes only when the meaning of a config changes: then every older record stops being reused.
    assert trial_key(make_config(), HASHES) == "ba367ef594bfd3f9c9db6269b28df700004c59e248b4d1242ed64e996b90bf5e"


def test_canonical_is_sorted_compact_ascii():
    assert canonical({"b": [1.5, None, True], "a": "é"}) == b'{"a":"\\u00e9","b":[1.5,null,true]}'
    assert content_hash({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})


@pytest.mark.parametrize(
    "changes",
    [{"experiment": "table2"}, {"arm": "other"}, {"variant": "0a1b2c3d"}]
    + [
        {"train": TrainSettings(**change)}
        for change in (
            {"trackers": ("wandb",)},
            {"keep_checkpoints": 5},
            {"checkpoint_every": 1},
            {"processes": 2},
            {"max_grad_norm": 1},
        )
    ],
)
def test_names_and_bookkeeping_are_not_in_the_key(make_config, changes):
    assert trial_key(make_config(**changes), HASHES) == trial_key(make_config(), HASHES)


def test_all_that_decides_the_result_is_in_the_key(make_config):
    plain = make_config()
    others = [
        make_config(seed=1),
        make_config(method={**plain.method, "beta": 0.02}),
        make_config(method={**plain.method, "semantics": 2}),
        make_config(task={"name": "chain", "options": {"terms": 3}}),
        make_config(base={"kind": "micro", "recipe": {"steps": 1}}),
        *(
            dataclasses.replace(plain, train=dataclasses.replace(plain.train, **change))
            for change in ({"learning_rate": 3e-4}, {"steps": 81}, {"micro_batch": 16}, {"eval_every": 5})
        ),
        dataclasses.replace(plain, evaluation=dataclasses.replace(plain.evaluation, dev_n=1)),
    ]
    keys = {trial_key(config, HASHES) for config in [plain, *others]}
    keys |= {trial_key(plain, {**HASHES, "base": "c"}), trial_key(plain, {**HASHES, "prompts": {"rl": "9"}})}
    assert len(keys) == len(others) + 3


def test_a_folder_counts_by_content_not_by_path(make_config):
    here, there = (make_config(base={"kind": "folder", "path": path}) for path in ("/a", "/b"))
    assert trial_key(here, HASHES) == trial_key(there, HASHES)
    assert trial_key(here, HASHES) != trial_key(here, {**HASHES, "base": "c"})


@pytest.mark.parametrize("bundle", ["table1", "table2", "table1-tuning", "table2-tuning"])
def test_published_trials_keep_their_keys(bundle):
    """Settings that came later, at their neutral values, leave every stored trial what it was."""
    trials = [record for record in read_bundle(RESULTS / f"{bundle}.jsonl.gz") if record["kind"] == "trial"]
    assert trials
    for record in trials:
        config = TrialConfig.from_json(record["config"])
        assert deciding(config.to_json()) == deciding(record["config"])
        assert trial_key(config, record["hashes"]) == record["key"]


@pytest.mark.parametrize("change", [{"kl": True}, {"verify": True}, {"name": "other"}, {"lenient": True}, {"shots": 2}])
def test_a_later_setting_counts_where_it_is_used(make_config, change):
    plain = make_config()
    sets = tuple(dataclasses.replace(one, **change) for one in plain.evaluation.sets)
    changed = dataclasses.replace(plain, evaluation=dataclasses.replace(plain.evaluation, sets=sets))
    assert trial_key(changed, HASHES) != trial_key(plain, HASHES)


def test_a_curve_on_other_questions_is_another_trial(make_config):
    plain = make_config()
    changed = dataclasses.replace(plain, evaluation=dataclasses.replace(plain.evaluation, curve="test"))
    assert trial_key(changed, HASHES) != trial_key(plain, HASHES)


def test_hashes_are_required(make_config):
    with pytest.raises(ValueError, match="base"):
        trial_key(make_config(), {"prompts": "x"})
