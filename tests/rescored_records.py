"""Finished trials of table1 on its real questions, with completions made up for each outcome. Nothing is measured."""

from __future__ import annotations

import dataclasses

from leaderboard_records import trial

from repro import tasks
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.store.key import trial_key
from repro.tasks.task import prompts_sha256

QUESTIONS = 4
# Written for the gold answer; what chain's own checker says of it, and what the lenient reading says.
MADE_UP = (("{gold};#{gold}", "c", "c"), ("#{gold} or so", "u", "c"), ("#{gold}+{gold}1", "u", "w"), ("#x", "u", "u"))


def rescored_trial(arm: str = "base", seed: int = 0, made_up=MADE_UP, lenient: bool = True, **changes) -> dict:
    """One completion per question in the order of `made_up`: (text, letter in the record, anything)."""
    config = resolve(registry.get("table1"), "micro", arm, seed)
    (item,) = config.evaluation.sets
    item = dataclasses.replace(item, questions=QUESTIONS, n=2, greedy=False, lenient=lenient)
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, sets=(item,)))
    prompts = tasks.load("chain", config.task["options"]).prompts("test", QUESTIONS)
    hashes = {"base": "b" * 64, "prompts": {"chain": prompts_sha256(prompts)}, "template": "e" * 64}
    letters = [letter for _, letter, _ in made_up]
    entry = {
        "questions": [prompt.source_id for prompt in prompts], "levels": [prompt.level for prompt in prompts],
        "samples": [f"{letter}w" for letter in letters], "greedy": None,
    }  # fmt: skip
    entry |= {"lenient": [2, 2, 0, 0]} if lenient else {}
    samples = [
        {"set": "chain", "question": one.source_id, "prompt": one.question, "gold": one.answer, "outcome": letter,
         "completion": text.format(gold=one.answer)}
        for one, (text, letter, _) in zip(prompts, made_up, strict=True)
    ]  # fmt: skip
    return trial(arm, seed) | {
        "config": config.to_json(), "hashes": hashes, "key": trial_key(config, hashes), "outcomes": {"chain": entry},
        "metrics": {"chain/accuracy": 0.125}, "samples": samples, **changes,
    }  # fmt: skip
