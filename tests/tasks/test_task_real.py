"""Real tasks: the public files in full, the hub through a fake, splits, golds, overlap."""

import json
import re

import pytest

from repro.errors import InputError
from repro.tasks import load
from repro.tasks.outcome import Outcome
from repro.tasks.overlap import overlap

COUNTS = {
    "svamp": {"rl": 630, "dev": 70, "test": 300},
    "gsm8k": {"rl": 6961, "dev": 512, "test": 1319},
    "math500": {"test": 500},
    "aime24": {"test": 30},
    "aime25": {"test": 30},
    "amc23": {"test": 40},
}
SHA256 = {
    "svamp": "9b5590fc",
    "gsm8k": "3730d312",
    "math500": "35dc4108",
    "aime24": "af2b8bd2",
    "aime25": "e7f88d05",
    "amc23": "43707e1c",
}


@pytest.mark.parametrize("name", COUNTS)
def test_public_files_in_full(name, data_dir):
    task = load(name, {}, data_dir)
    prompts = [prompt for split in task.splits for prompt in task.prompts(split)]
    assert {split: len(task.prompts(split)) for split in task.splits} == COUNTS[name]
    assert len({p.id for p in prompts}) == len(prompts) and all(0 <= p.id < 2**48 for p in prompts)
    entry = task.provenance()[-1]
    assert entry["sha256"].startswith(SHA256[name]) and entry["rows"] == COUNTS[name]["test"]
    assert entry["source"] == "folder" and not entry["id"].startswith("/")
    if task.answer_kind == "numeric":
        assert all(re.fullmatch(r"-?[0-9]+", p.answer) for p in prompts)
        golden = task.check([f"so \\boxed{{{p.answer}}}" for p in prompts], prompts)
        assert set(golden) == {Outcome.CORRECT}


def test_gold_is_graded_correct_from_its_own_solution(data_dir):
    gsm8k = load("gsm8k", {}, data_dir)
    prompts = gsm8k.prompts("test")
    assert set(gsm8k.check([p.solution for p in prompts], prompts)) == {Outcome.CORRECT}
    math500 = load("math500", {}, data_dir)
    prompts = math500.prompts("test", 60)
    assert math500.check([p.solution for p in prompts], prompts).count(Outcome.CORRECT) == 60


def test_math500_answer_is_the_last_box_of_the_solution(data_dir, tmp_path):
    """The answer field and the reader of boxes (MATH's train set has no answer field) agree on all rows."""
    rows = [json.loads(line) for line in (data_dir / "math500" / "math500.jsonl").read_text().splitlines()]
    (tmp_path / "math500").mkdir()
    stripped = [{k: v for k, v in row.items() if k != "answer"} for row in rows]
    (tmp_path / "math500" / "test.jsonl").write_text("\n".join(map(json.dumps, stripped)))
    expected = {p.source_id: p.answer for p in load("math500", {}, data_dir).prompts("test")}
    found = {p.source_id: p.answer for p in load("math500", {}, tmp_path).prompts("test")}
    assert len(expected) == 500 and found == expected
    assert {p.level for p in load("math500", {}, data_dir).prompts("test")} == set("12345")


def test_known_wrong_row_is_kept_and_named(data_dir):
    task = load("svamp", {}, data_dir)
    rows = {p.source_id: p for split in ("rl", "dev") for p in task.prompts(split)}
    assert rows["chal-680"].answer == "1"
    train, test = task.provenance()
    assert "chal-680" in train["errata"] and not test["errata"]


def test_dev_slice(data_dir):
    task, other = load("svamp", {"dev": 100}, data_dir), load("svamp", {"dev": 100}, data_dir)
    assert task.prompts("dev") == other.prompts("dev") and len(task.prompts("dev")) == 100
    questions = {p.question for p in task.prompts("rl")}
    assert len(task.prompts("rl")) == 600 and not questions & {p.question for p in task.prompts("dev")}
    smaller = {p.question for p in load("svamp", {"dev": 50}, data_dir).prompts("dev")}
    assert smaller < {p.question for p in task.prompts("dev")}
    whole = load("svamp", {"dev": 0}, data_dir)
    assert len(whole.prompts("rl")) == 700 and whole.prompts("dev") == []
    assert task.prompts("test", 5) == task.prompts("test")[:5]
    with pytest.raises(InputError, match="dev=700 leaves nothing"):
        load("svamp", {"dev": 700}, data_dir).prompts("rl")
    few = load("svamp", {"dev": 100, "rl": 64}, data_dir)
    assert few.prompts("rl") == task.prompts("rl")[:64] and few.prompts("dev") == task.prompts("dev")
    with pytest.raises(InputError, match="rl=601 asked for, but there are 600"):
        load("svamp", {"dev": 100, "rl": 601}, data_dir).prompts("rl")
    with pytest.raises(InputError, match="rl must be a number of prompts, not -1"):
        load("svamp", {"rl": -1}, data_dir)


def test_data_folder_from_the_environment(data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_DATA_DIR", str(data_dir))
    assert len(load("aime24").prompts("test")) == 30
    with pytest.raises(InputError, match=r"no data file in .*aime24"):
        load("aime24", {}, tmp_path).prompts("test")


def svamp_row(number, **changes):
    row = {
        "ID": f"chal-{number}",
        "Body": f"Ann has {number} apples.",
        "Question": "How many?",
        "Answer": f"{number}.0",
    }
    return {**row, "Type": "Addition", "question_concat": "unused", **changes}


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def test_overlap_is_found(tmp_path):
    write(tmp_path, "svamp/train.json", [svamp_row(i) for i in range(20)])
    write(
        tmp_path, "svamp/test.json", [svamp_row(3, Body="ann  HAS 3 apples."), svamp_row(77), svamp_row(5, Body="New.")]
    )
    train, test = load("svamp", {}, tmp_path).provenance()
    assert test["overlap"] == {"exact": 1, "masked": 1} and train["overlap"] == {}
    assert overlap(["1,200.5 km"], ["7 km", "7 m", "1,200.5  KM"]) == {"exact": 1, "masked": 1}


def test_repeated_training_questions_stay_on_one_side(tmp_path):
    write(tmp_path, "svamp/train.json", [svamp_row(i % 10, Answer=i) for i in range(40)])
    write(tmp_path, "svamp/test.json", [svamp_row(99)])
    task = load("svamp", {"dev": 3}, tmp_path)
    assert (len(task.prompts("rl")), len(task.prompts("dev"))) == (28, 12)
    assert not {p.question for p in task.prompts("rl")} & {p.question for p in task.prompts("dev")}


DAPO_PROMPT = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n"
    "What is ${}+1$? Give the answer to the problem."
    '\n\nRemember to put your answer on its own line after "Answer:".'
)


def dapo_row(number, answer=None):
    return {
        "prompt": [{"role": "user", "content": DAPO_PROMPT.replace("{}", str(number))}],
        "reward_model": {"ground_truth": str(number + 1) if answer is None else answer, "style": "rule"},
        "extra_info": {"index": f"row-{number}"},
    }


class FakeHub(list):
    """Stands for a `datasets.Dataset`: rows, and the addresses they were downloaded from."""

    @property
    def download_checksums(self):
        return {"hf://datasets/x@" + "c" * 40 + "/train.parquet": {}}


@pytest.fixture
def fake_hub(monkeypatch):
    import datasets
    import huggingface_hub

    monkeypatch.delenv("REPRO_DATA_DIR", raising=False)
    tables, calls = {}, []

    def load_dataset(name, config=None, *, split, revision=None):
        calls.append((name, config, split, revision))
        if (name, split) not in tables:
            raise ConnectionError(f"couldn't reach {name}\nlong details")
        return FakeHub(tables[name, split])

    class Api:
        def dataset_info(self, name, revision=None):
            if tables.get("offline"):
                raise ConnectionError("offline")
            return type("Info", (), {"sha": "a" * 40})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return tables, calls


def test_hub_rows_and_resolved_commit(fake_hub):
    tables, calls = fake_hub
    tables["ChilleD/SVAMP", "train"] = [svamp_row(i) for i in range(30)]
    tables["ChilleD/SVAMP", "test"] = [svamp_row(50)]
    task = load("svamp")
    assert [p.answer for p in task.prompts("test")] == ["50"]
    assert task.prompts("test")[0].question == "Ann has 50 apples. How many?"
    assert (len(task.prompts("rl")), len(task.prompts("dev"))) == (27, 3)
    train, test = task.provenance()
    assert (train["source"], train["id"], train["revision"]) == ("hub", "ChilleD/SVAMP", "a" * 40)
    assert len(train["sha256"]) == 64 and train["sha256"] != test["sha256"]
    assert set(calls) == {("ChilleD/SVAMP", None, "train", "a" * 40), ("ChilleD/SVAMP", None, "test", "a" * 40)}
    assert len(calls) == 2  # each source is fetched once


def test_hub_revision_can_be_pinned_and_is_found_in_a_cached_copy(fake_hub):
    tables, calls = fake_hub
    tables["openai/gsm8k", "test"] = [{"question": "q", "answer": "a\n#### 1,234"}]
    pinned = load("gsm8k", {"revisions": {"openai/gsm8k": "b" * 40}})
    assert pinned.prompts("test")[0].answer == "1234"
    assert calls == [("openai/gsm8k", "main", "test", "b" * 40)]
    tables["offline"] = True
    tables["openai/gsm8k", "train"] = [{"question": "q", "answer": "#### 1"}] * 10
    assert load("gsm8k").provenance()[0]["revision"] == "c" * 40
    with pytest.raises(InputError, match="does not load 'other'"):
        load("gsm8k", {"revisions": {"other": "x"}})


def test_no_connection_is_one_clear_line(fake_hub):
    with pytest.raises(InputError, match=r"cannot load math-ai/aime24 .*couldn't reach.*--data-dir") as caught:
        load("aime24").prompts("test")
    assert "\n" not in str(caught.value)


def test_hub_row_without_a_field_is_named(fake_hub):
    fake_hub[0]["math-ai/aime25", "test"] = [{"problem": "p", "answer": "1"}, {"answer": "2"}]
    with pytest.raises(InputError, match="math-ai/aime25, test row 1: field 'problem' or 'question' is missing"):
        load("aime25").prompts("test")


def test_dapo_repeats_instructions_and_unreadable_golds_are_removed(fake_hub):
    rows = [dapo_row(i) for i in range(50)] * 3 + [dapo_row(99, "\\frac{1}{2}")]
    fake_hub[0]["BytedTsinghua-SIA/DAPO-Math-17k", "train"] = rows
    task = load("dapo17k")
    assert task.splits == ("rl", "dev")
    assert (len(task.prompts("rl")), len(task.prompts("dev"))) == (45, 5)
    assert {p.question for p in task.prompts("rl")} < {
        f"What is ${i}+1$? Give the answer to the problem." for i in range(50)
    }
    assert all(int(p.answer) == int(p.source_id.removeprefix("row-")) + 1 for p in task.prompts("dev"))
    entry = task.provenance()[0]
    assert (entry["rows"], entry["repeated"], entry["unreadable"]) == (50, 100, 1)
    with pytest.raises(InputError, match="no split 'test'"):
        task.prompts("test")


@pytest.mark.parametrize(
    ("name", "hub", "row", "answer"),
    [
        ("aime24", "math-ai/aime24", {"id": 1, "problem": "p", "solution": "\\boxed{073}"}, "73"),
        ("aime25", "math-ai/aime25", {"problem": "p", "answer": "336^\\circ"}, "336"),
        ("amc23", "math-ai/amc23", {"question": "p", "answer": 27.0}, "27"),
        ("amc23", "math-ai/amc23", {"question": "p", "answer": "1,000"}, "1000"),
        ("minerva", "math-ai/minervamath", {"question": "p", "answer": "$\\frac{1}{2}$"}, "\\frac{1}{2}"),
        ("olympiadbench", "math-ai/olympiadbench", {"question": "p", "final_answer": ["$3$", "$x^2$"]}, "3, x^2"),
        ("math500", "HuggingFaceH4/MATH-500", {"problem": "p", "solution": "$\\boxed 5$.", "level": "Level 5"}, "5"),
    ],
)
def test_golds_are_canonical(fake_hub, name, hub, row, answer):
    fake_hub[0][hub, "test"] = [row]
    assert load(name).prompts("test")[0].answer == answer


def test_math_trains_on_math_and_tests_on_math500(fake_hub):
    row = {"problem": "p", "level": "Level 3", "type": "Algebra", "solution": "thus \\boxed{\\frac{1}{2}}"}
    fake_hub[0]["DigitalLearningGmbH/MATH-lighteval", "train"] = [{**row, "problem": f"p{i} x"} for i in range(10)]
    fake_hub[0]["HuggingFaceH4/MATH-500", "test"] = [{**row, "problem": "p3  X", "answer": "\\frac{1}{2}"}]
    task = load("math")
    assert (task.prompts("rl")[0].answer, task.prompts("rl")[0].level) == ("\\frac{1}{2}", "3")
    assert task.provenance()[1]["overlap"] == {"exact": 1, "masked": 0}
    given = ["so \\boxed{0.5}", "so \\boxed{\\frac12}", "so \\boxed{2}", "no idea"]
    found = task.check(given, task.prompts("test") * 4)
    assert found == [Outcome.CORRECT, Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED]


def test_template_option_and_answer_tags(fake_hub):
    fake_hub[0]["math-ai/aime24", "test"] = [{"id": 1, "problem": "p", "answer": "204"}]
    assert load("aime24").template.name == "qwen-math"
    task = load("aime24", {"template": "r1"})
    cases = {
        "7 or so</think> <answer> 204 </answer>": Outcome.CORRECT,
        "204</think> <answer>203</answer>": Outcome.WRONG,
        "<answer>1</answer> <answer>\\boxed{204}</answer> done 9": Outcome.CORRECT,
        "hence \\boxed{204}": Outcome.CORRECT,
    }
    assert task.check(list(cases), task.prompts("test") * len(cases)) == list(cases.values())
    with pytest.raises(InputError, match="unknown template"):
        load("aime24", {"template": "nice"})


def test_text_after_a_stop_string_does_not_count(fake_hub):
    fake_hub[0]["math-ai/aime24", "test"] = [{"id": 1, "problem": "p", "answer": "204"}]
    task = load("aime24", {"template": "plain"})
    cases = {
        "It is 204.\nQuestion: What is 1+1?\nAnswer: 2": Outcome.CORRECT,
        "It is 3.\nQuestion: \nQuestion: Answer: 204": Outcome.WRONG,
        "It is 204": Outcome.CORRECT,
    }
    assert task.check(list(cases), task.prompts("test") * len(cases)) == list(cases.values())


def test_with_the_micro_template_the_answer_follows_the_marker(tmp_path):
    """As in the generated task that the base has learned, and nothing else counts."""
    write(tmp_path, "svamp/train.json", [svamp_row(i) for i in range(20)])
    write(tmp_path, "svamp/test.json", [svamp_row(1450)])
    task = load("svamp", {"template": "micro"}, tmp_path)
    (prompt,) = task.prompts("test")
    assert task.template.render(prompt.question) == "Ann has 1450 apples. How many?" and prompt.answer == "1450"
    texts = ["1400+50=#1450", "#1450", "#1450.0", "#145", "1450", "#1450#1450", "\\boxed{1450}", ""]
    assert "".join(outcome.value for outcome in task.check(texts, [prompt] * len(texts))) == "cccwuuuu"
    assert task.answers(texts, [prompt] * len(texts)) == ["1450", "1450", "1450", "145", None, None, None, None]


def test_strict_reading_wants_a_mark_and_lenient_reading_takes_the_last_number(fake_hub):
    fake_hub[0]["math-ai/aime24", "test"] = [{"id": 1, "problem": "p", "answer": "204"}]
    texts = ["so \\boxed{204}", "#### 204", "it is 204", "it is 204 apples and 1/2", "x = 7 or 204.", "none"]
    usual, strict, tagged = (load("aime24", o) for o in ({}, {"strict": True}, {"strict": True, "template": "r1"}))
    prompts = usual.prompts("test") * len(texts)
    letters = lambda outcomes: "".join(outcome.value for outcome in outcomes)  # noqa: E731
    assert letters(usual.check(texts, prompts)) == "cccucu"
    assert letters(strict.check(texts, prompts)) == "ccuuuu"
    assert letters(strict.check_lenient(texts, prompts)) == letters(usual.check_lenient(texts, prompts)) == "cccwcu"
    assert letters(tagged.check(["a <answer> 204 </answer>", "204"], prompts[:2])) == "cu"
    with pytest.raises(InputError, match="task aime24: strict must be true or false, not 'yes'"):
        load("aime24", {"strict": "yes"})
    plain = load("aime24", {"template": "plain"})
    assert letters(plain.check_lenient(["204\nQuestion: 5", "5\nQuestion: 204"], prompts[:2])) == "cw"


def test_there_is_no_lenient_reading_of_formulas(fake_hub):
    fake_hub[0]["HuggingFaceH4/MATH-500", "test"] = [{"problem": "p", "answer": "x", "solution": "", "level": 1}]
    with pytest.raises(InputError, match="task math500: its answers are not numbers"):
        load("math500").check_lenient([], [])
    with pytest.raises(InputError, match="task synthesis: its answers are not numbers"):
        load("synthesis").check_lenient([], [])


def test_worked_examples_are_right_in_every_form(tmp_path, data_dir):
    for template in ("micro", "plain", "qwen-math", "r1"):
        svamp = load("svamp", {"template": template, "strict": True}, data_dir)
        prompts = svamp.prompts("rl")
        worked = [svamp.worked(prompt) for prompt in prompts]
        assert set(svamp.check(worked, prompts)) == set(svamp.check_lenient(worked, prompts)) == {Outcome.CORRECT}
    gsm8k = load("gsm8k", {}, data_dir)
    prompt = gsm8k.prompts("rl", 1)[0]
    assert gsm8k.worked(prompt) == prompt.solution
    write(tmp_path, "svamp/train.json", [svamp_row(i, Equation="( 87.0 - ( 2.0 + 5.0 ) )") for i in range(20)])
    write(tmp_path, "svamp/test.json", [svamp_row(5)])
    task = load("svamp", {"template": "micro"}, tmp_path)
    assert task.worked(task.prompts("rl")[0]).startswith("87-(2+5)=#")
    assert load("svamp", {}, tmp_path).worked(task.prompts("test")[0]) == "\\boxed{5}"


def test_steps_are_lines():
    steps = load("gsm8k").split_steps("\nFirst.\n\nSecond.\n#### 4")
    assert steps == ["\n", "First.\n\n", "Second.\n", "#### 4"]


GPQA_ROW = {
    "Question": "Which one?",
    "Correct Answer": "right",
    **{f"Incorrect Answer {i}": f"wrong {i}" for i in (1, 2, 3)},
    "High-level domain": "Physics",
}


def test_gpqa_is_physics_with_choices_in_an_order_of_the_rows_own(fake_hub):
    rows = [{**GPQA_ROW, "Record ID": f"rec{i}"} for i in range(40)]
    fake_hub[0]["Idavidrein/gpqa", "train"] = [*rows, {**GPQA_ROW, "Record ID": "x", "High-level domain": "Biology"}]
    task = load("gpqa")
    prompts = task.prompts("test")
    assert fake_hub[1][0][1] == "gpqa_diamond" and len(prompts) == 40
    for prompt in prompts:
        assert f"({prompt.answer}) right" in prompt.question
    assert {prompt.answer for prompt in prompts} == set("ABCD")
    first = prompts[0]
    other = next(letter for letter in "ABCD" if letter != first.answer)
    given = [f"so \\boxed{{{first.answer}}}", f"\\boxed{{{other}}}", f"\\boxed{{\\text{{({first.answer})}}}}", "hm"]
    found = task.check(given, [first] * 4)
    assert found[0] is Outcome.CORRECT and found[1] is not Outcome.CORRECT and found[3] is Outcome.UNPARSED


def test_math2_takes_the_answer_from_its_field_or_from_the_box_of_the_solution(fake_hub):
    fake_hub[0]["veds12/math-squared", "train"] = [
        {"Question": "p", "Answer": "$\\frac{1}{2}$", "Solution": "long"},
        {"question": "q", "solution": "thus \\boxed{7}"},
        {"question": "r", "solution": "no box"},
    ]
    task = load("math2")
    assert sorted(prompt.answer for prompt in task.prompts("test")) == ["7", "\\frac{1}{2}"]
    assert task.provenance()[0]["unreadable"] == 1


def test_symbolic_tasks_use_the_papers_splitter_and_answers_for_voting_are_one_spelling_per_number(fake_hub):
    fake_hub[0]["HuggingFaceH4/MATH-500", "test"] = [{"problem": "p", "solution": "\\boxed{5}"}]
    task = load("math500")
    text = "We add the numbers first, carefully. Then the sum of both is $5.0$ as wanted.\n\nSo it is $\\boxed{5}$."
    steps = task.split_steps(text)
    assert "".join(steps) == text and len(steps) > 1
    texts = ["\\boxed{5}", "\\boxed{5.0}", "so \\boxed{\\frac{1}{2}}.", "none", "\\boxed{"]
    assert task.answers(texts, [None] * len(texts)) == ["5", "5", "\\frac{1}{2}", None, None]
