"""Plug-ins of installed distributions, and trials that name a plug-in by the hash of its code."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

import pytest
from plugin_files import edit, install, method_file, task_file

from repro import plugins
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.resolve import parse_changes, resolve
from repro.methods import catalogue, configs
from repro.plugins import source
from repro.store.config import TrialConfig

pytestmark = pytest.mark.usefixtures("plugged")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder that Python searches for modules and distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def mine(tmp_path, site):
    """The module `mine` in `site`, and its distribution."""
    path = site / "mine.py"
    path.write_text(method_file(tmp_path / "draft").read_text())
    install(site, "my-method", {"mine": "mine:Mine"})
    return path


def test_an_installed_method_is_found_by_name_and_imported_only_then(mine):
    assert set(plugins.installed("method")) == {"mine"}
    assert "mine" not in sys.modules and "mine" not in catalogue.METHODS
    assert plugins.add("method", "mine") == "mine"
    assert plugins.origin("method", "mine") == "my-method 0.1.0"
    assert configs.SOURCES["mine"] == source.file_sha256(mine), "the same code is the same method, however it is named"


@pytest.mark.parametrize(
    ("point", "edits", "said"),
    [
        ({"other": "mine:Mine"}, {}, "the class calls itself 'mine': give both one name"),
        ({"mine": "mine:MineConfig"}, {}, "mine:MineConfig is not a complete subclass of Method"),
        ({"mine": "mine:token_weights"}, {}, "is not a complete subclass of Method"),
        ({"mine": "mine:Missing"}, {}, "AttributeError"),
        ({"mine": "absent_module:Mine"}, {}, "ModuleNotFoundError"),
        ({"mine": "mine:Mine"}, {"from typing": "1 / 0\nfrom typing"}, r"ZeroDivisionError: .*\(mine.py, line \d+\)"),
        ({"Mine!": "mine:Mine"}, {}, "cannot be a name"),
        ({"grpo": "mine:Mine"}, {}, "my-method 0.1.0 plugs in a method called 'grpo', which is built in"),
    ],
)  # fmt: skip
def test_what_an_installed_plug_in_may_get_wrong(tmp_path, site, point, edits, said):
    (site / "mine.py").write_text(method_file(tmp_path / "draft", edits=edits).read_text())
    install(site, "my-method", point)
    with pytest.raises(InputError, match=said) as caught:
        plugins.add("method", next(iter(point)))
    assert "\n" not in str(caught.value) and "my-method 0.1.0" in str(caught.value)


def test_two_distributions_with_one_name_collide(mine, site):
    install(site, "another-method", {"mine": "another:Mine"})
    for use in (plugins.installed, lambda kind: plugins.add(kind, "mine")):
        with pytest.raises(InputError, match="my-method 0.1.0 .*both plug in a method called 'mine'|another-method"):
            use("method")


def test_a_file_and_an_installed_plug_in_share_a_name_only_if_they_are_one_file(mine, tmp_path):
    copy = tmp_path / "mine.py"
    copy.write_text(mine.read_text())
    assert plugins.add("method", str(copy)) == "mine"
    forget()
    copy.write_text(mine.read_text() + "# edited\n")
    with pytest.raises(InputError, match="mine.py and my-method 0.1.0 both plug in a method called 'mine'"):
        plugins.add("method", str(copy))
    assert plugins.add("method", str(mine)) == "mine"


def test_the_hash_of_a_package_is_of_all_its_modules(tmp_path, site):
    code = method_file(tmp_path / "draft", "other").read_text()
    package = site / "other"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "terms.py").write_text("SCALE = 1\n")
    (package / "method.py").write_text(code.replace("from typing", "from other.terms import SCALE\nfrom typing"))
    install(site, "other-method", {"other": "other.method:Other"})
    plugins.add("method", "other")
    first = source.source_of(sys.modules["other.method"]).sha256
    assert configs.SOURCES["other"] == first
    (package / "terms.py").write_text("SCALE = 2\n")
    assert source.source_of(sys.modules["other.method"]).sha256 != first


# -- trials ------------------------------------------------------------------------------------------------------------


def planned(path) -> TrialConfig:
    changes = parse_changes(methods=[str(path)])
    experiment = registry.with_methods(registry.get("table1"), changes.methods)
    return resolve(experiment, "smoke", "mine", 0, changes)


def forget() -> None:
    """As in a worker: nothing is loaded yet."""
    from repro.plugins import methods, registry

    methods.remove("mine")
    registry._loaded.clear()


def test_a_worker_finds_the_file_by_its_content(tmp_path):
    config = planned(method_file(tmp_path))
    forget()
    plugins.ensure(config)
    assert catalogue.create(config.method).name == "mine"
    (kept,) = plugins.provenance(config)
    assert kept == {
        "kind": "method", "name": "mine", "file": "mine.py", "distribution": None, "version": None,
        "sha256": config.method["source"],
    }  # fmt: skip
    assert str(tmp_path) not in json.dumps([config.to_json(), kept]), "no path goes into a record"


def test_a_file_edited_after_planning_is_refused(tmp_path):
    path = method_file(tmp_path)
    config = planned(path)
    forget()
    edit(path, {"n: int = 4": "n: int = 6"})
    with pytest.raises(InputError, match="method mine: this trial was planned with other code"):
        plugins.ensure(config)


def test_a_worker_finds_what_is_installed(mine):
    config = planned(mine)
    forget()
    os.environ[source.FILES] = "[]"
    plugins.ensure(config)
    assert plugins.provenance(config)[0]["distribution"] == "my-method"


def test_a_record_cannot_make_the_suite_load_a_file(tmp_path):
    """The code of a trial is found by its hash alone, among what the user named."""
    path = method_file(tmp_path, edits={"from typing": "raise RuntimeError('run')\nfrom typing"})
    plain = resolve(registry.get("table1"), "smoke", "base", 0)
    for method in (
        {"name": str(path), "source": source.file_sha256(path)},
        {"name": "mine", "source": source.file_sha256(path), "path": str(path), "file": str(path)},
    ):
        with pytest.raises(InputError, match="planned with other code"):
            plugins.ensure(dataclasses.replace(plain, method=method))


@pytest.mark.parametrize("bad", ["0" * 63, "g" * 64, 7, None, "../../mine.py"])
def test_a_source_is_a_hash(bad):
    config = resolve(registry.get("table1"), "smoke", "base", 0).to_json()
    for part in ("method", "task"):
        with pytest.raises(InputError, match=f"{part}.source=.* is not 64 hex digits"):
            TrialConfig.from_json({**config, part: {**config[part], "source": bad}})


def test_a_plugged_in_task_is_part_of_a_trial(tmp_path):
    path = task_file(tmp_path)
    changes = parse_changes(task=str(path))
    config = resolve(registry.get("table1"), "smoke", "tbrm-n1", 0, changes)
    assert config.task == {"name": "sums", "options": {}, "source": source.file_sha256(path)}
    assert plugins.provenance(config)[0]["kind"] == "task"
