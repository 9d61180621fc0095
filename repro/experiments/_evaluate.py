"""The experiment of `repro evaluate`, as data: a table of checkpoints from anywhere on one task, and no claim.

Its task, its models and so its arms are named on the command line: `repro.experiments.evaluation` fills them in. Every
way of asking (task, split, samples, lengths …) is a variant with a table of its own.
"""

from repro.experiments.types import Experiment, ScaleSettings

NAME = "evaluate"
MAX_PROMPT = 2048  # tokens; a longer prompt is refused, never cut
GENERATED_COMPLETION = 64  # tokens: answers to generated tasks are short at every scale


def _scale(samples: int, completion: int, questions: int | None = None) -> ScaleSettings:
    """`completion`: tokens of an answer to a real task."""
    return ScaleSettings(
        task={"name": "--task", "options": {}},
        base={"kind": "folder", "path": "--model"},
        seeds=1,
        train={"max_prompt": MAX_PROMPT},
        evaluation={
            "sets": [{"split": "test", "questions": questions, "n": samples, "temperature": 1.0}],
            "max_completion": completion,
        },
    )


EVALUATE = Experiment(
    id=NAME,
    title="Evaluation of checkpoints",
    paper="",
    summary="Checkpoints as they are, with the evaluation that every trial of the suite ends with. No claim.",
    arms=(),
    metrics=("accuracy", "greedy", "truncated", "unparsed"),
    claims=(),
    ledger=(),
    # As the smoke twins, as micro runs on a real task, and as table1 at its two large scales.
    scales={
        "smoke": _scale(2, 32, questions=8),
        "micro": _scale(8, 256),
        "small": _scale(4, 512),
        "paper": _scale(32, 2048),
    },
)
