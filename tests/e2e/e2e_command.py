"""The command line in a process of its own, as a user starts it; kills it; and compares what two runs leave behind."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

import repro
from repro.store.files import TEMPORARY
from repro.store.key import canonical
from repro.store.record import strip_measured
from repro.store.records import load_records
from repro.store.workspace import Workspace

ENTRY = Path(__file__).with_name("entry.py")
DRILL = ["run", "drill", "--jobs", "2"]
PATIENCE = 600.0  # seconds; far above what any of these runs takes


class Command:
    """`repro <words>` in a session of its own. Output goes to files, so that a killed process leaves no open pipe."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str] | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.out, self.err = folder / "stdout.txt", folder / "stderr.txt"
        source = str(Path(repro.__file__).parents[1])
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(ENTRY), *map(str, words)],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                # A test run started in the background of a shell ignores Ctrl-C, and would hand that on.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                cwd=folder,
                # Real data only where a test names the folder; later tests still find it in this process's environment.
                env={
                    **{name: value for name, value in os.environ.items() if name != "REPRO_DATA_DIR"},
                    "PYTHONPATH": source,
                    "OMP_NUM_THREADS": "1",
                    **(environment or {}),
                },
            )

    def wait(self, patience: float = PATIENCE) -> int:
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {patience} s: {self.error}") from None

    @property
    def error(self) -> str:
        return self.err.read_text()

    def until(self, moment: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait for `moment`; the command must still be running then."""
        deadline = time.monotonic() + patience
        while not moment():
            assert self.process.poll() is None, f"ended before the moment came: {self.error}"
            assert time.monotonic() < deadline, f"the moment never came: {self.error}"
            time.sleep(0.005)

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kill(self, everything: bool = False) -> None:
        """SIGKILL the process group, as a closing terminal or a batch system does; with `everything`, the workers too.

        Workers lead groups of their own. They must end by themselves, and this waits until they have.
        """
        family = self.workers()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in family if everything else ():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
        for process in alive:
            process.kill()
        assert not alive, f"outlived the killed command: {alive}"


def run(words: list[str], folder: Path, expect: int = 0, environment: dict[str, str] | None = None) -> Command:
    """Run to the end; the exit code must be `expect`, and nobody may ever see a traceback."""
    command = Command(words, folder, environment)
    code = command.wait()
    assert code == expect, f"exit code {code}, not {expect}: {command.error}"
    assert "Traceback" not in command.error + command.out.read_text(), command.error
    return command


def batches_done(root: Path) -> int:
    """The most generation batches that any unfinished trial has in a whole checkpoint."""
    import json

    from repro.training.checkpoints import MANIFEST, STATE

    most = 0
    for manifest in (root / "checkpoints").glob(f"*/checkpoint-*/{MANIFEST}"):
        with contextlib.suppress(OSError, ValueError):  # it may be pruned at this moment
            most = max(most, len(json.loads(manifest.with_name(STATE).read_text())["health"]))
    return most


# -- what a run leaves behind ------------------------------------------------------------------------------------------


def left_behind(root: Path) -> dict[str, bytes | str]:
    """Everything a run must reproduce: records without what is measured, tables with the measured cells masked, and
    the figures and their data but for the one of costs."""
    records, problems = load_records(Workspace(root))
    assert not problems, problems
    found: dict[str, bytes | str] = {}
    for record in records:
        if record["kind"] == "trial":
            found[f"{record['id']}.json"] = canonical(strip_measured(record))
            counts = ("completions", "prompts", "updates", "predicted_peak")
            found[f"{record['id']}.counts"] = canonical({name: record["cost"][name] for name in counts})
    # A writer that was killed may leave the temporary file that it was writing; nothing reads it.
    for path in _visible(root / "paper_tables"):
        text = path.read_text()
        found[path.name] = masked_csv(text) if path.suffix == ".csv" else masked_cells(text)
    for path in _visible(root / "figures"):
        if "_cost." not in path.name:
            found[path.name] = path.read_bytes()
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(TEMPORARY))


def masked_csv(text: str) -> str:
    """The table with the columns of measured seconds and bytes masked."""
    header, *rows = csv.reader(io.StringIO(text))
    measured = [i for i, name in enumerate(header) if "seconds" in name or name == "measured_peak_bytes"]
    for row in rows:
        for index in measured:
            row[index] = "*"
    return "\n".join(",".join(row) for row in [header, *rows])


def masked_cells(text: str) -> str:
    """A Markdown or LaTeX text with the cells under a heading of measured seconds or bytes masked."""
    lines = []
    measured: list[int] = []
    for line in text.splitlines():
        cells = re.split(r" (?:&|\|) ", line)
        here = [i for i, cell in enumerate(cells) if re.search(r"Time/step|Training time|measured\)?$", cell)]
        if len(here) > 1:
            measured = here
        elif not line or "bottomrule" in line:
            measured = []
        elif measured and len(cells) > measured[-1]:
            cells = ["*" if i in measured else cell for i, cell in enumerate(cells)]
        lines.append(" | ".join(cells))
    return "\n".join(lines)


def assert_same(found: dict[str, bytes | str], expected: dict[str, bytes | str]) -> None:
    assert set(found) == set(expected)
    different = [name for name in expected if found[name] != expected[name]]
    assert not different, f"differ from an uninterrupted run: {different}"
