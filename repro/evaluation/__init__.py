"""Estimators over answer outcomes; importing them loads numpy and nothing heavier.

`metrics` and `pass_at_k` work on outcome letters; `voting` holds the voting rules, `scaling` their accuracy against the
number of samples, `verifier` the quality of verifier scores, and `entry` what a record stores of the last two.
"""

from repro.evaluation.metrics import correct_matrix, summarize
from repro.evaluation.pass_at_k import pass_at_k

__all__ = ["correct_matrix", "pass_at_k", "summarize"]
