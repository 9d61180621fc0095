"""`repro`: every claim of a set of RL-for-reasoning papers as a registered, re-runnable experiment."""

__version__ = "0.1.0"
