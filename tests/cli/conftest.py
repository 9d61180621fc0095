import json

import pytest

from repro.cli.main import main


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Call the command line in this process, in an empty folder: returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name in ("REPRO_DATA_DIR", "REPRO_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPRO_COMMAND", "")

    def call(*argv: str):
        capsys.readouterr()
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def cli_json(cli):
    """The parsed stdout of a command that must succeed."""

    def call(*argv: str):
        code, out, err = cli(*argv, "--json")
        assert code == 0, err
        return json.loads(out)

    return call
