"""The claims of table5 and table5-svamp: token-efficient RL (arXiv 2504.20834, C…) and KRPO (2505.07527, K…).

Of the papers' results only thresholds and directions are known. T-SPMO is a reconstruction: its claims are about the
reconstruction. What no paper says but a reviewer would ask stands beside the claim that it checks, and says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from repro.experiments.types import Claim, Floor

TASKS = {"words": "word problems", "mult": "multiplication"}
MEMORY = "1.5B"  # name of the planned rows
_ASKED = "Nothing: the comparison is ours."
_ABSTRACT = "[paper] abstract"
_FIRST = "[paper] abstract of version 1"
_GAIN = "A threshold for Qwen2-1.5B on SVAMP (46 % to over 70 %); the numbers themselves are not known."
_FOLLOWS = "Follows from C2 to C4; the authors are said to warn against reading it so."
_DIRECTION = "Qualitative: no number is known."


def _claim(id: str, sentence: str, arm: str, against: str, **changes: Any) -> Claim:
    values = {
        "paper": "token_efficient",
        "evidence": _ABSTRACT,
        "kind": "direction",
        "metric": "accuracy",
        "contrast": "difference",
        "better": "higher",
        "margin": 0.0,
        "paper_supports": _DIRECTION,
    }
    return Claim(id=id, sentence=sentence, arm=arm, against=against, **(values | changes))


def _names(task: str) -> tuple[str, str, str]:
    """Ending of ids, prefix of arms, and words of one task; no task where the experiment has one only."""
    return (f"-{task}", f"{task}-", f" ({TASKS[task]})") if task else ("", "", "")


def selection_claims(task: str, floor: Floor | None = None) -> tuple[Claim, ...]:
    """What every task tests on its core arms."""
    end, pre, where = _names(task)
    gain = _GAIN if task != "mult" else _DIRECTION
    s, t, grpo, base = f"{pre}sgrpo", f"{pre}tspmo", f"{pre}grpo", f"{pre}base"
    two = (("C2", s, "S-GRPO"), ("C3" if task != "mult" else "C5", t, "T-SPMO (reconstruction)"))
    claims = [
        _claim(
            f"C4-base{end}",
            f"Full-token GRPO under LoRA does not improve on the base{where}.",
            base,
            grpo,
            kind="non-inferior",
            margin=0.01,
            evidence=_FIRST,
        ),
    ]
    for id, arm, name in two:
        claims += [
            _claim(
                f"{id}-base{end}", f"{name} under LoRA improves on the base{where}.", arm, base, paper_supports=gain
            ),
            _claim(
                f"{id}-grpo{end}",
                f"{name} under LoRA is better than full-token GRPO{where}.",
                arm,
                grpo,
                evidence=_FIRST,
                paper_supports=_FOLLOWS,
            ),
        ]
    for id, arm, name in two:
        claims.append(
            _claim(
                f"C8-{id}{end}",
                f"{name} over-fits less than full-token GRPO: a smaller gap between training and test accuracy{where}.",
                arm,
                grpo,
                metric="generalisation_gap",
                better="lower",
                paper_supports="Nothing: a hypothesis that no source tests.",
            )
        )
    claims += [
        _claim(
            f"C6-sgrpo{end}",
            f"S-GRPO trains on less than half of the tokens{where}.",
            s,
            grpo,
            metric="token_share",
            contrast="ratio",
            better="lower",
            kind="threshold",
            margin=2.0,
            evidence="[second-hand] digests: 30-50 %",
            paper_supports="Second-hand only.",
        ),
        _claim(
            f"C6-tspmo{end}",
            f"T-SPMO (reconstruction) trains on less than 5 % of the tokens{where}.",
            t,
            grpo,
            metric="token_share",
            contrast="ratio",
            better="lower",
            kind="threshold",
            margin=20.0,
            evidence="[second-hand] digests: under 5 %",
            paper_supports="Second-hand only.",
        ),
    ]
    claims += kalman_claims(task)
    return tuple(_with(claims, floor))


def kalman_claims(task: str) -> list[Claim]:
    """KRPO against GRPO, as its paper has them: accuracy and reward."""
    end, pre, where = _names(task)
    krpo, grpo = f"{pre}krpo", f"{pre}grpo"
    usual = {"paper": "krpo", "paper_supports": "A statement; its tables are not known, and reviewers doubt the test."}
    return [
        _claim(f"K1-accuracy{end}", f"KRPO is more accurate than GRPO{where}.", krpo, grpo, **usual),
        _claim(
            f"K1-reward{end}",
            f"KRPO reaches a higher training reward than GRPO{where}.",
            krpo,
            grpo,
            metric="last_reward",
            **usual,
        ),
    ]


def control_claims(task: str) -> tuple[Claim, ...]:
    """What the claims need to mean what they say, on ablation arms."""
    end, pre, where = _names(task)
    s, t, grpo = f"{pre}sgrpo", f"{pre}tspmo", f"{pre}grpo"
    ours = {"evidence": "a control of this suite", "paper_supports": _ASKED}
    return (
        _claim(
            f"C4-lora{end}",
            f"It is LoRA that hampers full-token GRPO: with all weights it is better{where}.",
            f"{grpo}-full",
            grpo,
            evidence=_FIRST,
            paper_supports="The abstract says so of LoRA alone.",
        ),
        _claim(
            f"C8-rate{end}",
            f"S-GRPO is better than full-token GRPO at a quarter of its learning rate{where}.",
            s,
            f"{grpo}-low",
            **ours,
        ),
        _claim(
            f"C8-kl{end}", f"S-GRPO is better than full-token GRPO with a KL penalty{where}.", s, f"{grpo}-kl", **ours
        ),
        _claim(
            f"C8-random{end}",
            f"S-GRPO's first tokens matter: it is better than 40 % of the tokens at random{where}.",
            s,
            f"{s}-random",
            **ours,
        ),
        _claim(
            f"C8-few{end}",
            f"Fewer tokens help: P = 0 is better than P = 1 at one alpha{where}.",
            f"{s}-p0",
            f"{s}-p100",
            **ours,
        ),
        _claim(
            f"C3-replay{end}",
            f"Replay helps T-SPMO (reconstruction){where}.",
            f"{t}-replay",
            t,
            evidence="[second-hand] a reading list names a replay step",
            paper_supports=_ASKED,
        ),
    )


def order_claims(task: str) -> tuple[Claim, ...]:
    """Whether KRPO's result is that of a filter, of an order or of a scale, and what the filter costs.

    All but the order on word problems only. The cost is that over an arm with the same KL penalty.
    """
    end, pre, where = _names(task)
    krpo = f"{pre}krpo"
    ours = {"paper": "krpo", "evidence": "asked for by reviewers", "paper_supports": _ASKED}
    order = _claim(
        f"K3-order{end}",
        f"KRPO does not depend on the order of the samples: the mean over all orders is as good{where}.",
        f"{krpo}-averaged",
        krpo,
        kind="non-inferior",
        margin=0.01,
        **ours,
    )
    controls = (
        _claim(
            f"K2{end}",
            f"The Kalman filter costs less than 5 % of a step{where}.",
            krpo,
            f"{krpo}-weights",
            metric="time_per_step",
            contrast="ratio",
            better="lower",
            kind="non-inferior",
            margin=0.05,
            paper="krpo",
            paper_supports="A statement: no timing is known.",
        ),
        _claim(
            f"K4-running{end}",
            f"The filter is better than a plain running mean as baseline{where}.",
            krpo,
            f"{krpo}-running",
            **ours,
        ),
        _claim(
            f"K4-weights{end}",
            f"The filter is better than GRPO's advantages with the filter's weights by place{where}.",
            krpo,
            f"{krpo}-weights",
            **ours,
        ),
    )
    return (order, *controls) if task == "words" else (order,)


def svamp_claims(floor: Floor) -> tuple[Claim, ...]:
    """What only the real data can show: the size of the gain, and memory at the paper's shapes."""
    gains = [
        _claim(
            f"{id}-gain",
            f"{name} under LoRA gains more than 24 points on SVAMP.",
            arm,
            "base",
            kind="threshold",
            margin=0.24,
            evidence="[derived] 46 % to over 70 %: abstract",
            paper_supports=_GAIN,
        )
        for id, arm, name in (("C2", "sgrpo", "S-GRPO"), ("C3", "tspmo", "T-SPMO (reconstruction)"))
    ]
    memory = [
        _claim(
            f"C7-{arm}",
            f"{name} needs at least 5 % less memory in training than full-token GRPO under the same LoRA (Qwen2-1.5B).",
            arm,
            "grpo",
            metric=f"planned_peak:{MEMORY}",
            kind="exact",
            contrast="ratio",
            better="lower",
            margin=1 / 0.95,
            evidence="[paper] motivation in section 1; the 5 % are ours",
            paper_supports="One 40 GB GPU is enough; no peak is known, and no saving is claimed.",
        )
        for arm, name in (("sgrpo", "S-GRPO"), ("tspmo", "T-SPMO (reconstruction)"))
    ]
    return (*_with(gains, floor), *memory)


def _with(claims: Sequence[Claim], floor: Floor | None) -> list[Claim]:
    """Claims on learning hang on a signal; those on the tokens that are trained do not."""
    return [c if c.metric == "token_share" or floor is None else replace(c, floor=floor) for c in claims]
