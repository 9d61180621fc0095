"""Data files: every form is read alike; every damage is one line with file, line and field."""

import gzip
import hashlib
import json

import pytest

from repro.errors import InputError
from repro.tasks import load
from repro.tasks.files import find, read

ROWS = [{"question": "2\u2028+ 2?", "answer": "4"}, {"question": "3+3?", "answer": "6 é"}]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.jsonl", LINES, [1, 2]),
        ("a.jsonl", LINES.replace("\n", "\r\n\r\n"), [1, 3]),
        ("a.jsonl", "\ufeff" + LINES, [1, 2]),
        ("a.jsonl.gz", LINES, [1, 2]),
        ("a.json", json.dumps(ROWS, ensure_ascii=False), [1, 1]),
        ("a.json", "\n" + json.dumps(ROWS, indent=4), [3, 7]),
    ],
)
def test_forms(tmp_path, name, text, lines):
    path = write(tmp_path / name, text)
    rows, sha256 = read(path)
    assert [row.data for row in rows] == ROWS
    assert [row.where for row in rows] == [f"{path}, line {line}" for line in lines]
    assert sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2: not valid JSON"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2: expected an object"),
        ("a.json", '[{"a": 1},\n {"a": }]', "line 2: not valid JSON"),
        ("a.json", '[{"a": 1},\n 7]', "line 2: expected an object"),
        ("a.json", '{"a": 1}', "expected a list"),
        ("a.json", "", "line 1: not valid JSON"),
        ("a.json", "[]", "no rows"),
        ("a.jsonl", "\n\n", "no rows"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "line 2: not UTF-8"),
        ("a.json", "[" * 200_000, "nested too deeply"),
    ],
)
def test_damage(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_torn_gzip(tmp_path):
    path = write(tmp_path / "a.jsonl.gz", LINES * 100)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"cannot read .*a.jsonl.gz"):
        read(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="cannot read"):
        read(path)


def test_find_prefers_a_fixed_order_and_says_what_it_wants(tmp_path):
    write(tmp_path / "test.jsonl", LINES)
    assert find(tmp_path, ("test",)).name == "test.jsonl"
    write(tmp_path / "test.json", "[]")
    assert find(tmp_path, ("test",)).name == "test.json"
    with pytest.raises(InputError, match=r"train.json, train.jsonl, train.jsonl.gz.*--data-dir"):
        find(tmp_path, ("train",))


SVAMP = {"ID": "x", "Body": "Two apples.", "Question": "How many?", "Answer": 2.0}
MATH = {"problem": "p", "solution": "so $\\boxed{2}$", "level": 1, "unique_id": "u"}


@pytest.mark.parametrize(
    ("task", "file", "row", "message"),
    [
        ("svamp", "svamp/test.json", {**SVAMP, "Answer": None}, "field 'Answer' is missing"),
        ("svamp", "svamp/test.json", {**SVAMP, "Answer": True}, "field 'Answer' is not text but bool"),
        ("svamp", "svamp/test.json", {**SVAMP, "Answer": "two"}, "answer 'two' is not a number"),
        ("svamp", "svamp/test.json", {**SVAMP, "Answer": float("nan")}, "answer 'nan' is not a number"),
        ("svamp", "svamp/test.json", {**SVAMP, "Body": " "}, "field 'Body' is empty"),
        ("svamp", "svamp/test.json", {**SVAMP, "Question": ["?"]}, "field 'Question' is not text but list"),
        ("gsm8k", "gsm8k/test.json", {"question": "q", "answer": "it is 4"}, "no '####' line"),
        ("math500", "math500/math500.json", {**MATH, "solution": "none"}, "field 'solution' has no"),
        ("dapo17k", "dapo17k/train.json", {"prompt": [], "answer": "1"}, "not a list of messages"),
        ("dapo17k", "dapo17k/train.json", {"prompt": 3, "answer": "1"}, "neither text nor"),
        ("dapo17k", "dapo17k/train.json", {"prompt": "p", "reward_model": {}}, "'ground_truth' is missing"),
        ("olympiadbench", "olympiadbench/test.json", {"question": "q", "final_answer": [3]}, "not a list of answers"),
        ("aime25", "aime25/test.json", {"answer": "1"}, "field 'problem' or 'question' is missing"),
    ],
)
def test_malformed_rows_name_file_line_and_field(tmp_path, task, file, row, message):
    good = {"svamp": SVAMP, "gsm8k": {"question": "q", "answer": "#### 1"}, "math500": MATH}.get(task, row)
    write(tmp_path / file, json.dumps([good, row], indent=1))
    line = 2 if good is row else 2 + len(good) + 2
    split = "rl" if task == "dapo17k" else "test"
    with pytest.raises(InputError, match=message) as caught:
        load(task, {}, tmp_path).prompts(split)
    assert f"{file}, line {line}: " in str(caught.value) and "\n" not in str(caught.value)
