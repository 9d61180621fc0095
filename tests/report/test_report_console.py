"""The terminal view: fills seed by seed, shows failures, and never reads data as markup."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from repro.report.build import compile_report
from repro.report.console import final, live_table

from . import synthetic as S


def shown(renderable, width=160) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))
    console.print(renderable)
    return console.export_text()


def test_the_live_table_fills_as_trials_finish():
    arms, seeds = S.ARMS, range(3)
    empty = shown(live_table(S.experiment(), [], arms, seeds))
    assert all(name in empty for name in S.DISPLAY.values()) and "." not in empty.split("seed 2")[1]
    records = [*S.records(["base"], range(3)), S.trial("ppo-n1", 0), S.failed("ppo-n1", 1)]
    text = shown(
        live_table(S.experiment(), records, arms, seeds, {"ppo-n1/seed2": "step 13/60", "tbrm-n1/seed0": "[bold]x"})
    )
    line = next(line for line in text.splitlines() if "PPO n=1" in line)
    assert f"{100 * records[3]['metrics']['chain/accuracy']:.1f}" in line and "failed" in line and "step 13/60" in line
    assert "[bold]x" in text
    assert "BRM n=4" not in shown(live_table(S.experiment(), records, ["base"], seeds)).replace("TBRM", "")


def test_a_retried_trial_shows_as_running_and_not_as_failed():
    text = shown(live_table(S.experiment(), [S.failed("ppo-n1", 0)], S.ARMS, [0], {"ppo-n1/seed0": "step 1/60"}))
    assert "step 1/60" in text and "failed" not in text


def test_the_final_view_has_numbers_verdicts_and_troubles():
    records = [*S.records(["base", "tbrm-n1", "grpo-n4", "tbrm-n4"]), S.failed("ppo-n1", 0, step=9)]
    found = compile_report(S.experiment(), records, S.timing())
    text = shown(final(found))
    assert "table1: TBRM against PPO and GRPO (scale: micro)" in text
    assert "PPO n=1: failed at step 9 (seed 0: loss is NaN)" in text
    assert "Peak memory" in text and "(predicted)" in text
    for verdict in found.verdicts:
        assert verdict.claim.id in text and verdict.result.verdict in text


def test_it_fits_a_terminal_of_eighty_columns():
    text = shown(final(compile_report(S.experiment(), S.records(), S.timing())), width=80)
    assert max(map(len, text.splitlines())) <= 80


def test_reports_need_neither_torch_nor_pandas():
    code = (
        "import sys, repro.report, repro.report.console, repro.report.compare, repro.report.bars, repro.report.curves\n"
        "print([m for m in ('torch', 'pandas', 'transformers', 'trl', 'scipy') if m in sys.modules])"
    )
    repository = str(Path(__file__).parents[2])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert result.stdout.strip() == "[]"
