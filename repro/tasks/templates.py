r"""Prompt templates as data. The suite renders every prompt itself; a template's hash goes into each record.

A rendered prompt is `system + user + prefix`, where only `{question}` in `user` is replaced, verbatim: braces,
backslashes and dollar signs of a question are left alone.

Sources: `qwen-math` is the ChatML form of Qwen2.5-Math with the system line that the TBRM paper names (section 4.1);
`r1` is the training template of DeepSeek-R1-Zero (arXiv 2501.12948, Table 1), laid out over lines; `plain` is the
common few-word form for base models; `qwen-code` and `plain-code` are their like for programs, in our words; `micro` is
the bare question of the generated tasks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from repro.errors import InputError


@dataclass(frozen=True)
class Template:
    """One prompt layout. `stop` are strings that end a completion, beside the tokenizer's own end token."""

    name: str
    system: str = ""  # text before the user's turn
    user: str = "{question}"  # the user's turn
    prefix: str = ""  # how the assistant's turn begins
    stop: tuple[str, ...] = ()
    answer_tag: str = ""  # XML-like tag the model is told to put its answer in, "" for none

    def render(self, question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
        """The prompt text for one question, after (question, completion) pairs as examples."""
        space = "" if not self.prefix or self.prefix.endswith("\n") else " "
        shown = [f"{self._turn(asked)}{space}{completion}{self.separator}" for asked, completion in examples]
        return self.system + "".join(shown) + self._turn(question)

    @property
    def separator(self) -> str:
        """What ends an example: the end token of a conversation or of a micro model, else an empty line."""
        if self.name == "micro":
            return "<eos>"
        return f"{self.stop[0]}\n" if self.stop and self.stop[0].startswith("<|im_end") else "\n\n"

    def _turn(self, question: str) -> str:
        return self.user.replace("{question}", question) + self.prefix

    @property
    def sha256(self) -> str:
        """Hash of every field: changes whenever a rendered prompt or its end could."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


TEMPLATES = {
    template.name: template
    for template in (
        Template("micro"),
        Template(
            "qwen-math",
            system="<|im_start|>system\n"
            "Please reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n",
            user="<|im_start|>user\n{question}<|im_end|>\n",
            prefix="<|im_start|>assistant\n",
            stop=("<|im_end|>", "<|endoftext|>"),
        ),
        Template(
            "r1",
            system="A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
            "The assistant first thinks about the reasoning process in the mind and then provides the user with the "
            "answer. The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> "
            "tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here </answer>.\n",
            user="User: {question}\n",
            prefix="Assistant:",
            stop=("<|endoftext|>",),
            answer_tag="answer",
        ),
        Template(
            "qwen-code",
            system="<|im_start|>system\nYou are a careful programmer. Think first if you need to, and put the whole "
            "program into one ```python block at the end.<|im_end|>\n",
            user="<|im_start|>user\n{question}<|im_end|>\n",
            prefix="<|im_start|>assistant\n",
            stop=("<|im_end|>", "<|endoftext|>"),
        ),
        Template("plain-code", user="{question}\n\nPython program:\n", prefix="```python\n", stop=("\n```",)),
        Template("plain", user="Question: {question}\n", prefix="Answer:", stop=("\nQuestion:",)),
    )
}


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string: what a base model invents after it is no part of its answer."""
    return text[: min((at for at in map(text.find, stop) if at >= 0), default=len(text))]


def answer_text(text: str, template: Template) -> str:
    """What of a completion may hold the answer: up to the first stop string; of a template with an answer tag what
    stands in the last such tag, boxed so that the checkers take all of it, or everything if there is none."""
    text, tag = cut(text, template.stop), template.answer_tag
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL) if tag else []
    if not found:
        return text
    return found[-1] if "\\boxed" in found[-1] else f"\\boxed{{{found[-1].strip()}}}"


def get(name: str) -> Template:
    """The template of that name; InputError with the known names otherwise."""
    if name not in TEMPLATES:
        raise InputError(f"unknown template {name!r}: choose one of {', '.join(TEMPLATES)}")
    return TEMPLATES[name]
