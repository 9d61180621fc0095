"""The command `repro` with the experiments of `plugged_in` added: `python entry.py run drill …`."""

import sys
from pathlib import Path

import repro.experiments

repro.experiments.__path__.append(str(Path(__file__).with_name("plugged_in")))

if __name__ == "__main__":
    from repro.cli.main import main

    sys.exit(main())
