"""Numbers and tables as text, stable byte for byte: fixed digits, no dates, one spelling of "missing"."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from repro.store.files import write_whole

MISSING = "–"


def fixed(value: float | None, digits: int = 2) -> str:
    """`value` with a fixed number of decimals; missing or not finite prints as a dash; never "-0.0"."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and float(text) == 0 else text


def percent(value: float | None, digits: int = 1) -> str:
    """A rate in [0, 1] as percent, without the sign %."""
    return fixed(None if value is None else 100 * value, digits)


def percent_interval(mean: float | None, lo: float | None, hi: float | None, digits: int = 1) -> str:
    """Mean and half-width of the interval in percent: `56.3 ± 1.8`; the mean alone without an interval."""
    if mean is None or lo is None or hi is None:
        return percent(mean, digits)
    return f"{percent(mean, digits)} ± {percent((hi - lo) / 2, digits)}"


def chance(value: float | None) -> str:
    """A share of random draws with two decimals: it is never certain, so `<0.01` and `>0.99` at the ends."""
    if value is None:
        return MISSING
    return "<0.01" if value < 0.01 else ">0.99" if value > 0.99 else f"{value:.2f}"


def signed(value: float | None, digits: int = 2) -> str:
    """As `fixed`, with a plus sign before positive values."""
    text = fixed(value, digits)
    return text if value is None or text == MISSING or text.startswith("-") or float(text) == 0 else f"+{text}"


def seconds(value: float | None) -> str:
    """Three significant digits with a unit: `840 ms`, `1.75 s`, `2.4 min`, `3.1 h`."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 0.9995:
        return f"{_three(value * 1000)} ms"
    if value < 99.95:
        return f"{_three(value)} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def size(value: float | None) -> str:
    """Bytes in MiB or GiB: `46.2 MiB`, `12.60 GiB`."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value / 2**20:.1f} MiB" if value < 2**30 else f"{value / 2**30:.2f} GiB"


def count(value: float | None) -> str:
    """A whole number with thin thousands: `7,680`."""
    return MISSING if value is None else f"{round(value):,}"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> str:
    """A pipe table; columns from `numbers_from` on are right-aligned. Cells are escaped to stay one line."""
    marks = ["---" if i < numbers_from else "---:" for i in range(len(header))]
    lines = [list(header), marks, *rows]
    return "\n".join("| " + " | ".join(c if line is marks else _cell(c) for c in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "×": r"$\times$", "−": r"$-$", "≥": r"$\geq$", "≤": r"$\leq$",
}  # fmt: skip


def tex(text: str) -> str:
    """Plain text escaped for LaTeX, on one line; characters outside ASCII that have no rule become `?`."""
    out = "".join(_TEX.get(c, c if c.isascii() else "?") for c in str(text))
    return " ".join(out.split())


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma-separated, `\\n` line ends, floats with full precision (`repr`), missing as an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in row])
    return buffer.getvalue()


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all, in UTF-8. A folder that cannot be written: `InputError` naming it."""
    return write_whole(path, text.encode("utf-8", "backslashreplace"))
