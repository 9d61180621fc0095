"""Generated tasks: disjoint splits, fixed prompts, exact and noisy demonstrations."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import InputError
from repro.tasks import load
from repro.tasks.outcome import Outcome
from repro.tasks.permutation import permute
from repro.tasks.task import prompts_sha256

VARIANTS = [
    ("chain", {}),
    ("chain", {"form": "totals", "negative": True}),
    ("chain", {"terms": [2, 5], "digits": 3, "subtraction": False}),
    ("multiply", {}),
    ("multiply", {"form": "direct", "levels": ["2x1"]}),
    ("multiply", {"levels": ["1x2", "3x3"]}),
]
variants = pytest.mark.parametrize(("name", "options"), VARIANTS)


def value(question: str) -> int:
    """The right answer, worked out independently of the task: the text is digits and operators by construction."""
    assert set(question) <= set("0123456789+-*=")
    return eval(question.rstrip("="))


@variants
def test_splits_are_disjoint_and_without_repeats(name, options):
    task = load(name, options)
    rng = np.random.default_rng(0)
    split_of = {}
    for split in ("rl", "dev", "test"):
        prompts = task.prompts(split)
        assert len({p.question for p in prompts}) == len({p.id for p in prompts}) == len(prompts)
        for prompt in prompts:
            assert split_of.setdefault(task.canonical(prompt.question), split) == split
    drawn = [task.base_prompt(rng) for _ in range(2000)]
    assert not {task.canonical(p.question) for p in drawn} & set(split_of)
    assert all(0 <= p.id < 2**48 for p in drawn)
    assert not {p.id for p in drawn} & {p.id for split in ("rl", "dev", "test") for p in task.prompts(split)}
    assert task.provenance()[0]["overlap"] == {"exact": 0}


def test_splits_are_disjoint_across_options():
    """A base model trained on one choice of options has seen no test prompt of another."""
    rng = np.random.default_rng(1)
    small, large = load("multiply", {"levels": ["2x1"]}), load("multiply", {"levels": ["1x2", "2x2"]})
    tested = {small.canonical(p.question) for p in small.prompts("test")}
    assert not tested & {large.canonical(large.base_prompt(rng).question) for _ in range(3000)}


def test_both_orders_of_a_sum_or_product_share_a_split():
    assert load("chain").split_of("12+45-17=") == load("chain").split_of("45-17+12=")
    assert load("chain").canonical("12-45=") != load("chain").canonical("45-12=")
    assert load("multiply").split_of("12*7=") == load("multiply").split_of("7*12=")


@variants
def test_answers_levels_and_solutions_are_right(name, options):
    task = load(name, options)
    for prompt in task.prompts("dev"):
        assert int(prompt.answer) == value(prompt.question)
        assert task.check([prompt.solution], [prompt]) == [Outcome.CORRECT]
        first, *rest = re.split(r"[-+*]", prompt.question.rstrip("="))
        if name == "chain":
            assert prompt.level == str(1 + len(rest))
            assert all(len(part) == options.get("digits", 2) for part in [first, *rest])
        else:
            assert prompt.level == f"{len(first)}x{len(rest[0])}"
        for equation in [part for part in prompt.solution.split(";") if "=" in part]:
            left, right = equation.split("=")
            assert value(left) == int(right)


def test_options_of_chain_are_kept():
    sums = load("chain", {"subtraction": False, "terms": [3]})
    assert all("-" not in p.question and p.level == "3" for p in sums.prompts("dev"))
    rng = np.random.default_rng(0)
    task = load("chain", {"terms": [4]})
    for prompt in task.prompts("dev"):
        noisy = task.demonstration(prompt, rng, 1.0)
        assert "=-" not in prompt.solution and "#-" not in prompt.solution
        assert "=-" not in noisy and "#-" not in noisy
    assert any(int(p.answer) < 0 for p in load("chain", {"negative": True}).prompts("dev"))


@variants
def test_levels_are_balanced_while_questions_last(name, options):
    task = load(name, options)
    levels = [p.level for p in task.prompts("test")]
    counts = {level: levels.count(level) for level in task.levels}
    if name == "chain":
        assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts) == set(task.levels) and all(counts.values())


@variants
def test_demonstrations_are_wrong_exactly_when_noisy(name, options):
    task = load(name, options)
    rng = np.random.default_rng(0)
    prompts = [task.base_prompt(rng) for _ in range(300)]
    assert all(task.demonstration(p, rng, 0.0) == p.solution for p in prompts)
    wrong = [task.demonstration(p, rng, 1.0) for p in prompts]
    assert set(task.check(wrong, prompts)) == {Outcome.WRONG}
    half = task.check([task.demonstration(p, rng, 0.5) for p in prompts], prompts)
    assert 0.38 < half.count(Outcome.WRONG) / 300 < 0.62  # five standard deviations around one half
    assert {character for text in wrong for character in text} <= set(task.vocabulary())


def test_a_slip_in_a_chain_propagates():
    """Exactly one step is wrong; the steps after it are right about the wrong number they start from."""
    task = load("chain", {"terms": [4]})
    rng = np.random.default_rng(3)
    places = set()
    for prompt in task.prompts("dev"):
        steps = task.demonstration(prompt, rng, 1.0).split(";")[:-1]
        bad = [i for i, step in enumerate(steps) if value(step.split("=")[0]) != int(step.split("=")[1])]
        assert len(bad) == 1
        places.update(bad)
        totals = [step.split("=")[1] for step in steps]
        assert all(step.startswith(total) for step, total in zip(steps[1:], totals[:-1], strict=True))
    assert places == {0, 1, 2}


def test_partial_products_add_up():
    task = load("multiply", {"levels": ["3x3"]})
    for prompt in task.prompts("dev"):
        first, second, both, third, answer = (int(part) for part in prompt.solution.replace("#", "").split(";"))
        assert first + second == both and both + third == answer == int(prompt.answer)


@variants
def test_prompts_do_not_depend_on_the_instance_and_limits_are_prefixes(name, options):
    assert load(name, options).prompts("rl", 50) == load(name, options).prompts("rl")[:50]
    assert load(name, {**options, "test": 30}).prompts("test") == load(name, options).prompts("test", 30)
    assert len(load(name, options).prompts("base", 7)) == 7


# A change here changes every trial key and the published results: raise the task's `version` with it.
GOLDEN = {
    "chain": ("23+12=", "ae1608e147c2aa828c02533b1ec81bfa8b3f4b3a14ae98c365ff4673aae171c5"),
    "multiply": ("98*5=", "f4bb78e0382518717b2e09b5df762002f1368469fa620c6331a343885da308b1"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_prompts(name):
    task = load(name)
    prompts = [p for split in ("rl", "dev", "test") for p in task.prompts(split, 100)]
    question, sha256 = GOLDEN[name]
    assert prompts[0].question == question
    assert (task.version, prompts_sha256(prompts)) == (1, sha256)


GOLDEN_DEMONSTRATIONS = {
    "chain": ["72-72=1;#1", "42-24=18;18+18=37;37+56=93;#93", "74+73=147;147-99=48;#48", "10+87=99;#99"],
    "multiply": ["150;18;#158", "220;132;#352", "0;10;#10", "360;20;#380"],
}


@pytest.mark.parametrize("name", GOLDEN_DEMONSTRATIONS)
def test_golden_demonstrations(name):
    """The base model's training text is as fixed as the prompts: it decides the base's content hash."""
    task = load(name)
    rng = np.random.Generator(np.random.Philox(0))
    assert [task.demonstration(task.base_prompt(rng), rng, 0.5) for _ in range(4)] == GOLDEN_DEMONSTRATIONS[name]


def test_checker_reads_only_what_follows_the_marker():
    task = load("chain", {"terms": [2]})
    prompt = task.prompts("dev", 1)[0]
    right, other = prompt.answer, str(int(prompt.answer) + 1)
    cases = {
        f"#{right}": Outcome.CORRECT,
        f"1+1={other};#{right}": Outcome.CORRECT,
        f"1+1={right};#{other}": Outcome.WRONG,
        right: Outcome.UNPARSED,
        f"1+1={right};": Outcome.UNPARSED,
        "#": Outcome.UNPARSED,
        "": Outcome.UNPARSED,
        f"#{right};#{right}": Outcome.UNPARSED,
        f"#{other};#{right}": Outcome.UNPARSED,
        f"#{right}+0": Outcome.UNPARSED,
        "#" + "9" * 5000: Outcome.UNPARSED,
    }
    assert task.check(list(cases), [prompt] * len(cases)) == list(cases.values())


def test_read_leniently_the_last_number_is_the_answer():
    task = load("chain", {"terms": [2]})
    prompt = task.prompts("dev", 1)[0]
    texts = [
        f"#{prompt.answer}",
        prompt.answer,
        f"1+1=2;{prompt.answer};",
        f"#1#{prompt.answer}",
        f"{prompt.answer};7",
        "#",
    ]
    found = task.check_lenient(texts, [prompt] * len(texts))
    assert "".join(outcome.value for outcome in found) == "ccccwu"
    assert task.render("1+1=", [prompt]) == f"{prompt.question}{prompt.solution}<eos>1+1="


@given(st.text(alphabet="0123456789+-=;#* \n", max_size=60))
@settings(max_examples=300, deadline=None)
def test_check_and_split_steps_take_any_text(text):
    task = load("chain")
    prompt = task.prompts("dev", 1)[0]
    assert task.check([text], [prompt])[0] in Outcome
    assert "".join(task.split_steps(text)) == text
    assert all(task.split_steps(text))


def test_steps_of_a_solution():
    assert load("chain").split_steps("12+45=57;57-17=40;#40") == ["12+45=57;", "57-17=40;", "#40"]
    assert load("multiply").split_steps("1410;282;#1692") == ["1410;", "282;", "#1692"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("chain", {"terms": [1]}, "terms must be"),
        ("chain", {"terms": "234"}, "terms must be"),
        ("chain", {"terms": []}, "levels must be given"),
        ("chain", {"terms": [2, 2]}, "each once"),
        ("chain", {"digits": 0}, "digits must be"),
        ("chain", {"form": "long"}, "equations or totals"),
        ("chain", {"rl": -1}, "rl must be a number"),
        ("multiply", {"levels": ["2"]}, "levels must be"),
        ("multiply", {"levels": "2x1"}, "levels must be"),
        ("multiply", {"form": "?"}, "steps or direct"),
        ("chain", {"colour": 1}, "no option 'colour'"),
        ("chian", {}, "did you mean chain"),
    ],
)
def test_bad_options_are_one_clear_line(name, options, message):
    with pytest.raises(InputError, match=message) as caught:
        load(name, options)
    assert "\n" not in str(caught.value)


def test_more_prompts_than_exist_is_refused_only_when_asked_for():
    assert len(load("multiply", {"levels": ["2x1"]}).prompts("rl")) < 300
    with pytest.raises(InputError, match="rl=4096 asked for"):
        load("multiply", {"levels": ["2x1"], "rl": 4096}).prompts("rl")
    with pytest.raises(InputError, match="no split 'train'"):
        load("chain").prompts("train")
    with pytest.raises(InputError, match="give a limit"):
        load("chain").prompts("base")


@given(st.integers(1, 3000), st.text(max_size=5))
@settings(max_examples=30, deadline=None)
def test_permute_is_a_permutation(size, key):
    assert sorted(permute(i, size, key) for i in range(size)) == list(range(size))


def test_permute_refuses_other_numbers_and_takes_huge_ones():
    with pytest.raises(ValueError, match="outside"):
        permute(5, 5, "k")
    assert len({permute(i, 10**25, "k") for i in range(100)}) == 100
