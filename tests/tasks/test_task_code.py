"""Code tasks: data, splits, judging, behaviours for voting, and refusal without a sandbox. Real execution."""

import json

import pytest

from repro.cli import pipeline
from repro.cli.main import main
from repro.errors import InputError
from repro.tasks import load
from repro.tasks.outcome import Outcome
from repro.tasks.overlap import overlap
from repro.tasks.sandbox import probe
from repro.tasks.task import SPLITS

C, W, U = Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED


def fenced(program: str) -> str:
    return f"```python\n{program}\n```"


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))


def mbpp_row(number, **changes):
    row = {"task_id": number, "text": f"Write double number {number}.", "code": "def double(x):\r\n  return 2 * x",
           "test_list": ["assert double(2) == 4", "assert double(5) == 10"], "test_setup_code": "",
           "challenge_test_list": ["assert double(0) == 0"]}  # fmt: skip
    return {**row, **changes}


def humaneval_row(**changes):
    row = {"task_id": "HumanEval/0", "entry_point": "twice", "canonical_solution": "    return helper(x) * 2\n",
           "prompt": 'def helper(x):\n    return x\n\n\ndef twice(x):\n    """\n    >>> twice(3)\n    6\n    """\n',
           "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert helper(1) == 1\n"}  # fmt: skip
    return {**row, **changes}


def contest_row(**changes):
    row = {"name": "sum", "description": "Print the sum.", "difficulty": 7, "input_file": "", "output_file": "",
           "public_tests": {"input": ["1 2\n", "5 5\n"], "output": ["3\n", "10\n"]},
           "private_tests": {"input": ["0 0\n"], "output": ["0\n"]},
           "generated_tests": {"input": ["-1 1\n"], "output": ["0\n"]},
           "solutions": {"language": [2, 3], "solution": ["int x", "print(sum(map(int, input().split())))"]},
    }  # fmt: skip
    return {**row, **changes}


@pytest.mark.parametrize(
    ("name", "counts"), [("humaneval", {"test": 164}), ("mbpp", {"rl": 374, "dev": 90, "test": 500})]
)
def test_public_files_and_their_splits(name, counts, data_dir):
    task = load(name, {}, data_dir)
    assert {split: len(task.prompts(split)) for split in task.splits} == counts and task.executes
    prompts = {split: task.prompts(split) for split in task.splits}
    for split, found in prompts.items():
        assert all(prompt.id >> 40 == SPLITS.index(split) and prompt.solution for prompt in found)
    everything = [prompt for found in prompts.values() for prompt in found]
    assert len({prompt.id for prompt in everything}) == len({p.source_id for p in everything}) == sum(counts.values())
    if name == "mbpp":
        ids = {split: {int(prompt.source_id) for prompt in found} for split, found in prompts.items()}
        assert ids == {"rl": set(range(601, 975)), "dev": set(range(511, 601)), "test": set(range(11, 511))}
        assert overlap((p.question for p in prompts["rl"]), [p.question for p in prompts["dev"]])["exact"] == 0
        assert task.provenance()[2]["overlap"]["exact"] == 0 and "367" in task.provenance()[2]["errata"]
    assert task.prompts("test", 5) == task.prompts("test")[:5]


def test_the_question_shows_no_hidden_test(data_dir):
    for prompt in load("mbpp", {}, data_dir).prompts("test", 200):
        criteria = json.loads(prompt.answer)
        hidden = criteria["source"].split("\n")[criteria["public"] :]
        assert criteria["source"].split("\n")[0].strip() in prompt.question
        assert not [line for line in hidden if line.strip() and line.strip() in prompt.question and len(hidden) == 1]


def test_humaneval_takes_whole_functions_and_bodies(isolated, tmp_path):
    write(tmp_path, "humaneval/HumanEval.jsonl", [humaneval_row()])
    task = load("humaneval", {}, tmp_path)
    (prompt,) = task.prompts("test")
    cases = {
        fenced("def twice(x):\n    return x + x"): C,
        fenced("def twice(x):\n    return helper(x) * 2"): C,
        "    return x * 2\n": C,
        fenced("    return x * 3\n"): W,
        fenced("def other(x):\n    return x + x"): W,
        fenced("def twice(x) return"): W,
        "": U,
        "```text\nno program\n```": U,
        fenced("import os\nos._exit(0)"): W,
    }
    assert task.check(list(cases), [prompt] * len(cases)) == list(cases.values())
    found = task.answers(list(cases), [prompt] * len(cases))
    assert found == ['["6"]', '["6"]', '["6"]', '["9"]', None, None, None, None, None]
    assert task.split_steps("a\n\nb") == ["a\n\n", "b"]


def test_identical_pairs_run_once_and_only_the_text_of_the_completion_counts(isolated, tmp_path, monkeypatch):
    from repro.tasks import code

    ran = []
    run_jobs = code.run_jobs
    monkeypatch.setattr(code, "run_jobs", lambda jobs, limits: ran.append(len(jobs)) or run_jobs(jobs, limits))
    write(tmp_path, "mbpp/mbpp.jsonl", [mbpp_row(n) for n in (20, 21, 520, 700)])
    task = load("mbpp", {}, tmp_path)
    first, second = task.prompts("test")
    right, wrong = fenced("def double(x): return x + x"), fenced("def double(x): return 4")
    given = [right, "Well.\n" + right, wrong, right, wrong + "<|im_end|>" + right]
    assert task.check(given, [first, first, first, second, first]) == [C, C, W, C, W]
    assert ran == [2, 0, 0]  # both prompts ask the same of a program, so that two different programs are left
    assert task.answers(given[:3], [first] * 3) == ['["4", "10"]', '["4", "10"]', '["4", "4"]']


def test_setup_code_runs_before_the_code_but_for_the_two_known_rows(isolated, tmp_path):
    code, setup = "class Node: pass\ndef double(x): return 2 * x", "root = Node()"
    late = mbpp_row(367, code=code, test_setup_code=setup, test_list=["assert double(2) == 4 and root"])
    early = mbpp_row(20, test_setup_code="limit = 3", code="limit\ndef double(x): return 2 * x")
    write(tmp_path, "mbpp/mbpp.jsonl", [late, early, mbpp_row(600), mbpp_row(700)])
    task = load("mbpp", {}, tmp_path)
    prompts = task.prompts("test")
    assert task.check([fenced(prompt.solution) for prompt in prompts], prompts) == [C, C]


def test_contests_are_judged_by_what_is_printed(isolated, tmp_path):
    rows = [contest_row(), contest_row(input_file="in.txt"), contest_row(name="x", description="No tests.",
            public_tests=None, private_tests=None, generated_tests=None)]  # fmt: skip
    for split in ("train", "valid", "test"):
        write(tmp_path, f"code_contests/{split}.jsonl", rows)
    task = load("code_contests", {}, tmp_path)
    (prompt,) = task.prompts("test")
    assert (prompt.level, task.provenance()[2]["unreadable"]) == ("7", 2)
    cases = {
        fenced(prompt.solution): (C, '["3", "10"]'),
        fenced("a, b = map(int, input().split())\nprint(a + b, '\\n')"): (C, '["3", "10"]'),
        fenced("print(max(3, sum(map(int, input().split()))))"): (W, '["3", "10"]'),  # right where it is shown
        fenced("print(3)"): (W, '["3", "3"]'),
        fenced("print(3)\nif input()[0] == '5': raise ValueError"): (W, '["3", null]'),
        fenced("raise ValueError"): (W, None),
        "": (U, None),
    }
    assert task.check(list(cases), [prompt] * len(cases)) == [outcome for outcome, _ in cases.values()]
    assert task.answers(list(cases), [prompt] * len(cases)) == [answer for _, answer in cases.values()]
    few = load("code_contests", {"tests": 2}, tmp_path)
    assert few.check([list(cases)[2]], few.prompts("test")) == [C]
    assert len(load("code_contests", {"rl": 0}, tmp_path).prompts("rl")) == 0
    with pytest.raises(InputError, match="rl=9 asked for, but there are 1"):
        load("code_contests", {"rl": 9}, tmp_path).prompts("rl")


SAMPLE = {
    "12_B. Correct Solution?": """
n, m = input(), input()
digits = sorted(n)
if n != "0":
    first = next(i for i, d in enumerate(digits) if d != "0")
    digits[0], digits[first] = digits[first], digits[0]
print("OK" if "".join(digits) == m else "WRONG_ANSWER")
""",
    "1000_A. Codehorses T-shirts": """
from collections import Counter
n = int(input())
print(sum((Counter(input() for _ in range(n)) - Counter(input() for _ in range(n))).values()))
""",
    "1139_C. Edgy Trees": """
n, k = map(int, input().split())
parent = list(range(n + 1))
def find(x):
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x
for _ in range(n - 1):
    u, v, black = map(int, input().split())
    if not black: parent[find(u)] = find(v)
sizes = [0] * (n + 1)
for x in range(1, n + 1): sizes[find(x)] += 1
print((pow(n, k, 10 ** 9 + 7) - sum(pow(s, k, 10 ** 9 + 7) for s in sizes)) % (10 ** 9 + 7))
""",
    "1238_B. Kill 'Em All": """
for _ in range(int(input())):
    n, r = map(int, input().split())
    xs = sorted(set(map(int, input().split())), reverse=True)
    print(next((i for i, x in enumerate(xs) if x <= i * r), len(xs)))
""",
}


def test_our_solutions_of_sample_problems_pass_and_altered_ones_fail(isolated, data_dir, tmp_path):
    (tmp_path / "code_contests").mkdir()
    sample = data_dir / "code_contests_sample" / "code_eval_code_contests.jsonl"
    (tmp_path / "code_contests" / "test.jsonl").write_bytes(sample.read_bytes())
    names = {str(n): json.loads(json.loads(line)["labels"])["name"] for n, line in enumerate(sample.open())}
    task = load("code_contests", {"tests": 1000}, tmp_path)
    prompts = {names[prompt.source_id]: prompt for prompt in task.prompts("test")}
    assert len(prompts) == 20
    right = [(fenced(program), prompts[name]) for name, program in SAMPLE.items()]
    assert task.check(*zip(*right, strict=True)) == [C] * len(SAMPLE)
    altered = [(text.replace("print(", "print(0 or ").replace("0 or ", "1, ", 1), prompt) for text, prompt in right]
    assert task.check(*zip(*altered, strict=True)) == [W] * len(SAMPLE)


def test_taco_by_output_and_by_call(isolated, tmp_path):
    calls = {"fn_name": "add", "inputs": [[1, 2], [[1], [2]]], "outputs": [[3], [[1, 2]]]}
    rows = [
        {"question": "Add.", "input_output": json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]}), "difficulty": "EASY"},
        {"question": "Add two.", "input_output": json.dumps(calls), "starter_code": "def add(a, b):\n"},
        {"question": "Add in a class.", "input_output": json.dumps(calls), "starter_code": "class Solution:\n    def"},
    ]
    write(tmp_path, "taco/test.jsonl", rows)
    task = load("taco", {}, tmp_path)
    by_text, plain, method = sorted(task.prompts("test"), key=lambda prompt: prompt.id)
    add = "def add(a, b):\n    return a + b"
    inside = "class Solution:\n    def add(self, a, b):\n        return tuple(a + b) if type(a) is list else a + b"
    given = [("print(int(input()) + 1)", by_text), (add, plain), (inside, method), (add, method), (add + " + 1", plain)]
    texts, prompts = zip(*((fenced(program), prompt) for program, prompt in given), strict=True)
    assert task.check(texts, prompts) == [C, C, C, W, W]
    assert task.answers(texts, prompts) == ['["2"]', "[\"'3'\"]", "[\"'3'\"]", None, "[\"'4'\"]"]


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("mbpp", mbpp_row(20, test_list="x"), "line 2: field 'test_list' is not a list of texts"),
        ("mbpp", mbpp_row(20, test_list=[]), "line 2: field 'test_list' is empty"),
        ("mbpp", mbpp_row(20, test_list=["assert ("]), "line 2: field 'test_list' is not valid Python"),
        ("mbpp", mbpp_row(20, test_list=["assert g(1)"]), "line 2: field 'test_list' calls no function"),
        ("mbpp", mbpp_row("x"), "line 2: field 'task_id' is not a number"),
        ("mbpp", {"task_id": 20}, "line 2: field 'code' is missing|line 2: field 'text' or 'prompt' is missing"),
        ("humaneval", humaneval_row(test="x = 1"), r"line 2: field 'test' does not define check\(\)"),
        ("humaneval", humaneval_row(test="def check(c):"), "line 2: field 'test' is not valid Python"),
        ("humaneval", humaneval_row(entry_point="other"), "line 2: field 'prompt' does not define other"),
        ("code_contests", contest_row(public_tests=[1]), "line 2: field 'public_tests' is not an object"),
        ("code_contests", contest_row(public_tests={"input": ["1"], "output": []}), "has 1 inputs and 0 outputs"),
        ("code_contests", {"content": "q", "test": "[1]"}, "line 2: field 'test' is not a list of input.stdin"),
        ("code_contests", {"content": "q", "test": "{"}, "line 2: field 'test' is not valid JSON"),
        ("taco", {"question": "q", "input_output": "[]"}, "line 2: field 'input_output' has no lists"),
        ("taco", {"question": "q", "input_output": '{"inputs": [1], "outputs": [1], "fn_name": "a.b"}'}, "fn_name"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_one_clear_line(name, row, message, tmp_path):
    good = {"mbpp": mbpp_row(20), "humaneval": humaneval_row(), "code_contests": contest_row(), "taco": {
        "question": "q", "input_output": '{"inputs": ["1"], "outputs": ["1"]}'}}  # fmt: skip
    stem = {"mbpp": "mbpp", "humaneval": "HumanEval"}.get(name, "test")
    write(tmp_path, f"{name}/{stem}.jsonl", [good[name], row])
    with pytest.raises(InputError, match=message) as caught:
        load(name, {}, tmp_path).prompts("test")
    assert "\n" not in str(caught.value) and f"{stem}.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tests": 0}, "tests must be a whole number"), ({"seconds": True}, "seconds must be"), ({"rl": -1}, "rl must be"),
     ({"revisions": {"other": "x"}}, "does not load 'other'"), ({"template": "nice"}, "unknown template")],
)  # fmt: skip
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        load("mbpp", options)


def test_a_plain_prompt_opens_the_block_for_the_model(isolated, tmp_path):
    write(tmp_path, "mbpp/mbpp.jsonl", [mbpp_row(n) for n in (20, 520, 700)])
    task = load("mbpp", {"template": "plain-code"}, tmp_path)
    prompts = task.prompts("test")
    assert task.template.render("Q").endswith("```python\n")
    assert task.check(["def double(x):\n    return 2 * x\n```\nand more ```"], prompts) == [C]


def test_without_a_sandbox_nothing_starts(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("REPRO_UNSAFE_CODE", raising=False)
    monkeypatch.setattr(probe, "isolation", lambda: probe.Isolation(missing="bubblewrap (bwrap) is not installed"))
    write(tmp_path, "mbpp/mbpp.jsonl", [mbpp_row(n) for n in (20, 520, 700)])
    root = tmp_path / "runs"
    command = ["run", "table1", "--scale", "smoke", "--task", "mbpp", "--data-dir", str(tmp_path), "--root", str(root)]
    code = main([*command, "--model", "some/model"])
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and "bubblewrap" in said and "--unsafe-code" in said
    assert not list(root.rglob("*.json"))
    assert pipeline.check_inputs([], None) is None
