"""Word problems: right equations, disjoint splits, real mistakes, and a tokenizer that gives answers back."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import InputError
from repro.tasks import load
from repro.tasks.overlap import mask_numbers
from repro.tasks.task import prompts_sha256
from repro.tasks.words import tokenizer
from repro.tasks.words.story import SCENES, tell
from repro.tasks.words.task import LEVELS

TASK = load("words")
TOKENIZER = TASK.tokenizer()
PROMPTS = {split: TASK.prompts(split, 600) for split in ("rl", "dev", "test")}
EVERY = [prompt for prompts in PROMPTS.values() for prompt in prompts]


def numbers(text):
    return [int(number) for number in re.findall("[0-9]+", text)]


def sentences(texts):
    return {mask_numbers(part) for text in texts for part in re.split(r"(?<=[.?]) ", text)}


def test_splits_are_disjoint_in_scene_and_numbers():
    rng = np.random.default_rng(0)
    split_of = {}
    for split, prompts in PROMPTS.items():
        assert len({p.question for p in prompts}) == len({p.id for p in prompts}) == len(prompts)
        for prompt in prompts:
            assert split_of.setdefault(TASK.identity(prompt), split) == split
    drawn = [TASK.base_prompt(rng) for _ in range(2000)]
    assert not {TASK.identity(prompt) for prompt in drawn} & set(split_of)
    assert not {prompt.id for prompt in drawn} & {prompt.id for prompt in EVERY}
    assert load("words", {"rl": 50, "dev": 20, "test": 20}).provenance()[0]["overlap"] == {"exact": 0}


def test_both_orders_of_a_sum_share_a_split():
    story = tell("add-plain", 7)
    twin = next(
        number
        for number in range(200_000)
        if (other := tell("add-plain", number)).scene == story.scene
        and (other.first, other.second) == (story.second, story.first)
    )
    assert story.first != story.second
    assert TASK.canonical("add-plain:7") == TASK.canonical(f"add-plain:{twin}")


def test_a_list_leaves_out_what_was_told_before(monkeypatch):
    task = load("words", {"levels": ["add-plain"], "rl": 5})
    monkeypatch.setattr(type(task), "question_at", lambda self, level, index: f"{level}:{index % 40}")
    monkeypatch.setattr(type(task), "space", lambda self, level: 400)
    texts = [prompt.question for prompt in task.prompts("rl")]
    assert len(set(texts)) == 5


def test_equations_use_the_numbers_of_the_text_and_are_right():
    for prompt in EVERY:
        equation, _, answer = prompt.solution.partition("=#")
        operation, _, form = prompt.level.partition("-")
        first, second = numbers(equation)
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/"}[operation]
        assert equation == f"{first}{sign}{second}"
        assert not Counter((first, second)) - Counter(numbers(prompt.question))
        assert eval(equation) == int(answer) == int(prompt.answer) > 0
        assert set(numbers(prompt.question)) == {first, second} or form == "distractor"
        assert prompt.question.count("?") == 1 and prompt.question.endswith("?")
        assert not set("[]{}|") & set(prompt.question)


def test_sums_and_products_stand_in_the_order_of_the_text():
    for prompt in EVERY:
        if re.match("(add|mul)-(plain|variation)", prompt.level):
            in_text = dict.fromkeys(numbers(prompt.question))
            assert list(in_text) == list(dict.fromkeys(numbers(prompt.solution.partition("=")[0])))


@pytest.mark.parametrize("level", LEVELS)
def test_forms_differ_in_what_is_asked(level):
    """Plain stories ask for what the scene is about, variations for something else; distractors hold other numbers."""
    usual = {scene.name: scene.usual for scene in SCENES}
    stories = [tell(level, number) for number in range(300)]
    form = level.partition("-")[2]
    if form == "distractor":
        assert all(story.others for story in stories)
        assert all(not {story.first, story.second} & set(story.others) for story in stories)
        assert all(set(story.others) <= set(numbers(story.text)) for story in stories)
    else:
        assert {story.asked == usual[story.scene] for story in stories} == {form == "plain"}
        assert not any(story.others for story in stories)


def test_every_scene_is_told_and_every_quantity_asked_for():
    found = {(story.scene, story.asked) for level in LEVELS for story in (tell(level, n) for n in range(1500))}
    assert found == {(scene.name, asked) for scene in SCENES for asked in "wuv"}
    assert len({scene.name for scene in SCENES}) == len(SCENES)


@pytest.mark.parametrize("form", ["steps", "direct"])
def test_demonstrations_are_wrong_exactly_when_noisy(form):
    task, rng = load("words", {"form": form}), np.random.default_rng(0)
    prompts = [task.base_prompt(rng) for _ in range(600)]
    right = [task.demonstration(prompt, rng, 0.0) for prompt in prompts]
    assert right == [prompt.solution for prompt in prompts]
    assert {outcome.value for outcome in task.check(right, prompts)} == {"c"}
    wrong = [task.demonstration(prompt, rng, 1.0) for prompt in prompts]
    assert {outcome.value for outcome in task.check(wrong, prompts)} == {"w"}
    assert all(re.fullmatch("#[0-9]+" if form == "direct" else r"[0-9]+[-+*/][0-9]+=#[0-9]+", text) for text in wrong)


def test_mistakes_are_of_three_kinds():
    rng, kinds = np.random.default_rng(1), Counter()
    for prompt in (p for p in EVERY if p.level == "sub-distractor"):
        first, second = numbers(prompt.solution)[:2]
        equation, _, answer = TASK.demonstration(prompt, rng, 1.0).partition("=#")
        if set(numbers(equation)) != {first, second}:
            kinds["other number"] += 1
        elif "-" not in equation:
            kinds["operation"] += 1
        else:
            assert eval(equation) != int(answer)
            kinds["slip"] += 1
    assert len(kinds) == 3 and min(kinds.values()) > 0.15 * sum(kinds.values())


def test_golden_prompts_and_demonstrations():
    """What the task generates is part of a trial's key: raise `version` with it."""
    rng = np.random.Generator(np.random.Philox(0))
    texts = [TASK.demonstration(TASK.base_prompt(rng), rng, 0.5) for _ in range(4)]
    assert texts == ["62+5=#67", "71-2=#69", "78+72=#150", "12+4=#16"]
    assert (TASK.version, prompts_sha256(EVERY)[:16]) == (1, "16832017d0ff55bc")


def test_no_question_is_one_of_svamp(data_dir):
    """Nor is a sentence, numbers aside, but for a few that everybody writes in these words."""
    svamp = load("svamp", {}, data_dir)
    real = [p.question for split in ("rl", "dev", "test") for p in svamp.prompts(split)]
    own = [tell(level, number).text for level in LEVELS for number in range(2000)]
    assert not set(map(mask_numbers, own)) & set(map(mask_numbers, real))
    shared = sentences(own) & sentences(real)
    assert max(len(sentence.split()) for sentence in shared) < 12
    assert len(shared) < 60 and len(sentences(real)) > 1000


# --- the tokenizer


def test_ids_and_vocabulary():
    symbols = TASK.vocabulary()
    assert (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id, TOKENIZER.unk_token_id) == (0, 1, 2)
    assert len(TOKENIZER) == len(symbols) + 3 < 1000
    assert TOKENIZER(" ".join(symbols))["input_ids"] == list(range(3, 3 + len(symbols)))
    assert symbols == load("words", {"levels": ["add-plain"], "form": "direct"}).vocabulary()


def test_no_word_of_the_task_is_unknown():
    rng = np.random.default_rng(2)
    for prompt in [*EVERY, *(TASK.base_prompt(rng) for _ in range(3000))]:
        ids = TOKENIZER(f"{prompt.question} {prompt.solution}")["input_ids"]
        assert TOKENIZER.unk_token_id not in ids, prompt.question


def test_words_case_digits_and_unknown():
    decode = lambda text: TOKENIZER.decode(TOKENIZER(text)["input_ids"])  # noqa: E731
    assert decode("Mary has 145 books.") == "mary has 145 books ."
    assert decode("Each Xylophone costs $ 7?") == "each <unk> costs $ 7 ?"
    assert len(TOKENIZER("1450")["input_ids"]) == 4
    assert all(TASK.tokens(p.question) == len(TOKENIZER(p.question)["input_ids"]) for p in EVERY)
    assert TOKENIZER("\u00c9mile's")["input_ids"][0] == TOKENIZER.unk_token_id


@given(st.integers(0, 10**6), st.sampled_from("+-*/"), st.integers(0, 10**6), st.integers(0, 10**12), st.booleans())
@settings(max_examples=100, deadline=None)
def test_answers_survive_encoding_and_decoding(first, sign, second, answer, steps):
    text = f"{first}{sign}{second}=#{answer}" if steps else f"#{answer}"
    ids = TOKENIZER(text)["input_ids"]
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.decode([*ids, 1, 0], skip_special_tokens=True) == text
    assert TASK.answers([text], PROMPTS["dev"][:1]) == [str(answer)]


def test_save_and_load(tmp_path):
    from transformers import AutoTokenizer

    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for prompt in EVERY[:20]:
        ids = loaded(f"{prompt.question} {prompt.solution}")["input_ids"]
        assert ids == TOKENIZER(f"{prompt.question} {prompt.solution}")["input_ids"]
        assert loaded.decode(loaded(prompt.solution)["input_ids"]) == prompt.solution
    assert (loaded.padding_side, loaded.pad_token_id, loaded.eos_token_id) == ("left", 0, 1)


@pytest.mark.parametrize("symbols", [["two words"], ["A"], ["12"], ["a", "a"]])
def test_symbols_are_distinct_words_digits_or_signs(symbols):
    with pytest.raises(ValueError, match="distinct lower-case words"):
        tokenizer.build(symbols)


# --- bad options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ["add"]}, "levels must be a list of add-plain"),
        ({"levels": "add-plain"}, "levels must be a list"),
        ({"levels": []}, "levels must be given"),
        ({"levels": ["add-plain", "add-plain"]}, "each once"),
        ({"form": "long"}, "steps or direct, not 'long'"),
        ({"test": -1}, "test must be a number"),
        ({"colour": 1}, "no option 'colour'"),
    ],
)
def test_bad_options_are_one_clear_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        load("words", options)
    assert "\n" not in str(caught.value)
