"""The reported numbers: tagged, arithmetically consistent with their own cells, and free of the known false ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from repro import papers
from repro.errors import InputError


def leaves(node, tag=None, path=""):
    """Every (path, value, tag in force) of a nested structure."""
    if isinstance(node, dict):
        tag = node.get("evidence", tag)
        for key, value in node.items():
            yield from leaves(value, tag, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, tag, f"{path}[{index}]")
    else:
        yield path, node, tag


def table(paper, table_id):
    return next(entry for entry in papers.load(paper)["tables"] if entry["id"] == table_id)


def row(entry, model, method):
    return next(r for r in entry["rows"] if r["model"] == model and r["method"] == method)


@pytest.mark.parametrize("name", papers.names())
def test_every_number_is_tagged_and_nothing_is_a_placeholder(name):
    for path, value, tag in leaves(papers.load(name)):
        assert value is not None, f"{path} is empty: leave out what is not known"
        if isinstance(value, (int, float)):
            assert tag in papers.EVIDENCE_TAGS, f"{path} = {value} has no evidence tag"
        else:
            assert "UNVERIFIED" not in value and "NOT FOUND" not in value, path


@pytest.mark.parametrize("name", papers.names())
def test_rows_fit_their_columns(name):
    for entry in papers.load(name)["tables"]:
        for r in entry["rows"]:
            assert len(r["values"]) == len(entry["columns"]), (entry["id"], r["model"], r["method"])


@pytest.mark.parametrize("name", papers.names())
def test_means_follow_from_the_cells(name):
    for entry in papers.load(name)["tables"]:
        if entry["unit"] == "mixed":  # percent beside points of a rating: a mean would say nothing
            assert not entry["beside"] and not any("mean" in r for r in entry["rows"])
            continue
        for r in entry["rows"]:
            mean = sum(r["values"]) / len(r["values"])
            # A mean the paper itself prints has one decimal and was rounded from unrounded cells.
            slack = 0.0051 if r["mean"]["evidence"] == "derived" else 0.101
            assert r["mean"]["value"] == pytest.approx(mean, abs=slack), (entry["id"], r["model"], r["method"])


def test_pair_counts_and_gaps_follow_from_the_cells():
    for pair in papers.load("tbrm")["pairs"]:
        entry = table("tbrm", pair["table"])
        first, second = (row(entry, pair["model"], pair[side]) for side in ("first", "second"))
        gaps = [a - b for a, b in zip(first["values"], second["values"], strict=True)]
        if pair["evidence"] == "derived":
            assert pair["mean_gap"] == pytest.approx(sum(gaps) / len(gaps), abs=0.0051), pair
        else:
            assert pair["mean_gap"] == pytest.approx(first["mean"]["value"] - second["mean"]["value"], abs=1e-9), pair
        if "wins" in pair:
            counts = (sum(g > 0 for g in gaps), sum(g == 0 for g in gaps), sum(g < 0 for g in gaps))
            assert counts == (pair["wins"], pair["ties"], pair["losses"]), pair


def test_the_derived_speed_up_follows_from_the_printed_saving():
    entries = papers.load("tbrm")["cost"]["entries"]
    saving = next(e for e in entries if e["quantity"] == "training time")["less_percent"]
    derived = next(e for e in entries if e["evidence"] == "derived")["speedup"]
    assert derived == pytest.approx(1 / (1 - saving / 100), abs=0.005)


def test_claims_are_complete():
    claims = papers.load("tbrm")["claims"]
    assert [c["id"] for c in claims] == [f"T{i}" for i in range(1, 14)]
    for c in claims:
        assert c["evidence"] in papers.EVIDENCE_TAGS and c["statement"] and c["paper_supports"] and c["source"]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("rlv", [f"R{i}" for i in range(1, 13)]),
        ("vineppo", ["V13", "V14", "V15", "V16"]),
        ("astar_po", [f"C{i}" for i in range(1, 14)]),
        ("rebel", ["R1"]),
        ("inference_time", [*(f"C{i}" for i in range(1, 10)), "F1"]),
        ("token_efficient", [f"C{i}" for i in range(1, 9)]),
        ("krpo", ["K1", "K2", "K3"]),
    ],
)
def test_claims_of_the_other_papers_are_complete(name, ids):
    claims = papers.load(name)["claims"]
    assert [c["id"] for c in claims] == ids
    for c in claims:
        assert c["evidence"] in papers.EVIDENCE_TAGS and c["statement"] and c["paper_supports"] and c["source"]


def test_gaps_of_vineppo_follow_from_the_labels_and_stand_in_its_claim():
    data = papers.load("vineppo")
    entry = table("vineppo", "results")
    assert entry["evidence"] == "code", "labels of the README figure, not the paper's table"
    statement = papers.claim("vineppo", "V13")["statement"]
    for pair in data["pairs"]:
        first, second = (row(entry, pair["model"], pair[side])["values"] for side in ("first", "second"))
        assert [a - b for a, b in zip(first, second, strict=True)] == pytest.approx(pair["gaps"])
        assert all(f"+{gap}" in statement for gap in pair["gaps"])
    entries = data["cost"]["entries"]
    ratios = [e["seconds"][0] / e["seconds"][1] for e in entries if "seconds" in e]
    assert [e["slowdown"] for e in entries if e["evidence"] == "derived"] == pytest.approx(ratios, abs=0.005)


def test_speed_ups_and_savings_of_astar_po_follow_from_its_table():
    """Hours and memory are columns of their own: no rates, and no part of the mean."""
    entry = table("astar_po", "math")
    assert entry["more_columns"][:2] == ["Hours", "Memory %"]
    assert len(entry["digits"]) == len(entry["more_columns"] + entry["columns"])
    costs = {(r["model"].removeprefix("Qwen2.5-"), r["arm"]): r["more"] for r in entry["rows"] if "more" in r}
    assert len(costs) == 12 and all(len(more) == 3 for more in costs.values())
    entries = papers.load("astar_po")["cost"]["entries"]
    derived = [e for e in entries if e["evidence"] == "derived" and "digitised" not in e["sentence"]]
    assert len(derived) == 18
    for e in derived:
        quantity, size = e["quantity"].split(", ")
        column = ["training time", "peak memory"].index(quantity)
        ours, theirs = costs[size, "astar-po-n1"][column], costs[size, e["against"]][column]
        if column == 0:
            assert e["speedup"] == pytest.approx(theirs / ours, abs=0.0051), e
            assert e["sentence"] == f"{e['speedup']:.2f}x less"
        else:
            assert e["less_percent"] == pytest.approx(100 * (1 - ours / theirs), abs=0.051), e
            assert e["sentence"] == f"{e['less_percent']:.1f}% less"


def test_the_abstract_of_astar_po_says_more_than_its_table():
    entries = papers.load("astar_po")["cost"]["entries"]
    claimed = {e["quantity"].split(",")[0]: e for e in entries if e["quantity"].endswith("any")}
    assert {e["evidence"] for e in claimed.values()} == {"paper"}
    found = [e for e in entries if e["quantity"].endswith("B") and e["evidence"] == "derived"]
    fast = {(e["quantity"][-4:].strip(" ,"), e["against"]) for e in found if e.get("speedup", 0) >= 2}
    small = {(e["quantity"][-4:].strip(" ,"), e["against"]) for e in found if e.get("less_percent", 0) > 30}
    assert fast == {("1.5B", "grpo-n4"), ("3B", "grpo-n4")}
    assert small == {("1.5B", "rebel-n2"), ("3B", "rebel-n2")}
    assert "only against GRPO" in papers.claim("astar_po", "C1")["paper_supports"]
    assert "only against REBEL" in papers.claim("astar_po", "C2")["paper_supports"]
    assert papers.claim("astar_po", "C6")["evidence"] == "second-hand"


def test_digitised_and_second_hand_hours_are_labelled_as_such():
    hours = [e for e in papers.load("astar_po")["cost"]["entries"] if "hours" in e]
    digitised = [e for e in hours if e["evidence"] == "paper"]
    assert [e["hours"] for e in digitised] == [[9.6, 18.2], [9.6, 19.6]]
    for e in digitised:
        assert "digitised" in e["sentence"] and e["within_hours"] == 0.1 and "inferred" in e["quantity"]
    ratios = [
        e["speedup"] for e in papers.load("astar_po")["cost"]["entries"] if e["sentence"].endswith("digitised bars")
    ]
    assert ratios == pytest.approx([18.2 / 9.6, 19.6 / 9.6], abs=0.051)
    assert [e["evidence"] for e in hours if "16K" in e["quantity"]] == ["second-hand"]


def test_gains_of_claim_c13_and_the_means_of_c7_follow_from_the_table():
    entry = table("astar_po", "math")
    sizes = ["Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B"]
    gains = [row(entry, s, "A*-PO")["values"][0] - row(entry, s, "base")["values"][0] for s in sizes]
    assert all(f"{gain:+.1f}" in papers.claim("astar_po", "C13")["statement"] for gain in gains)
    means = [row(entry, s, "A*-PO")["mean"]["value"] for s in sizes]
    assert all(f"{mean:.2f}" in papers.claim("astar_po", "C7")["statement"] for mean in means)
    best = [max((r for r in entry["rows"] if r["model"] == s), key=lambda r: r["mean"]["value"]) for s in sizes]
    assert [r["method"] for r in best] == ["A*-PO", "REBEL", "A*-PO"]
    for index, claim in ((0, "C4"), (1, "C4"), (2, "C3")):  # fastest, least memory, least KL at every size
        for s in sizes:
            others = {r["method"]: r["more"][index] for r in entry["rows"] if r["model"] == s and "more" in r}
            assert min(others, key=others.get) == "A*-PO" and f"{others['A*-PO']}" in str(
                papers.claim("astar_po", claim)
            )


def test_no_value_guessed_off_a_slide_of_rlv_is_there():
    """RL^V has no table that could be read; values that others read off its plots are not data."""
    data = papers.load("rlv")
    assert data["tables"] == []
    headline = {entry["sentence"]: entry["evidence"] for entry in data["headline"]}
    assert headline["8-32x"] == headline["1.2-1.6x"] == "paper"
    assert {entry["evidence"] for entry in data["headline"] if "slides" in entry["source"]} == {"second-hand"}
    numbers = {value for _, value, _ in leaves(data["headline"]) if isinstance(value, (int, float))}
    guessed = {10, 13, 15, 17, 26, 28, 37, 40, 55, 58, 65, 69, 75, 78, 79, 81, 82, 42, 62, 18, 11, 31, 35}
    assert not guessed - {10} & numbers
    tens = [entry for entry in data["headline"] if entry.get("gain_points") == 10]
    assert [entry["sentence"][:18] for entry in tens] == ["64x efficient, +10"], "the one printed annotation of 10"


def test_numbers_beside_the_inference_time_claims_are_another_papers():
    """No number of its own tables or figures is known; PKPO's re-run must never pass for its results."""
    data = papers.load("inference_time")
    assert {entry["evidence"] for entry in data["tables"]} == {"other"}
    assert all("another paper" in entry["source"] and not entry["beside"] for entry in data["tables"])
    assert {figure["evidence"] for figure in data["figures"]} == {"paper"}
    assert [figure["id"] for figure in data["figures"]] == ["1", "2", "3", "4", "5"]
    numbers = {
        (path.rpartition("/")[2], value) for path, value, _ in leaves(data["figures"]) if not isinstance(value, str)
    }
    assert numbers == {("actions", 100), ("k", 4), ("learning_rate", 1.0)}
    text = " ".join(str(value) for _, value, _ in leaves(data["claims"]))
    assert "pass@100" not in text and "pass@64" not in text and "10-20" not in text


def test_gains_and_losses_of_the_re_run_stand_in_its_claim():
    entry = table("inference_time", "pkpo_math_code")
    gains, losses = [], []
    for model in {r["model"] for r in entry["rows"]}:
        base, ours = (row(entry, model, m)["values"] for m in ("pass@1 training", "TZSM25, k = n = 16"))
        losses.append(base[0] - ours[0])
        gains += [ours[i] - base[i] for i in (1, 2)]
    supports = papers.claim("inference_time", "C9")["paper_supports"]
    assert f"+{min(gains):.1f} to +{max(gains):.1f}" in supports
    assert f"{min(losses):.1f} to {max(losses):.1f} points lost" in supports


def test_the_false_note_in_circulation_left_no_trace():
    """A public note on TBRM gives other numbers (hours, gigabytes, a results table); none of them may appear."""
    data = papers.load("tbrm")
    numbers = [(path, value) for path, value, _ in leaves(data) if isinstance(value, float)]
    assert not {24.5, 29.1, 41.2, 43.1, 44.8} & {value for _, value in numbers}
    # These four are also true numbers of other cells: they may stand there and nowhere else.
    genuine = {
        22.1: {("reval_table1", "AIME25")},
        19.0: {("reval_table1", "AIME24")},
        27.3: {("reval_table1", "GPQA"), ("reval_table1", "Minerva")},
        30.5: {("table1", "AIME24"), ("table1", "Minerva"), ("table4", "quantum_lock")},
    }
    seen = {value: set() for value in genuine}
    for entry in data["tables"]:
        for r in entry["rows"]:
            for column, value in zip(entry["columns"], r["values"], strict=True):
                if value in genuine:
                    seen[value].add((entry["id"], column))
    assert seen == genuine
    outside = [path for path, value in numbers if value in genuine and "/values[" not in path]
    assert outside == []
    assert not any({"hours", "seconds", "gigabytes", "bytes"} & set(e) for e in data["cost"]["entries"])
    aime24 = [r["values"][0] for r in table("tbrm", "table1")["rows"]]
    assert aime24 == [5.0, 11.4, 13.2, 13.0, 14.3, 10.6, 25.4, 24.1, 28.9, 30.5]


def test_the_contradicting_rerun_is_there_and_tagged_as_another_paper():
    rerun = table("tbrm", "reval_table1")
    assert rerun["evidence"] == "other"
    for model in ("R1-Distill-Qwen-1.5B", "Qwen2.5-Math-7B"):
        assert row(rerun, model, "TBRM")["mean"]["value"] < row(rerun, model, "GRPO")["mean"]["value"]


def test_tables_beside_an_experiment():
    assert [t["id"] for t in papers.tables_beside("tbrm", "table1")] == ["table1", "reval_table1"]
    assert papers.tables_beside("tbrm", "another") == []


def test_load_hands_out_copies():
    papers.load("tbrm")["claims"].clear()
    assert len(papers.load("tbrm")["claims"]) == 13


def test_unknown_names_are_refused_with_what_is_known():
    with pytest.raises(InputError, match="tbrm"):
        papers.load("tbrn")
    with pytest.raises(InputError, match="T13"):
        papers.claim("tbrm", "T99")


def test_importing_papers_stays_light():
    heavy = ("torch", "pandas", "numpy")
    code = f"import sys, repro.papers as p; p.load('tbrm'); print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
