import subprocess
from pathlib import Path

import repro
from repro.store import provenance


def test_all_keys_and_no_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = provenance.collect("repro run table1")
    assert set(found) == {
        "repro", "commit", "dirty", "python", "packages", "platform", "cpu", "cores", "gpu", "started", "finished",
        "command", "measured_on",
    }  # fmt: skip
    assert found["repro"] == repro.__version__
    assert found["finished"] is None and provenance.finish(found)["finished"] > found["started"]
    assert found["packages"]["numpy"].count(".") >= 1
    assert "hf_secret" not in str(found)


def test_a_command_that_is_not_utf8_is_escaped():
    assert provenance.collect("repro run \udcff.py")["command"] == "repro run \\udcff.py"


def test_git_state(tmp_path):
    package = tmp_path / "repro"
    package.mkdir()
    assert provenance.git_state(package) == (None, None)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (package / "a.py").write_text("")
    assert provenance.git_state(package) == (None, True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    commit, dirty = provenance.git_state(package)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "my_method").mkdir()
    (tmp_path / "my_method" / "my_method.py").write_text("")
    assert provenance.git_state(package) == (commit, False), "beside the package"
    (package / "b.py").write_text("")
    assert provenance.git_state(package) == (commit, True), "in the package"
    (package / "b.py").unlink()
    (package / "a.py").write_text("1")
    assert provenance.git_state(package) == (commit, True)


def test_no_git_program(monkeypatch):
    monkeypatch.setenv("PATH", "")
    commit, dirty = provenance.git_state(Path(repro.__file__).parent)
    assert commit is None and dirty is None
