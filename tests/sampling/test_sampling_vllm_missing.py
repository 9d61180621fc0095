"""The vLLM backend where vLLM is missing or broken, and those of its parts that need no engine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from repro.cli.main import BAD_INPUT, main
from repro.errors import InputError
from repro.sampling import vllm_backend
from repro.sampling.uniforms import Draw


@pytest.fixture(autouse=True)
def environment():
    """The backend sets variables that vLLM reads; none is left to the tests after this one."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def without_vllm(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "vllm" else real(name, *rest))


@pytest.fixture(params=["raise ImportError('libcudart.so.13: cannot open\\nshared object file')", "", "1 / 0"])
def broken_vllm(request, tmp_path, monkeypatch):
    """A package that is found and cannot be used: it raises on import, or lacks what an engine needs."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(request.param + "\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def test_a_missing_vllm_is_one_line_that_says_how_to_install_it(without_vllm, tmp_path):
    for call in (vllm_backend.require, lambda: vllm_backend.Engine(tmp_path, max_length=8)):
        with pytest.raises(InputError) as caught:
            call()
        message = str(caught.value)
        assert "not installed" in message and "pip install 'repro-bench[vllm]'" in message and "tox -e vllm" in message
        assert "\n" not in message


def test_a_broken_vllm_is_one_line_too(broken_vllm, tmp_path):
    with pytest.raises(InputError) as caught:
        vllm_backend.Engine(tmp_path, max_length=8)
    message = str(caught.value)
    assert "does not import" in message and "pip install 'repro-bench[vllm]'" in message
    assert "\n" not in message and len(message) < 600


def test_the_command_line_ends_with_exit_code_2(without_vllm, monkeypatch, capsys):
    from repro.cli import list as verb

    monkeypatch.setattr(verb, "main", lambda args: vllm_backend.require())
    assert main(["list"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert "vLLM is not installed" in error and error.strip().count("\n") == 0


def test_importing_the_backend_imports_neither_vllm_nor_torch():
    code = "import sys, repro.sampling.vllm_backend; print({'vllm', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_request_seeds_are_a_function_of_the_whole_draw():
    draw = Draw(seed=3, stream="evaluate", step=4, prompt=5, index=6)
    others = [
        Draw(4, "evaluate", 4, 5, 6), Draw(3, "dev", 4, 5, 6), Draw(3, "evaluate", 5, 5, 6),
        Draw(3, "evaluate", 4, 6, 6), Draw(3, "evaluate", 4, 5, 7), Draw(3, "evaluate", 45, 6, 0),
    ]  # fmt: skip
    seeds = [vllm_backend.request_seed(one) for one in (draw, *others)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    # Part of every stored result that was sampled with vLLM: never change it.
    assert seeds[0] == vllm_backend.request_seed(Draw(3, "evaluate", 4, 5, 6)) == 8653766043103777967


def test_request_seeds_of_many_draws_do_not_collide_in_the_32_bits_that_torch_keeps():
    seeds = {vllm_backend.request_seed(Draw(0, "evaluate", 0, 7, index)) % (1 << 32) for index in range(1024)}
    assert len(seeds) == 1024


def test_mismatch_is_over_tokens_and_not_over_rows():
    found = vllm_backend.mismatch([[-1.0, -2.0, -3.0], [-4.0], []], [[-1.0, -2.5, -3.0], [-3.0], []])
    assert found == {"tokens": 4, "mean": pytest.approx(1.5 / 4), "max": pytest.approx(1.0)}


def test_mismatch_of_nothing_is_no_number():
    assert vllm_backend.mismatch([[], []], [[], []]) == {"tokens": 0, "mean": None, "max": None}
    assert vllm_backend.mismatch([], []) == {"tokens": 0, "mean": None, "max": None}


def test_mismatch_refuses_log_probs_of_other_completions():
    with pytest.raises(ValueError, match="different lengths"):
        vllm_backend.mismatch([[-1.0, -2.0]], [[-1.0], [-2.0]])
