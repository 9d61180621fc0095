"""`python -m repro.cli` is the same as the command `repro`."""

import sys

from repro.cli.main import main

sys.exit(main())
