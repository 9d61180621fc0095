"""Start-up, help, exit codes, and the verbs that only read definitions."""

import errno
import subprocess
import sys

import pytest

from repro.cli import main as main_module
from repro.cli.main import VERBS
from repro.errors import TrialError
from repro.store.config import TrialConfig

HEAVY = ("torch", "pandas", "transformers", "numpy", "matplotlib", "scipy", "rich")


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"], ["run", "--help"], ["show", "table1"]])
def test_help_and_list_load_nothing_heavy(words):
    """The promise of 0.3 s is a promise not to import: time on a busy machine says little."""
    code = (
        "import sys\nfrom repro.cli.main import main\n"
        f"assert main({words!r}) == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(cli, verb):
    code, out, _ = cli(verb, "--help")
    assert code == 0 and "--json" in out
    assert "JSON keys:" in out, "the stable keys are documented where a user looks"


def test_help_names_every_verb(cli):
    for words in ([], ["--help"]):
        code, out, err = cli(*words)
        assert code == 0 and not err
        assert all(verb in out for verb in VERBS)


def test_version(cli):
    code, out, _ = cli("--version")
    assert code == 0 and out.startswith("repro ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "did you mean run"),
        (["plan"], "ID"),
        (["plan", "table1", "--scale", "huge"], "huge"),
        (["plan", "table1", "--seeds", "many"], "many"),
        (["plan", "table1", "--seeds", "0"], "--seeds"),
        (["plan", "table1", "--jobs", "0"], "--jobs"),
        (["plan", "table1", "--nonsense"], "--nonsense"),
        (["plan", "tabel1"], "did you mean table1"),
        (["show", "table1/trbm-n4"], "did you mean tbrm-n4"),
        (["show", "table1/*n4*"], "name one"),
        (["show", "table1", "--set", "*.steps=3"], "table1/ARM"),
        (["diff", "table1/base", "table1/bsae"], "did you mean base"),
        (["plan", "table1", "--set", "*.stesp=3"], "steps"),
        (["plan", "table1", "--task", "swamp", "--model", "a/b"], "svamp"),
        (["plan", "table1", "--model", "/no/such/folder"], "no such folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli, words, said):
    code, out, err = cli(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("repro: ") and err.count("\n") == 1 and said in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (TrialError("loss is NaN", step=3), 1, "loss is NaN"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 2, "No space left on device"),
        (KeyboardInterrupt("state is kept"), 130, "state is kept"),
        (ZeroDivisionError("oops"), 1, "ZeroDivisionError"),
    ],
)
def test_every_ending_is_one_line_and_a_code(cli, monkeypatch, error, code, said):
    def fail(argv):
        raise error

    monkeypatch.setattr(main_module, "_run", fail)
    got, _, err = cli("list")
    assert (got, err.count("\n")) == (code, 1) and said in err and "Traceback" not in err


def test_debug_shows_the_traceback(cli, monkeypatch):
    def fail(argv):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(main_module, "_run", fail)
    monkeypatch.setenv("REPRO_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli("list")


def test_list_json(cli_json):
    found = cli_json("list")
    assert set(found) == {"experiments", "methods", "tasks", "claims"}
    table1 = next(one for one in found["experiments"] if one["id"] == "table1")
    assert set(table1) == {"id", "title", "paper", "summary", "scales", "arms", "claims"}
    assert {"id", "display", "method", "core"} == set(table1["arms"][0])
    assert {"experiment", "id", "paper", "kind", "metric", "arm", "against", "sentence"} == set(found["claims"][0])
    assert {"name", "summary", "paper", "plugin"} == set(found["methods"][0])
    assert {"name", "summary", "generated", "hub", "licence", "plugin"} == set(found["tasks"][0])


def test_list_text_names_everything(cli, cli_json):
    found = cli_json("list")
    _, out, _ = cli("list")
    for kind, key in (("experiments", "id"), ("methods", "name"), ("tasks", "name"), ("claims", "sentence")):
        assert all(item[key] in out for item in found[kind])


def test_show_experiment(cli, cli_json):
    found = cli_json("show", "table1")
    assert set(found) == {
        "id", "title", "paper", "summary", "metrics", "arms", "scales", "claims", "ledger", "tuning", "planned",
    }  # fmt: skip
    assert set(cli_json("show", "table1", "--scale", "paper")["scales"]) == {"paper"}
    assert set(cli_json("show", "table1@smoke")["scales"]) == {"smoke"}
    _, out, _ = cli("show", "table1")
    assert "TBRM n=4 beats GRPO n=4." in out and "gradient clipping" in out


def test_show_arm_is_a_valid_config(cli_json):
    found = cli_json("show", "table1/tbrm-n4", "--set", "*.steps=3")
    assert set(found) == {"id", "config"}
    config = TrialConfig.from_json(found["config"])
    assert config.id == found["id"] and config.train.steps == 3


def test_diff(cli, cli_json):
    found = cli_json("diff", "table1/ppo-n1", "table1/tbrm-n1")
    assert (found["a"], found["b"]) == ("table1/ppo-n1/seed0", "table1/tbrm-n1/seed0")
    fields = {row["field"]: (row["a"], row["b"]) for row in found["differences"]}
    assert fields["method.name"] == ("ppo", "tbrm")
    assert fields["method.beta"][0] == "absent"
    assert "train.steps" not in fields
    assert cli_json("diff", "table1/base", "table1/base")["differences"] == []
    code, out, _ = cli("diff", "table1@paper/grpo-n4", "table1@paper/tbrm-n4")
    assert code == 0 and "method.scale" in out


def test_doctor(cli, cli_json, monkeypatch):
    from repro.cli import doctor

    found = cli_json("doctor")
    assert set(found) == {"checks", "ok"} and {"name", "status", "detail"} == set(found["checks"][0])
    monkeypatch.setattr(doctor, "installed", lambda package: None if package == "torch" else "1.0")
    monkeypatch.setattr(doctor, "torch_cuda", lambda: None)
    code, out, _ = cli("doctor")
    assert code == 1 and "not installed" in out


def test_doctor_warns_of_a_cuda_torch_without_a_gpu(cli_json, monkeypatch):
    from repro.cli import doctor

    monkeypatch.setattr(doctor, "torch_cuda", lambda: "13.0")
    monkeypatch.setattr(doctor, "has_gpu", lambda: False)
    build = {check["name"]: check for check in cli_json("doctor")["checks"]}["torch build"]
    assert build["status"] == "warn" and "13.0" in build["detail"] and "cpu" in build["detail"]


def test_doctor_compares_with_the_pins(monkeypatch):
    from repro.cli import doctor

    monkeypatch.setattr(doctor, "pins", lambda gpu: {"trl": "1.16.0", "torch": "2.13.0", "numpy": "2.0.0"})
    monkeypatch.setattr(doctor, "installed", {"trl": "1.15.0", "torch": "2.13.0+cpu", "numpy": "2.0.0"}.get)
    checks = {check.name: check for check in doctor._packages(gpu=False)}
    assert checks["trl"].status == "warn" and "1.16.0" in checks["trl"].detail
    assert checks["torch"].status == "ok", "the local part +cpu is not another version"
    assert checks["numpy"].status == "ok"
    assert checks["rich"].status == "missing"
