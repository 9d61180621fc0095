"""The files behind the page of questions: nothing is lost between the records and what the page loads."""

import pytest

from repro.report.html import drill, write_site
from repro.store.outcomes import decode, decode_greedy

from . import synthetic as S
from .synthetic_site import data, entry, with_samples


@pytest.fixture
def written(tmp_path):
    def write(records):
        write_site([entry(records=records)], tmp_path / "html")
        return tmp_path / "html", data(tmp_path / "html", "data/index")

    return write


def test_scores_letters_and_completions_are_those_of_the_records(written):
    records = with_samples(S.records())
    root, (report,) = written(records)
    assert report["id"] == "stored/table1" and [arm["id"] for arm in report["arms"]] == list(S.ARMS)
    for arm in report["arms"]:
        own = [r for r in records if r["arm"] == arm["id"]]
        (found,) = data(root, arm["chunk"])["sets"]
        entries = [r["outcomes"]["chain"] for r in own]
        assert found["right"] == sum(decode(e["samples"]).correct.sum(1) for e in entries).tolist()
        assert found["greedy"] == sum(decode_greedy(e["greedy"]).correct.astype(int) for e in entries).tolist()
        assert (found["seeds"], found["samples"], found["left_out"]) == ([0, 1, 2, 3, 4], 5 * S.SAMPLES, 0)
        details = [detail for key in found["blocks"] for detail in data(root, key)]
        assert [detail["letters"] for detail in details] == [[e["samples"][q] for e in entries] for q in range(64)]
        assert [len(detail["completions"]) for detail in details] == found["stored"] == [5] * 3 + [0] * 61
        assert details[1]["completions"][2] == [2, entries[2]["samples"][1][0], "10;15;#11 seed 2"]
        assert (details[1]["prompt"], details[1]["gold"]) == ("prompt 1", "11")
    lists = {data(root, arm["chunk"])["sets"][0]["questions"] for arm in report["arms"]}
    assert len(lists) == 1 and data(root, lists.pop())["ids"] == [str(i) for i in range(64)]


def test_blocks_are_small_and_together_hold_every_question(written, monkeypatch):
    monkeypatch.setattr(drill, "BLOCK_BYTES", 2000)
    root, (report,) = written(with_samples(S.records()))
    (found,) = data(root, report["arms"][1]["chunk"])["sets"]
    sizes = [len(data(root, key)) for key in found["blocks"]]
    assert len(sizes) > 1 and sum(sizes) == 64 and set(sizes[:-1]) == {found["block"]}


def test_seeds_with_other_questions_are_left_out_and_counted(written):
    records = with_samples(S.records(["base", "ppo-n1"]))
    records[3]["outcomes"]["chain"]["questions"] = [f"other {i}" for i in range(64)]
    records[7]["outcomes"]["chain"]["greedy"] = None
    root, (report,) = written([r for r in records if (r["arm"], r["seed"]) != ("base", 3)])
    first, second = (data(root, arm["chunk"])["sets"][0] for arm in report["arms"])
    assert (first["seeds"], first["left_out"]) == ([0, 1, 2, 4], 0)
    assert (second["greedy_of"], second["left_out"]) == (4, 0)
    records = records[:5]
    made = drill._Writer(root, "again").arm(0, records)
    found = data(root, made)["sets"][0]
    assert (found["seeds"], found["left_out"], found["samples"]) == ([0, 1, 2, 4], 1, 4 * S.SAMPLES)


@pytest.mark.parametrize("samples", [None, ["text"], [{}], [{"set": "chain", "question": 3, "completion": ["x"]}]])
def test_odd_samples_of_a_foreign_record_do_no_harm(written, samples):
    records = S.records(["base", "ppo-n1"])
    records[0]["samples"] = samples
    records[0]["outcomes"]["chain"]["levels"] = [1]
    root, (report,) = written(records)
    assert data(root, report["arms"][0]["chunk"])["sets"][0]["right"]


def test_experiments_without_outcomes_have_no_page_of_questions(tmp_path):
    records = [S.failed("base", seed) for seed in range(2)]
    write_site([entry(records=records)], tmp_path / "html")
    assert data(tmp_path / "html", "data/index") == []
    assert "No experiment of this report" in (tmp_path / "html" / "questions.html").read_text()
