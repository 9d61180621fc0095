"""Whether a program printed what was expected: a pure function, run outside the sandbox."""

from __future__ import annotations


def same_output(printed: str, expected: str) -> bool:
    r"""Whether both texts have the same tokens line by line.

    The rule: a line is split into tokens at white space, and lines without tokens are left out. The texts agree if
    the remaining lines are as many and hold the same tokens in the same order. Tokens are equal as text, letter case
    included, so `1.0` is not `1` and `YES` is not `Yes`.

    Not covered: problems with several right answers or a tolerance on numbers; they need a judge of their own.
    """
    return normal(printed) == normal(expected)


def normal(text: str) -> str:
    """The text with one space between the tokens of a line and without empty lines: equal for texts that agree."""
    # Only "\n" ends a line: str.splitlines would also cut at form feeds and the like.
    return "\n".join(" ".join(tokens) for tokens in map(str.split, text.split("\n")) if tokens)
