"""What a plug-in may be called: its name is also the arm's, in ids, file names and `--set`."""

from __future__ import annotations

import re

from repro.errors import InputError

LONGEST = 40
# What arms of an experiment, records, --arms and --set mean something else by.
RESERVED = {"none", "base", "all", "core", "timing", "plan", "method", "train", "evaluation"}
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def check_name(name: object, where: str) -> None:
    """InputError unless `name` can name a plug-in; `where` says whose name it is."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise InputError(
            f"{where}: {name!r} cannot be a name: use lower-case letters, digits and single _ or - between them, "
            f"a letter first, at most {LONGEST}"
        )
    if name in RESERVED:
        raise InputError(f"{where}: the name {name!r} means something else here: choose another")
    if name.endswith("-v"):
        raise InputError(f"{where}: {name!r}: names that end with -v are the verified forms of built-in methods")
