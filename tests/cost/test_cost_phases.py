"""Phase timer: the closed list, nesting, adding up over resumes, and no CUDA call on a CPU."""

import json
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.cost import PHASES, PhaseTimer, phases
from repro.cost.host import machine, peak_host_rss


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_unknown_phase_is_refused_and_leaves_nothing():
    timer = PhaseTimer()
    with pytest.raises(ValueError, match="'training' is not a phase: use one of base, stage1"):
        with timer.phase("training"):
            pass
    assert timer.to_json() == {}


def test_a_nested_phase_pauses_the_outer_one():
    clock = Clock()
    timer = PhaseTimer(clock=clock)
    with timer.phase("update", tokens=7):
        clock.now += 1
        with timer.phase("ref") as ref:
            clock.now += 10
            ref.tokens += 3
        clock.now += 2
    clock.now += 50  # belongs to no phase
    costs = timer.to_json()
    assert (costs["update"]["seconds"], costs["ref"]["seconds"]) == (3, 10)
    assert (costs["update"]["tokens"], costs["ref"]["tokens"]) == (7, 3)
    assert timer.seconds == 13
    assert costs["update"]["peak_allocated"] is None


def test_a_block_that_raises_is_counted_and_closed():
    clock = Clock()
    timer = PhaseTimer(clock=clock)
    with pytest.raises(KeyError), timer.phase("reward"):
        clock.now += 4
        raise KeyError
    clock.now += 100
    with timer.phase("old"):
        clock.now += 1
    assert {name: cost["seconds"] for name, cost in timer.to_json().items()} == {"reward": 4, "old": 1}


@st.composite
def nested(draw, depth=3):
    inner = st.just([]) if depth == 0 else st.lists(nested(depth=depth - 1), max_size=3)
    return draw(st.sampled_from(PHASES)), draw(st.integers(0, 5)), draw(st.integers(0, 9)), draw(inner)


def play(timer, clock, node, expected):
    name, seconds, tokens, inner = node
    with timer.phase(name, tokens=tokens):
        clock.now += seconds
        for child in inner:
            play(timer, clock, child, expected)
    total = expected.setdefault(name, [0, 0, 0])
    for index, value in enumerate((seconds, tokens, 1)):
        total[index] += value


@given(st.lists(nested(), max_size=4), st.integers(0, 4))
def test_every_second_once_and_resumes_add_up(nodes, cut):
    expected, whole = {}, None
    for part in (nodes[:cut], nodes[cut:]):
        clock = Clock()
        timer = PhaseTimer(clock=clock)
        if whole is not None:
            timer.load_json(json.loads(json.dumps(whole)))
        for node in part:
            play(timer, clock, node, expected)
        whole = timer.to_json()
    assert {name: [c["seconds"], c["tokens"], c["calls"]] for name, c in whole.items()} == expected
    assert list(whole) == [name for name in PHASES if name in expected]


def test_load_json_takes_the_larger_peak_and_refuses_what_is_no_cost():
    timer = PhaseTimer()
    cost = {"seconds": 1.0, "tokens": 2, "calls": 1, "peak_allocated": 5, "peak_reserved": None}
    timer.load_json({"old": cost})
    timer.load_json({"old": {**cost, "peak_allocated": 3, "peak_reserved": 8}})
    assert timer.to_json()["old"] == {
        "seconds": 2.0, "tokens": 4, "calls": 2, "peak_allocated": 5, "peak_reserved": 8,
        "flops": 0.0, "host_rss": None,  # records from before these two fields are read as well
    }  # fmt: skip
    timer.load_json({"old": {**cost, "flops": 3e9, "host_rss": 70}})
    timer.load_json({"old": {**cost, "flops": 1e9, "host_rss": 60}})
    assert (timer.to_json()["old"]["flops"], timer.to_json()["old"]["host_rss"]) == (4e9, 70)
    for wrong in ({"rollout": cost}, {"old": {"minutes": 1}}):
        with pytest.raises(ValueError):
            timer.load_json(wrong)


class FakeCuda:
    """A device whose memory is what the test says; the peak falls to the current amount when it is reset."""

    def __init__(self):
        self.now = self.peak = 0
        self.synchronised = 0

    def use(self, amount):
        self.now = amount
        self.peak = max(self.peak, amount)

    def synchronize(self, device):
        self.synchronised += 1

    def max_memory_allocated(self, device):
        return self.peak

    def max_memory_reserved(self, device):
        return self.peak + 1000

    def reset_peak_memory_stats(self, device):
        self.peak = self.now


def test_cuda_peaks_belong_to_the_phase_in_which_they_happened(monkeypatch):
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    timer = PhaseTimer("cuda:0")
    cuda.use(900)
    cuda.use(10)  # before any phase
    with timer.phase("update"):
        cuda.use(50)
        cuda.use(20)
        with timer.phase("ref"):
            cuda.use(300)
            cuda.use(20)
        cuda.use(30)
    costs = timer.to_json()
    assert (costs["update"]["peak_allocated"], costs["ref"]["peak_allocated"]) == (50, 300)
    assert (costs["update"]["peak_reserved"], costs["ref"]["peak_reserved"]) == (1050, 1300)
    assert cuda.synchronised == 4


def test_resident_memory_is_seen_at_the_borders_of_a_phase(monkeypatch):
    sizes = iter([10, 50, 20, 90, 40])
    monkeypatch.setattr(phases, "resident", lambda: next(sizes))
    timer = PhaseTimer()
    with timer.phase("update"):  # 10 on entry
        with timer.phase("ref"):  # 50 before, 20 on entry, 90 after
            pass
    costs = timer.to_json()
    assert (costs["update"]["host_rss"], costs["ref"]["host_rss"]) == (50, 90)


def test_resident_memory_is_that_of_the_process():
    before = phases.resident()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert phases.resident() - before > 48 << 20
    assert phases.resident() <= peak_host_rss() * 1.05


def test_resident_memory_is_none_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *args: (_ for _ in ()).throw(FileNotFoundError()))
    assert phases.resident() is None


def test_no_cuda_call_on_a_cpu(monkeypatch):
    class Refuses:
        def __getattr__(self, name):
            raise AssertionError(f"torch.cuda.{name} was used")

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=Refuses()))
    timer = PhaseTimer("cpu")
    with timer.phase("generate"):
        pass
    assert timer.to_json()["generate"]["peak_reserved"] is None


def test_host_memory_and_machine():
    before = peak_host_rss()
    block = b"x" * (64 << 20)
    assert peak_host_rss() >= max(before, len(block))
    facts = machine()
    assert facts["cores"] >= 1 and facts["memory"] > 1 << 28
    assert facts["memory_limit"] is None or facts["memory_limit"] > 0
