"""`repro report --html` over 100 to 100,000 records in a fresh process, and how long its pages take to open.

`pytest benchmarks/bench_html.py -s`; `REPRO_BENCH_RECORDS` bounds the number of records, whose making takes minutes.
They belong to five experiments; tables and figures are there already, as `repro run` leaves them. Reported: processor
seconds, peak memory, bytes written; and from each size to the next, what one more record costs, over the same at the
smallest sizes (`growth`, fails above 1.5: linear or better). The goals, memory and pages, are about 10,000 records.
"""

import copy
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import repro
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.store.key import content_hash
from repro.store.record import expected_id
from repro.store.records import encode_record, record_path
from repro.store.workspace import Workspace

TABLE1 = registry.get("table1")
ARMS = ("base", "ppo-n1", "tbrm-n1", "grpo-n4", "tbrm-n4", "brm-n1", "rloo-n4", "grpo-n4-nostd")
VARIANTS = (None, "0000000a", "0000000b", "0000000c", "0000000d")
MOST = int(os.environ.get("REPRO_BENCH_RECORDS", "100000"))
GOAL = min(10_000, MOST)
SIZES = [size for size in (100, 1_000, 10_000, 100_000) if size <= MOST]
QUESTIONS, SAMPLES, STORED = 256, 8, 16
GIB = 1 << 30


def make(root: Path, count: int) -> None:
    """`count` records: five experiment ids x 4 or 8 arms x as many seeds as it takes."""
    workspace = Workspace(root).prepare()
    arms = ARMS[:4] if count == SIZES[0] else ARMS
    rng = np.random.default_rng(0)
    for variant in VARIANTS:
        for arm in arms:
            whole = record(resolve(TABLE1, "micro", arm, 0, variant=variant))
            for seed in range(count // len(VARIANTS) // len(arms)):
                store(workspace, whole, seed, rng)
        name = "table1" + (f"@{variant}" if variant else "")
        for path in (workspace.tables / f"{name}.csv", workspace.figures / f"{name}_curves.svg"):
            path.parent.mkdir(exist_ok=True)
            path.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 504 252"/>')


def record(config) -> dict:
    """A record of usual size; the numbers are made up."""
    questions = [f"{i}+{i % 7}-{i % 13}=" for i in range(QUESTIONS)]
    point = dict.fromkeys(
        ("reward", "truncated", "unparsed", "entropy", "kl", "grad_norm", "loss", "length"), 0.1234567
    )
    sample = {"set": "chain", "prompt": "3+4-5=", "completion": "7;2;#2", "gold": "2", "outcome": "c"}
    metrics = ("accuracy", "greedy", "truncated", "unparsed", "pass@1", "pass@2", "pass@4", "pass@8")
    return {
        "schema": 1, "kind": "trial", "experiment": "table1", "scale": "micro", "variant": config.variant,
        "arm": config.arm, "status": "done", "error": None, "config": config.to_json(), "base": {}, "data": [],
        "hashes": {"base": "b", "prompts": {"test": "t"}, "template": "x"},
        "metrics": {f"chain/{name}": 0.5 for name in metrics},
        "outcomes": {"chain": {"questions": questions, "levels": ["2"] * QUESTIONS, "greedy": "cw" * (QUESTIONS // 2)}},
        "curve": [{"step": s, "completions": s, "prompts": s, "updates": s, "dev_accuracy": 0.5} for s in range(6)],
        "health": [{"step": step, "zero_variance_groups": None, "clip_fraction": None, **point} for step in range(60)],
        "samples": [{**sample, "question": question} for question in questions[:STORED]],
        "cost": {"phases": {}, "train_seconds": 60.0, "evaluate_seconds": 5.0, "completions": 7680, "prompts": 7680,
                 "updates": 60, "predicted_peak": None, "host_rss": 0, "resumed": 0},
        "provenance": {"measured_on": "nothing", "command": "repro run table1", "dirty": False, "finished": "2030"},
    }  # fmt: skip


def store(workspace: Workspace, whole: dict, seed: int, rng: np.random.Generator) -> None:
    one = copy.copy(whole)
    one["config"] = {**whole["config"], "seed": seed}
    letters = np.where(rng.random((QUESTIONS, SAMPLES)) < 0.6, "c", "w").view(f"U{SAMPLES}").ravel().tolist()
    one["outcomes"] = {"chain": {**whole["outcomes"]["chain"], "samples": letters}}
    one.update(seed=seed, key=content_hash(one["config"]), id=expected_id({**one, "seed": seed}))
    path = record_path(workspace, one)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_record(one))


def report(root: Path) -> dict[str, float]:
    """Run the command by itself; processor seconds, peak bytes and bytes written."""
    words = ["report", "table1", "table1@*", "--html", "--root", str(root), "--out", str(root / "html")]
    program = "import sys; from repro.cli import report; report.published_bundles = dict; from repro.cli.main import main; sys.exit(main(sys.argv[1:]))"  # fmt: skip  # noqa: E501
    environment = {**os.environ, "PYTHONPATH": str(Path(repro.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program, *words], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return {
        "wall_seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "written_bytes": sum(path.stat().st_size for path in (root / "html").rglob("*") if path.is_file()),
    }


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory):
    roots = {count: tmp_path_factory.mktemp(f"runs{count}") for count in SIZES}
    for count, root in roots.items():
        make(root, count)
    return roots


def test_report(benchmark, workspaces):
    found = {count: report(root) for count, root in workspaces.items() if count != GOAL}
    found[GOAL] = benchmark.pedantic(report, args=(workspaces[GOAL],), rounds=1)
    steps = list(zip(SIZES, SIZES[1:], strict=False))
    each = [(found[b]["processor_seconds"] - found[a]["processor_seconds"]) / (b - a) for a, b in steps]
    growth = [one / each[0] for one in each]
    benchmark.extra_info["growth"] = [round(one, 2) for one in growth]
    for count, numbers in found.items():
        benchmark.extra_info[str(count)] = {name: round(value, 2) for name, value in numbers.items()}
    print(benchmark.extra_info)
    assert max(growth) < 1.5
    assert found[GOAL]["peak_bytes"] < GIB


def test_pages_open(benchmark, workspaces):
    """Seconds until a page and its table are there: the claims, and two arms side by side, 10,000 records behind."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright and Chromium")
    root = workspaces[GOAL]
    if not (root / "html").is_dir():
        report(root)
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        page = browser.new_page()

        def both() -> dict[str, float]:
            seconds = {}
            for name, ready in (("index.html", "#claims-table button"), ("questions.html", "#place tbody tr")):
                page.goto("about:blank")
                start = time.perf_counter()
                page.goto(f"file://{root}/html/{name}")
                page.wait_for_selector(ready)
                seconds[name] = round(time.perf_counter() - start, 3)
            return seconds

        both()  # the first page of a browser pays for its start
        benchmark.extra_info.update(benchmark.pedantic(both, rounds=1))
        print(benchmark.extra_info)
        browser.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
    print(report(Path(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
