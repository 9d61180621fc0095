"""Pinned shapes: the published parameter counts follow from them, and what cannot be known is said in one line."""

import json

import pytest
import torch

from repro.cost import shapes
from repro.errors import InputError

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("model", sorted(shapes.HUB))
def test_parameters_are_the_published_number(model):
    with torch.device("meta"):
        network = transformers.AutoModelForCausalLM.from_config(shapes.shape({"kind": "hub", "id": model}))
    assert sum(p.numel() for p in network.parameters()) == shapes.HUB[model].parameters


def test_published_numbers():
    sizes = {"0.5B": 494_032_768, "1.5B": 1_543_714_304, "3B": 3_085_938_688, "7B": 7_615_616_512}
    assert {size: shapes.HUB[f"Qwen/Qwen2.5-{size}"].parameters for size in sizes} == sizes


def test_every_hub_model_of_the_suite_can_be_planned():
    from repro.experiments import registry

    for name in ("table1", "table2", "table3", "table4"):
        experiment = registry.get(name)
        bases = [here.base for here in experiment.scales.values()] + [one.base for one in experiment.planned]
        bases += [part["base"] for here in experiment.scales.values() for part in here.arms.values() if "base" in part]
        assert {base["id"] for base in bases if base["kind"] == "hub"} <= set(shapes.HUB)


def test_a_folder_is_read_and_named(tmp_path):
    wanted = shapes.micro({"hidden": 16, "layers": 2, "heads": 2, "ffn": 32, "positions": 64}, 20)
    wanted.save_pretrained(tmp_path / "mine")
    base = {"kind": "folder", "path": str(tmp_path / "mine")}
    assert shapes.shape(base).hidden_size == 16 and shapes.name(base) == "mine"


@pytest.mark.parametrize(
    "base,message",
    [
        ({"kind": "hub", "id": "Qwen/Qwen2.5-15B"}, "did you mean Qwen/Qwen2.5-1.5B"),
        ({"kind": "hub", "id": "someone/else"}, "known: .*Qwen/Qwen2.5-7B.*--model PATH"),
        ({"kind": "folder", "path": "/nowhere/at/all"}, "no config.json"),
        ({"kind": "micro", "recipe": {}}, "vocabulary"),
        ({"kind": "moon"}, "use micro, hub or folder"),
    ],
)
def test_unknown_shapes(base, message):
    with pytest.raises(InputError, match=message) as caught:
        shapes.shape(base)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", json.dumps({"model_type": "no-such-network"}), "{}"])
def test_a_config_that_cannot_be_read(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        shapes.shape({"kind": "folder", "path": str(tmp_path)})
    assert "\n" not in str(caught.value)
