"""Answer checking: strict numbers in this process, symbolic answers in killable workers; three-valued."""

from repro.tasks.answers.numeric import (
    check_last_number,
    check_number,
    check_numeric,
    extract_number,
    parse_number,
    spell,
)
from repro.tasks.answers.symbolic import (
    check_by_math_verify,
    check_symbolic,
    check_symbolic_many,
    voting_form,
)

__all__ = [
    "check_by_math_verify", "check_last_number",
    "check_number", "check_numeric", "check_symbolic", "check_symbolic_many", "extract_number", "parse_number", "spell",
    "voting_form",
]  # fmt: skip
