"""A plain LaTeX table with booktabs, for what stands beside the main one."""

from __future__ import annotations

from collections.abc import Sequence

from repro.report.format import tex


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, words: int = 1) -> str:
    """A `table*`; the first `words` columns are left-aligned text. A rule parts the blocks of equal first cells."""
    lines = [
        "% Needs \\usepackage{booktabs,graphicx}.",
        "\\begin{table*}[t]",
        "\\centering",
        f"\\caption{{{tex(caption)}}}",
        f"\\label{{tab:{label.replace('@', '-')}}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{'l' * words}{'r' * (len(header) - words)}}}",
        "\\toprule",
        " & ".join(stacked(cell) for cell in header) + " \\\\",
        "\\midrule",
    ]
    repeats = words > 1
    for number, row in enumerate(rows):
        same = repeats and number > 0 and rows[number - 1][0] == row[0]
        if repeats and number > 0 and not same:
            lines.append("\\addlinespace")
        lines.append(" & ".join(["" if same else tex(row[0]), *map(tex, row[1:])]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}%", "}", "\\end{table*}"]
    return "\n".join(lines) + "\n"


def stacked(heading: str) -> str:
    """A heading in two lines where it has a comma."""
    parts = [tex(part) for part in heading.split(", ")]
    return parts[0] if len(parts) == 1 else "\\shortstack[r]{" + " \\\\ ".join(parts) + "}"
