"""The record of one trial, schema version 1: every key documented where it is typed.

Everything measured (seconds, bytes, dates) lives under `cost`, `provenance`, `timing` and `base.seconds` and nowhere
else: two runs of one trial are equal after `strip_measured`.
"""

from __future__ import annotations

import math
import re
from typing import Any, NotRequired, TypedDict

from repro.errors import InputError
from repro.store.bandit import Bandit, check_bandit
from repro.store.config import SCALES, experiment_id
from repro.store.cost import Cost, Stage1, Timing
from repro.store.outcomes import LETTERS
from repro.store.scaling import Scaling, Vote, check_scaling, check_vote

SCHEMA = 1
PHASES = (
    "base", "stage1", "generate", "extra_rollouts", "reward", "old", "ref", "value", "credit", "update", "optimizer",
    "checkpoint", "evaluate",
)  # fmt: skip


class DamagedRecord(InputError):
    """A record file that is torn, edited by hand, or of an unknown schema; the message names it."""


class Failure(TypedDict):
    message: str  # one line
    step: int | None  # generation batch in which it happened


class Hashes(TypedDict):
    base: str  # content of the base model's files
    prompts: dict[str, str]  # split -> hash of the rendered prompts and answers
    template: str  # prompt template
    verdict: NotRequired[str]  # the verdict turn, where samples are judged


class Data(TypedDict):
    set: NotRequired[str]  # evaluation set with a name of its own
    task: str  # task name
    source: str  # "generated", "hub" or "folder"
    id: str | None  # hub id or file name
    revision: str | None  # resolved hub revision
    sha256: str | None  # content of the file, or of the generated prompts
    rows: int
    overlap: dict[str, int]  # pair of splits -> questions that occur in both
    split: NotRequired[str]  # train or test; this and the rest of real tasks only
    errata: NotRequired[dict[str, str]]  # row -> what is wrong with it; it is kept
    repeated: NotRequired[int]  # rows left out because an earlier one is the same
    unreadable: NotRequired[int]  # rows left out because they cannot be judged


class OutcomeSet(TypedDict):
    questions: list[str]  # source ids, Q of them
    levels: list[str]  # difficulty levels, Q of them ("" if the task has none)
    samples: list[str]  # Q strings of n letters, see repro.store.outcomes
    greedy: str | None  # Q letters, or null if not decoded greedily
    scaling: NotRequired[Scaling | None]  # where the samples were scored by the model as verifier
    vote: NotRequired[Vote]  # where the set asked for it
    kl: NotRequired[KlSet]  # where the set asked for it
    lenient: NotRequired[list[int]]  # where the set asked for it: samples of each question whose last number is right


class KlSet(TypedDict):
    """KL divergence to the base, in nats: per question the mean over its samples, which may be negative."""

    sequence: list[float]  # Q of them: sum over the tokens of ln pi - ln pi_ref
    token: list[float]  # Q of them: mean over the tokens


class CurvePoint(TypedDict):
    step: int  # generation batches done
    completions: int  # sampled so far
    prompts: int  # used so far
    dev_accuracy: float  # Avg@dev_n on the questions of the curve: the dev split, or what evaluation.curve names
    updates: int  # optimizer updates so far
    dev_pass: NotRequired[float]  # pass@evaluation.dev_pass on the same questions


class HealthPoint(TypedDict):
    """One per generation batch; null where the method has no such figure. With replay, of the fresh rows.

    A method may add figures of its own.
    """

    step: int  # from 1
    reward: float | None  # mean
    zero_variance_groups: float | None  # share of groups whose rewards are all equal
    truncated: float | None  # share of completions without an end token
    unparsed: float | None  # share of completions without an answer
    entropy: float | None  # nats per token (per scored token, of methods that select)
    kl: float | None  # nats per token, to the reference
    clip_fraction: float | None  # share of tokens
    grad_norm: float | None  # before clipping
    loss: float | None
    length: float | None  # mean completion length in tokens
    signal: NotRequired[float]  # share of rows whose group has an advantage other than 0 (k-sample methods)
    signal_by_level: NotRequired[dict[str, list[int]]]  # level of the prompt -> such rows, all rows
    token_share: NotRequired[float]  # share of completion tokens with a weight in the loss (methods that select)
    disguised: NotRequired[float]  # S-GRPO: share of completions whose tokens all count, whatever is drawn
    branching: NotRequired[float]  # T-SPMO: share of the unique pairs of prefix and token with an advantage
    order_dependence: NotRequired[float]  # KRPO: mean change of an advantage in another order, over its mean size
    replayed_reward: NotRequired[float]  # mean over the rows that restart inside a completion (replay)
    replayed_length: NotRequired[float]  # their mean number of new tokens
    group: NotRequired[Group]  # of the first and the last batch


class Group(TypedDict):
    """One prompt's group in training, for figures. Lists of lists: per completion, then per token."""

    prompt: str | None  # null for public data
    gold: str | None
    rewards: list[float]
    tokens: list[list[str]]  # texts
    advantages: list[list[float]]
    weights: list[list[float]]  # in the loss; 0: not trained


class Sample(TypedDict):
    set: str
    question: str  # source id
    prompt: str | None  # null where the rows of a data set are not handed on
    completion: str
    gold: str | None  # as the prompt
    outcome: str  # one letter


class Provenance(TypedDict):
    repro: str  # version of this package
    commit: str | None
    dirty: bool | None  # uncommitted changes
    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    cores: int
    gpu: str | None
    started: str  # UTC, ISO 8601
    finished: str | None
    command: str
    measured_on: str  # hardware in words
    plugins: NotRequired[list[dict[str, Any]]]  # {"kind", "name", "file", "distribution", "version", "sha256"}
    sandbox: NotRequired[str]  # how model-written code was locked in ("none: --unsafe-code"); absent: none was run


class Plan(TypedDict):
    rows: list[dict[str, Any]]  # {"name": of the Planned entry, **repro.training.planner.plan_trial(...)}


class Record(TypedDict):
    schema: int
    kind: str  # "trial", "timing" or "plan"
    key: str  # repro.store.key.trial_key
    id: str  # "table1/tbrm-n4/seed0"
    experiment: str
    scale: str
    variant: str | None
    arm: str  # "timing" for a timing record, "plan" for a plan record
    seed: int
    status: str  # "done" or "failed"
    error: Failure | None
    config: dict[str, Any]  # TrialConfig.to_json(); of a plan {"rows": [one per row]}
    hashes: Hashes
    data: list[Data]
    metrics: dict[str, float]  # "<set>/<metric>"
    outcomes: dict[str, OutcomeSet]  # set -> per-question outcomes
    curve: list[CurvePoint]
    health: list[HealthPoint]
    samples: list[Sample]
    cost: Cost
    provenance: Provenance
    base: dict[str, float]  # "pass@1_rl", "pass@1_test", "seconds" of a micro base, else {}
    stage1: NotRequired[Stage1]
    timing: NotRequired[Timing]
    plan: NotRequired[Plan]
    bandit: NotRequired[Bandit]  # where the base is tabular; outcomes are then empty


_REQUIRED = {
    "schema": int, "kind": str, "key": str, "id": str, "experiment": str, "scale": str, "arm": str, "seed": int,
    "status": str, "config": dict,
}  # fmt: skip
_DONE = {"metrics": dict, "outcomes": dict, "cost": dict, "provenance": dict, "hashes": dict}
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")
_KEY = re.compile(r"[0-9a-f]{64}")


def check_record(record: Any) -> None:
    """Raise `InputError` with one line unless `record` can be stored and reported. Names are safe as file names."""
    _require(isinstance(record, dict), "not an object")
    schema = record.get("schema")
    _require(schema == SCHEMA, f"schema {schema!r} is unknown: this version reads schema {SCHEMA}")
    _check_types(record, _REQUIRED)
    _require(record["kind"] in ("trial", "timing", "plan"), f"kind {record['kind']!r} is unknown")
    _require(record["status"] in ("done", "failed"), f"status {record['status']!r} is unknown")
    _require(bool(_KEY.fullmatch(record["key"])), "key is not 64 hex digits")
    _require(record["scale"] in SCALES, f"scale {record['scale']!r} is unknown")
    variant = record.get("variant")
    _require(variant is None or (isinstance(variant, str) and bool(_SAFE.fullmatch(variant))), "variant is not a name")
    for name in ("experiment", "arm"):
        _require(bool(_SAFE.fullmatch(record[name])), f"{name} {record[name]!r} is not a name")
    _require(record["id"] == expected_id(record), f"id {record['id']!r} does not match its parts")
    if record["status"] == "failed":
        _require(isinstance(record.get("error"), dict), "a failed record needs its error")
    elif record["kind"] == "timing":
        _require(isinstance(record.get("timing"), dict), "a timing record needs timing")
    elif record["kind"] == "plan":
        _check_plan(record)
    else:
        _check_types(record, _DONE)
        for name, entry in record["outcomes"].items():
            _check_outcomes(name, entry)
        if "bandit" in record or (record["config"].get("base") or {}).get("kind") == "tabular":
            check_bandit(record.get("bandit"))


def expected_id(record: dict[str, Any]) -> str:
    folder = experiment_id(record["experiment"], record["scale"], record.get("variant"))
    return f"{folder}/{record['arm']}/seed{record['seed']}"


def strip_measured(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what is measured (cost, provenance, timing, base.seconds): equal for equal trials."""
    kept = {name: value for name, value in record.items() if name not in ("cost", "provenance", "timing")}
    if isinstance(kept.get("base"), dict):
        kept["base"] = {name: value for name, value in kept["base"].items() if name != "seconds"}
    return kept


def _check_plan(record: dict[str, Any]) -> None:
    plan, configs = record.get("plan"), record["config"].get("rows")
    rows = plan.get("rows") if isinstance(plan, dict) else None
    _require(isinstance(rows, list) and isinstance(configs, list), "a plan record needs plan.rows and config.rows")
    _require(len(rows) == len(configs) > 0, "a plan record needs one config per row")
    for row in rows:
        peak = row.get("peak") if isinstance(row, dict) else None
        good = isinstance(peak, dict) and type(peak.get("total")) is int and isinstance(row.get("arm"), str)
        _require(good, "a row of a plan record needs its arm and its peak")
    _require(all(isinstance(config, dict) for config in configs), "a config of a plan record is not an object")
    _check_types(record, {"provenance": dict})


def _check_outcomes(name: str, entry: Any) -> None:
    where = f"outcomes of {name!r}"
    _require("/" not in name, f"{where}: the name of a set may hold no slash, which separates it from a metric")
    _require(isinstance(entry, dict), f"{where} are not an object")
    questions, samples, greedy = entry.get("questions"), entry.get("samples"), entry.get("greedy")
    _require(isinstance(questions, list) and isinstance(samples, list), f"{where} lack questions or samples")
    _require(len(questions) == len(samples) > 0, f"{where} need one string per question")
    _require(all(isinstance(row, str) for row in samples), f"{where} hold a sample row that is not a text")
    _require(len(samples[0]) > 0 and len({len(row) for row in samples}) == 1, f"{where} are ragged or empty")
    _require(LETTERS.issuperset("".join(samples)), f"{where} hold an unknown letter")
    if greedy is not None:
        good = isinstance(greedy, str) and len(greedy) == len(questions) and LETTERS.issuperset(greedy)
        _require(good, f"{where} need one greedy letter per question")
    if entry.get("scaling") is not None:
        check_scaling(where, entry["scaling"], len(questions), len(samples[0]))
    if entry.get("vote") is not None:
        check_vote(where, entry["vote"], len(questions), len(samples[0]))
    if entry.get("lenient") is not None:
        counts, most = entry["lenient"], len(samples[0])
        good = isinstance(counts, list) and len(counts) == len(questions)
        good = good and all(type(count) is int and 0 <= count <= most for count in counts)
        _require(good, f"{where} need one lenient count of 0 to {most} per question")
    if entry.get("kl") is not None:
        _check_kl(where, entry["kl"], len(questions))


def _check_kl(where: str, entry: Any, questions: int) -> None:
    for name in ("sequence", "token"):
        values = entry.get(name) if isinstance(entry, dict) else None
        good = isinstance(values, list) and len(values) == questions
        good = good and all(type(value) in (int, float) and math.isfinite(value) for value in values)
        _require(good, f"{where} need one finite {name} KL per question")


def _check_types(record: dict[str, Any], wanted: dict[str, type]) -> None:
    for name, kind in wanted.items():
        _require(type(record.get(name)) is kind, f"{name} is missing or not of type {kind.__name__}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(f"record: {message}")
