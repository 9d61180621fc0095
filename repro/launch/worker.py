"""One trial in this process, its events as JSON lines: `python -m repro.launch.worker trial.json --root runs`.

This is what `torch.distributed.run` starts once per GPU. Only rank 0 reports. The caller holds the trial's lock.
`--events` names a FIFO, a file, or an inherited descriptor as /dev/fd/N; without it events go to standard output.
Exit codes: 0 the trial has its record, 1 it failed (the last event says why), 2 the trial file cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from repro.launch.execute import RUNNER, run_one
from repro.launch.process import DEFAULTS, FORCED, die_with_parent, keep_freed_memory, one_thread


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m repro.launch.worker", description="Run one trial.")
    parser.add_argument("trial", type=Path, help="file with the trial's config as JSON")
    parser.add_argument("--root", type=Path, required=True, help="the workspace")
    parser.add_argument("--data-dir", type=Path, help="folder with the data files")
    parser.add_argument("--events", type=Path, help="where to write events, one JSON object a line")
    parser.add_argument("--runner", default=RUNNER, help="function that runs a trial, as module:name")
    options = parser.parse_args(arguments)
    try:
        config = json.loads(options.trial.read_text())
    except (OSError, ValueError) as error:
        print(f"cannot read the trial file {options.trial}: {error}", file=sys.stderr)
        return 2
    os.environ.update({**DEFAULTS, **os.environ, **FORCED})
    die_with_parent()
    keep_freed_memory()
    one_thread()
    chief = int(os.environ.get("RANK", "0")) == 0
    # A descriptor of its own: what the runner prints must not mix with the events.
    target = os.open(options.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if options.events else os.dup(1)
    with os.fdopen(target, "w", buffering=1) as stream:

        def send(event: dict) -> None:
            if chief:
                stream.write(json.dumps(event, default=float) + "\n")

        return 1 if run_one(config, options.root, options.data_dir, options.runner, send) == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
