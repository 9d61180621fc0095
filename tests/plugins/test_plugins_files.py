"""Plug-ins from files: what is registered, what is refused and in which words, and what an edit changes."""

from __future__ import annotations

import hashlib

import pytest
from plugin_files import edit, method_file, task_file

from repro import plugins, tasks
from repro.errors import InputError
from repro.methods import catalogue, configs
from repro.tasks import catalogue as task_catalogue

pytestmark = pytest.mark.usefixtures("plugged")


def test_a_file_becomes_a_method_of_the_catalogue(tmp_path):
    path = method_file(tmp_path)
    assert plugins.add("method", str(path)) == "mine"
    entry = configs.to_json("mine", configs.build("mine", {"n": 8}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry == {"name": "mine", "semantics": 1, "source": sha256, "n": 8, "baseline": "group"}
    method = catalogue.create(entry)
    assert (method.name, method.config.n) == ("mine", 8)
    assert catalogue.METHODS["mine"].summary == "REINFORCE with a mean-reward baseline."
    assert plugins.origin("method", "mine") == "mine.py" and plugins.origin("method", "grpo") is None
    with pytest.raises(InputError, match="method mine: n must be at least 2, not 1"):
        configs.build("mine", {"n": 1})
    assert plugins.add("method", str(path)) == "mine", "naming it twice is no collision"


def test_an_edited_file_is_another_method_of_the_same_name(tmp_path):
    path = method_file(tmp_path)
    plugins.add("method", str(path))
    before = configs.SOURCES["mine"]
    edit(path, {"n: int = 4": "n: int = 6", 'name = "mine"': 'name = "mine"\n    semantics = 2'})
    plugins.add("method", str(path))
    assert configs.build("mine").n == 6 and configs.SEMANTICS["mine"] == 2
    assert configs.SOURCES["mine"] not in (before, None)


CLS = "class Mine(Method):"


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"def needs(self)": "def needs(self"}, r"SyntaxError: .*\(mine.py, line \d+\)"),
        ({"from typing import Literal": "import nowhere_to_be_found"}, "ModuleNotFoundError: .*nowhere.*line"),
        ({CLS: "1 / 0\n\n\n" + CLS}, r"ZeroDivisionError: division by zero \(mine.py, line \d+\)"),
        ({CLS: "raise SystemExit(3)\n\n\n" + CLS}, "SystemExit"),
        ({CLS: "class Mine:"}, "must define one subclass of Method, and defines none"),
        ({CLS: "class First(Method):\n    needs = credit = loss = print\n\n\n" + CLS}, "defines First, Mine"),
        ({"def loss(": "def lose("}, "Mine is not complete: it lacks loss"),
        ({'name = "mine"': 'name = "Mine!"'}, "'Mine!' cannot be a name"),
        ({'name = "mine"': "name = 3"}, "3 cannot be a name"),
        ({'name = "mine"': 'name = "core"'}, "'core' means something else here"),
        ({'name = "mine"': 'name = "mine-v"'}, "end with -v"),
        ({'name = "mine"': 'name = "grpo"'}, "'grpo', which is built in"),
        ({'name = "mine"': 'name = "mine"\n    semantics = "2"'}, "semantics must be a whole number"),
        ({"(MethodConfig)": ""}, "Config must be a dataclass derived from MethodConfig"),
        ({"    Config = MineConfig": ""}, "Config must be a dataclass derived from MethodConfig"),
        ({"    baseline:": "    source: int = 1\n    baseline:"}, "cannot be called source"),
        ({"    baseline:": "    words: str = ''\n    baseline:"}, "MineConfig.words must be a bool, int, float"),
        ({"    baseline:": "    words: Unheard = 1\n    baseline:"}, "fields of MineConfig cannot be read: NameError"),
        ({"    n: int": "    m: int", '2, "n"': '2, "m"'}, "needs a field n: int"),
        ({"n: int = 4": "n: int = 1"}, "the default config cannot be used: .*n must be at least 2"),
        ({"n: int = 4": "n: int | None = None"}, "must be a whole number above 0"),
        ({"return Needs()": "return Needs(unit=self.config.units)"}, r"raised AttributeError: .*line \d+"),
        ({"return Needs()": "return Needs(unit=0)"}, "config cannot be used: Needs: unit must be a whole number"),
        ({"return Needs()": "return {}"}, r"needs\(\) must return Needs, not dict"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_line(tmp_path, edits, said):
    before = dict(catalogue.METHODS)
    with pytest.raises(InputError, match=said) as caught:
        plugins.add("method", str(method_file(tmp_path, edits=edits)))
    assert "mine.py" in str(caught.value) and "\n" not in str(caught.value)
    assert before == catalogue.METHODS, "nothing is left behind"


def test_a_config_of_another_method_is_refused(tmp_path):
    text = {
        "    Config = MineConfig": "    Config = GrpoConfig",
        CLS: "from repro.methods.configs import GrpoConfig\n" + CLS,
    }
    with pytest.raises(InputError, match="GrpoConfig is the config of grpo: derive one"):
        plugins.add("method", str(method_file(tmp_path, edits=text)))
    assert configs.GrpoConfig.method_name == "grpo"


@pytest.mark.parametrize("name", ["absent.py", "no/such.py", "folder.py"])
def test_what_is_no_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(InputError, match="name a Python file"):
        plugins.add("method", name)


def test_unknown_names_are_refused_with_the_nearest():
    assert plugins.add("method", "pkpo") == "pkpo", "a built-in can be named as well"
    with pytest.raises(InputError, match="unknown method 'gpro'; did you mean grpo"):
        plugins.add("method", "gpro")
    with pytest.raises(InputError, match="unknown task 'swamp'; did you mean svamp"):
        plugins.add("task", "swamp")


def test_two_files_with_one_name_collide(tmp_path):
    plugins.add("method", str(method_file(tmp_path / "a")))
    second = method_file(tmp_path / "b", edits={"n: int = 4": "n: int = 8"})
    with pytest.raises(InputError, match="both plug in a method called 'mine'"):
        plugins.add("method", str(second))
    assert configs.build("mine").n == 4


def test_a_file_becomes_a_task(tmp_path):
    assert plugins.add("task", str(task_file(tmp_path))) == "sums"
    task = tasks.load("sums", {"rl": 6})
    assert len(task.prompts("rl")) == 6 and task.prompts("rl")[0].level == "2"
    assert task_catalogue.TASKS["sums"].generated
    with pytest.raises(InputError, match="has no option 'digit'"):
        tasks.load("sums", {"digit": 2})


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"(ChainTask)": "(Task)", "repro.tasks.chain import ChainTask": "repro.tasks.task import Task"}, "it lacks"),
        ({'name = "sums"': 'name = "chain"'}, "'chain', which is built in"),
        ({"(2,)": "(9,)"}, "without options raised InputError"),
        ({"digits: int = 1": "digits"}, "SyntaxError"),
        ({"terms=(2,), digits: int = 1": "terms, digits: int = 1"}, "needs a default for its option terms"),
        ({"sums of two": "sums\\nof two"}, "summary must be one line"),
        ({"    summary": "    splits = ('train',)\n    summary"}, "splits must be some of base, rl, dev, test"),
        ({"    summary": "    template = None\n    summary"}, "template must be a Template"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_used(tmp_path, edits, said):
    with pytest.raises(InputError, match=said):
        plugins.add("task", str(task_file(tmp_path, edits)))
    assert "sums" not in task_catalogue.TASKS
