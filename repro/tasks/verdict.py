"""The verdict turn: what a model is shown after a solution when it is asked whether the solution is correct.

The turn follows the end token of the solution in the same text; the verdict is one token. Sources: the wording is that
of RL^V's Figure 3 (arXiv 2505.04842; the final punctuation is not confirmed), as a new user turn as in the authors'
later code. Micro models have one symbol each for the question and the two verdicts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from repro.errors import InputError


@dataclass(frozen=True)
class Verdict:
    """`turn` is appended to prompt + completion + end token; then `yes` or `no` follows as one token."""

    turn: str
    yes: str
    no: str

    @property
    def sha256(self) -> str:
        """Hash of every field."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


_QUESTION = "Is this solution correct? Answer Yes or No"

_CHATML = Verdict(f"\n<|im_start|>user\n{_QUESTION}<|im_end|>\n<|im_start|>assistant\n", "Yes", "No")
# By the name of the prompt template: the turn must continue the same conversation.
VERDICTS = {
    "micro": Verdict("?", "Y", "N"),
    "qwen-math": _CHATML,
    "qwen-code": _CHATML,
    "r1": Verdict(f"\nUser: {_QUESTION}\nAssistant:", " Yes", " No"),
    "plain": Verdict(f"\n{_QUESTION}\nAnswer:", " Yes", " No"),
    "plain-code": Verdict(f"\n{_QUESTION}\nAnswer:", " Yes", " No"),
}


def get(template: str) -> Verdict:
    """The verdict turn that goes with a prompt template; InputError if the template has none."""
    if template not in VERDICTS:
        raise InputError(f"template {template!r} has no verdict turn: use one of {', '.join(VERDICTS)}")
    return VERDICTS[template]


@dataclass(frozen=True)
class VerdictTokens:
    """A verdict turn as token ids. `end` closes a solution that was cut off before its own end token."""

    turn: tuple[int, ...]
    yes: int
    no: int
    end: int

    @property
    def width(self) -> int:
        """Tokens that a verdict adds to a row: end token (only if it is missing), turn, verdict."""
        return len(self.turn) + 2


def tokens(verdict: Verdict, tokenizer, ends) -> VerdictTokens:
    """The turn in ids of `tokenizer`; `ends` are the ids that end a completion, the first one closes a cut-off one.

    Raises InputError when the tokenizer has no single token for a verdict, or cannot write the turn.
    """
    turn = tokenizer(verdict.turn, add_special_tokens=False)["input_ids"]
    single = {}
    for word in (verdict.yes, verdict.no):
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise InputError(
                f"verification needs one token for {word!r}, and this tokenizer has none; use another model or task"
            )
        single[word] = ids[0]
    if single[verdict.yes] == single[verdict.no] or not turn or tokenizer.unk_token_id in turn:
        raise InputError(
            f"verification: this tokenizer cannot write the verdict turn {verdict.turn!r}; use another model"
        )
    return VerdictTokens(tuple(turn), single[verdict.yes], single[verdict.no], ends[0])
