"""Calls side by side: answers keep their order, an error or a death answers its own call, nothing outlives a break."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from repro.errors import InputError, TrialError
from repro.launch.calls import Call, call_side_by_side
from repro.launch.planning import PLANNER, Card, plan_rows
from repro.store.config import TrainSettings, TrialConfig

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # workers get the path of this process


# What the workers call, by this module's name.
def after(seconds: float, value):
    time.sleep(seconds)
    return value


def until(path: str):
    while not os.path.exists(path):
        time.sleep(0.02)
    return "waited"


def raising(kind: str):
    raise {
        "input": InputError("no such model"),
        "trial": TrialError("no room", step=3),
        "bug": ZeroDivisionError("x\ny"),
    }[kind]


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def big():
    return b"x" * (1 << 20)


def own(name: str) -> str:
    return f"test_launch_calls:{name}"


def waits(seconds: float, value) -> Call:
    return Call(own("after"), {"seconds": seconds, "value": value})


def test_answers_keep_their_order_and_arrive_as_they_end(tmp_path):
    seen, signal_file = [], tmp_path / "others are done"

    def on_answer(index, answer):
        seen.append(index)
        if len(seen) == 2:
            signal_file.touch()

    calls = [Call(own("until"), {"path": str(signal_file)}), waits(0, {"a": 1}), Call(own("big"), {})]
    answers = call_side_by_side(calls, 2, on_answer)
    assert answers == ["waited", {"a": 1}, b"x" * (1 << 20)], "also one that fills the pipe"
    assert seen == [1, 2, 0]


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("input", InputError, "no such model"),
        ("trial", TrialError, "no room"),
        ("bug", TrialError, "ZeroDivisionError: x y"),
    ],
)
def test_an_error_answers_its_own_call(kind, error, words):
    failed, fine = call_side_by_side([Call(own("raising"), {"kind": kind}), waits(0, 1)], 1)
    assert type(failed) is error and str(failed) == words and fine == 1


def test_a_dead_process_answers_its_own_call():
    dead, fine = call_side_by_side([Call(own("killed"), {}), waits(0, 1)], 2)
    assert isinstance(dead, TrialError) and "out of memory" in str(dead) and fine == 1


def test_what_on_answer_raises_stops_the_others():
    def stop(index, answer):
        raise InputError("enough")

    started = time.monotonic()
    with pytest.raises(InputError, match="enough"):
        call_side_by_side([waits(0, 0), waits(60, 1), waits(60, 2)], 2, stop)
    assert time.monotonic() - started < 30


# -- plans -------------------------------------------------------------------------------------------------------------
def config(arm: str, model: str, **train) -> TrialConfig:
    return TrialConfig.from_json(
        {
            "experiment": "table1", "scale": "paper", "arm": arm, "seed": 0, "method": {"name": "grpo", "n": 4},
            "task": {"name": "math", "options": {}}, "base": {"kind": "hub", "id": model, "revision": None},
            "train": train, "evaluation": {},
        }
    )  # fmt: skip


def test_a_colocated_engine_and_shared_memory_leave_less_room():
    card, host = Card(1000, "card"), Card(1000, "host", host=True)
    assert card.room(TrainSettings()) == 1000
    assert card.room(TrainSettings(backend="vllm", vllm_memory=0.4)) == 600
    assert card.room(TrainSettings(processes=4)) == 1000, "each process has a card"
    assert host.room(TrainSettings(processes=4)) == 250


def test_plans_of_one_model_do_not_run_side_by_side_and_come_back_in_order(tmp_path):
    configs = [config("a", "m/one"), config("b", "m/one"), config("c", "m/two")]
    begun = []
    rows = plan_rows(
        configs, {"states": "bf16"}, tmp_path, 1, lambda place, row: begun.append(place), [10, 10, 10**9],
        planner="launch_planner",
    )  # fmt: skip
    assert begun == [0, 2, 1], "models take turns, so that the second arm of one finds what the first has cached"
    assert [row["arm"] for row in rows] == ["a", "b", "c"]
    assert [row["fits"] for row in rows] == [False, False, True]
    assert rows[0]["advice"] and rows[2]["advice"] is None and rows[2]["largest_micro_batch"] == 7
    assert rows[0]["settings"] == {"states": "bf16", "cache": str(tmp_path)}


def test_a_planner_that_refuses_answers_with_its_words(tmp_path):
    (row,) = plan_rows([config("a", "m/unknown")], {}, None, 1, lambda *_: None, planner="launch_planner")
    assert isinstance(row, InputError) and "m/unknown" in str(row)


def test_the_planner_that_is_named_has_what_is_called():
    import importlib

    module = importlib.import_module(PLANNER)
    assert all(
        callable(getattr(module, name)) for name in ("plan_trial", "largest_micro_batch", "advice", "PlanOptions")
    )
