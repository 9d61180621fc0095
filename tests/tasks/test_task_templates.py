"""Templates are data: exact renderings, stable hashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.tasks.templates import TEMPLATES, Template, get


def test_renderings():
    assert get("micro").render("12+45=") == "12+45="
    assert get("plain").render("Why?") == "Question: Why?\nAnswer:"
    assert get("qwen-math").render("Find $x$.") == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
        "<|im_start|>user\nFind $x$.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert get("r1").render("Why?").endswith("</answer>.\nUser: Why?\nAssistant:")


def test_worked_examples_stand_before_the_question_as_earlier_turns():
    one = [("1+1=", "#2")]
    assert get("micro").render("2+2=", one) == "1+1=#2<eos>2+2="
    assert get("plain").render("Why?", [("Who?", "Me.")]) == "Question: Who?\nAnswer: Me.\n\nQuestion: Why?\nAnswer:"
    assert (
        get("r1")
        .render("Why?", [("Who?", "<answer> I </answer>")])
        .endswith("</answer>.\nUser: Who?\nAssistant: <answer> I </answer>\n\nUser: Why?\nAssistant:")
    )
    chat = get("qwen-math").render("Find $x$.", one)
    assert chat.count("<|im_start|>system") == 1
    assert chat.endswith(
        "<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n#2<|im_end|>\n"
        "<|im_start|>user\nFind $x$.<|im_end|>\n<|im_start|>assistant\n"
    )


@given(st.text())
def test_questions_are_put_in_verbatim(question):
    for template in TEMPLATES.values():
        assert question in template.render(question)
        assert len(template.render(question)) == len(template.render("")) + len(question)


def test_hashes_are_stable_and_tell_templates_apart():
    assert get("micro").sha256 == "17617b3838bf7244153cbae1e6040556c707d533fb7b1afb8a6d5c125ed43a1d"
    assert get("qwen-math").sha256 == "8ee57b45c4653a6a460703493bf8624afe22ef3e6e95a28ae335b82ca74816a9"
    assert len({template.sha256 for template in TEMPLATES.values()}) == len(TEMPLATES)
    assert Template("a", stop=("x",)).sha256 != Template("a").sha256


def test_unknown_name():
    with pytest.raises(InputError, match="qwen-math"):
        get("chatml")
