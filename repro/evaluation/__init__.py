"""Estimators over answer outcomes; importing them loads numpy and nothing heavier."""

from repro.evaluation.metrics import correct_matrix, summarize
from repro.evaluation.pass_at_k import pass_at_k

__all__ = ["correct_matrix", "pass_at_k", "summarize"]
