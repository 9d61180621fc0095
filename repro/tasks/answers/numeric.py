"""Strict three-valued check of integer and decimal answers.

The answer is the last `\\boxed{}`; without one, the line after the last `####`; without one, the final number of the
text. It must be ONE plain number, possibly dressed in `$`, `%`, a unit, thousands commas or LaTeX spacing, and is
compared exactly, as a Decimal. Everything else is unparsed, never guessed:

1. an expression (`3+2`, `2^5`, `\\frac{10}{2}`, `1/2`), an equation chain (`4=5`; but `x = 5` is 5), a list, a range;
2. a multiplier word (`5 million`, `5 dozen`), a variable (`2x`), a malformed number (`1,23`, `1.2.3`, `3:30`);
3. NaN, infinity, digits that are not 0-9 (full-width ones are read), more than 100 digits, exponents beyond +-100.

Units are not compared: `5 cm` is 5, and `50%` is 50, never 0.5. Text is data: nothing here evaluates it, no function
raises, and every step is linear in the length of the text, of which only the tail is read (`extract.TAIL`).
"""

from __future__ import annotations

import re
from decimal import Decimal

from repro.tasks.answers.extract import Marked, marked_answer, tail
from repro.tasks.outcome import Outcome

LONGEST_FRAGMENT = 300  # characters of a marked answer
_LARGEST = 100  # digits, and size of the exponent

_CHARACTERS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u2012": "-",
        "\uff0d": "-",
        "\ufe63": "-",
        "\uff0b": "+",
        "\uff05": "%",
        "\uff04": "$",
    }
    | {"\uff0c": ",", "\uff0e": ".", "\u00a0": " ", "\u2009": "", "\u202f": "", "\u200b": "", "\u00b0": " degrees "}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)
_UNICODE_POWERS = set("\u00b2\u00b3\u00b9\u2070\u2071") | {chr(code) for code in range(0x2074, 0x208A)}

_DEGREES = re.compile(r"\^\s*(?:\{\s*)?\\circ\s*\}?|\\(?:degrees?|textdegree)(?![A-Za-z])|\\circ(?![A-Za-z])")
_GROUPING = re.compile(r"\\!\s*|\{,\}\s*")
_THIN_GROUP = re.compile(r"(?<=[0-9])\\[,;: ](?=[0-9]{3}(?![0-9]))")
_SPACING = re.compile(r"\\[,;: ]|\\(?:quad|qquad|left|right|displaystyle)(?![A-Za-z])|~")
_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|hbox|operatorname|bf|rm|it)(?![A-Za-z])\s*\{([^{}\\]*)\}"
)
_MATH = re.compile(r"\\[()\[\]]|\*\*|`|</?[A-Za-z]{1,20}>")

_PLAIN = re.compile(
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,9})?|\.[0-9]+(?:[eE][+-]?[0-9]{1,9})?"
)
_RUN = re.compile(r"(?:[0-9]|\.(?=[0-9]))[0-9.,]*(?:[eE][+-]?[0-9]+)?")
_LAST = re.compile(r"(?<![0-9)\]}])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?")
_TIMES_TEN = re.compile(
    r"\s*(?:\\times|\\cdot|\u00d7|\*|x)\s*10\s*\^\s*(?:\{\s*([+-]?[0-9]{1,9})\s*\}|([+-]?[0-9]{1,9}))"
)
_LETTERS = re.compile("[A-Za-z\u3040-\u30ff\u4e00-\u9fff]+")
_UNIT = re.compile(_LETTERS.pattern + r"(?:(?:\s*\^\s*(?:\{\s*)?[23](?:\s*\})?|[23\u00b2\u00b3])(?![0-9]))?")
_UNIT_POWER = re.compile(r"(?:[A-Za-z]{2}|(?<![A-Za-z])[ms])\s*\^\s*(?:\{\s*)?$")
_NAME = re.compile(r"(?:[A-Za-z]|\\[A-Za-z]+)[A-Za-z' ]*")

_MULTIPLIERS = set(
    "hundred hundreds thousand thousands million millions billion billions trillion dozen dozens k".split()
)
_MULTIPLIERS |= {"mil", "mln", "bn", "score", "half", "halves", "third", "thirds", "quarter", "quarters", "tenths"}
_CONNECTIVES = {
    "or",
    "and",
    "to",
    "plus",
    "minus",
    "times",
    "over",
    "divided",
    "point",
    "not",
    "squared",
    "cubed",
    "mod",
}
_SHORT_UNITS = set("m g s h l L V W J N A C F".split())  # not k, K, M, B: these multiply
_MULTIPLYING_CHARACTERS = set("\u5341\u767e\u5343\u4e07\u842c\u4ebf\u5104\u534a")  # ten, hundred, ... in Chinese; half
_CURRENCY = "$\u20ac\u00a3\u00a5"


def extract_number(text: str) -> Decimal | None:
    """The number a completion gives as its answer, or None where there is none that can be read without guessing."""
    marked = marked_answer(text)
    if marked is not None:
        value = parse_number(marked.text)
        if value is not None or not _may_be_heading(marked):
            return value
    return _final_number(tail(text))


def spell(value: Decimal | None) -> str | None:
    """One spelling per value: no exponent, no zeros behind the point; None stays None."""
    if value is None:
        return None
    text = f"{value:f}" if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def check_numeric(completion: str, gold: str) -> Outcome:
    """Correct, wrong, or unparsed: no single number could be read. An unusable gold makes everything unparsed."""
    return _compare(extract_number(completion), gold)


def check_number(fragment: str, gold: str) -> Outcome:
    """Like `check_numeric` for text that is already cut down to the answer, e.g. what follows a task's own marker."""
    return _compare(parse_number(fragment), gold)


def check_last_number(completion: str, gold: str) -> Outcome:
    """Lenient: the last number counts, whatever it is part of. A minus sign after a digit or bracket is an operator."""
    found = _LAST.findall(tail(completion).translate(_CHARACTERS))
    return _compare(_decimal(found[-1]) if found else None, gold)


def parse_number(fragment: str) -> Decimal | None:
    """The value of a fragment that must be one number and its dressing, from the first to the last character."""
    if len(fragment) > LONGEST_FRAGMENT:
        return None
    fragment = fragment.strip()
    if fragment.isascii() and fragment.isdigit() and len(fragment) <= _LARGEST:
        return Decimal(fragment)  # by far the most frequent form
    text = _undress(fragment).strip()
    while len(text) > 1 and (text[0], text[-1]) in {("(", ")"), ("{", "}"), ("$", "$"), ("*", "*")}:
        text = text[1:-1].strip()
    name, sign, value = text.rpartition("=")
    if not sign:
        name, sign, value = text.rpartition(": ")
    if sign and not _NAME.fullmatch(name.strip(" $")):
        return None
    return _signed(value.strip())


def _compare(value: Decimal | None, gold: str) -> Outcome:
    expected = parse_number(gold)
    if value is None or expected is None:
        return Outcome.UNPARSED
    return Outcome.CORRECT if value == expected else Outcome.WRONG


def _may_be_heading(marked: Marked) -> bool:
    return marked.kind == "hash" and not marked.final


def _undress(text: str) -> str:
    """Drop LaTeX and markdown dressing that cannot change a value."""
    if not text.isascii():
        text = text.translate(_CHARACTERS)
    text = text.replace("\\$", "$").replace("\\%", "%").replace("\\\\", " ")
    text = _DEGREES.sub(" degrees ", text)
    text = _GROUPING.sub(lambda match: "," if match[0][0] == "{" else "", text)
    text = _SPACING.sub(" ", _THIN_GROUP.sub("", text))
    # An empty or digit-only wrapper must not glue its content to the digits beside it.
    return _MATH.sub("", _WRAPPER.sub(r" \1 ", text))


def _signed(text: str) -> Decimal | None:
    """sign, currency, number, `x 10^n`, unit: the whole of `text`."""
    negative, signs = False, 0
    position = 0
    while position < len(text) and text[position] in "+- " + _CURRENCY:
        if text[position] in "+-":
            negative, signs = text[position] == "-", signs + 1
        position += 1
    match = _PLAIN.match(text, position)
    if match is None or signs > 1:
        return None
    value, position = match[0], match.end()
    power = _TIMES_TEN.match(text, position)
    exponent = 0
    if power is not None:
        exponent, position = int(power[1] or power[2]), power.end()
    if not _is_unit(text[position:]):
        return None
    return _decimal(value, exponent, negative)


def _decimal(digits: str, exponent: int = 0, negative: bool = False) -> Decimal | None:
    digits = digits.replace(",", "")
    mantissa, _, written = digits.lower().partition("e")
    exponent += int(written or 0)
    if len(mantissa) > _LARGEST or abs(exponent) > _LARGEST:
        return None
    value = Decimal(f"{mantissa}e{exponent}")
    return -value if negative else value


def _is_unit(text: str) -> bool:
    """Whether what follows a number leaves its value alone: nothing, `%`, currency, words of a unit, a full stop."""
    text = text.strip().rstrip(".,;$").strip().removeprefix("%").strip(_CURRENCY + " ")
    if text.startswith("."):
        return False  # a numbered heading: "1. Compute"
    if _UNIT.sub("", text).strip(" /.,'-()\u00b7*%"):
        return False
    return all(_is_unit_word(_LETTERS.match(unit[0])[0]) for unit in _UNIT.finditer(text))


def _is_unit_word(word: str) -> bool:
    if len(word) == 1 and word.isascii():
        return word in _SHORT_UNITS or word == "a"  # "3 times a day"
    return word.lower() not in _MULTIPLIERS | _CONNECTIVES and not _MULTIPLYING_CHARACTERS.intersection(word)


def _final_number(text: str) -> Decimal | None:
    """The last number of running text, unless it is part of something larger."""
    text = _undress(text)
    for match in reversed(list(_RUN.finditer(text))):
        before, after = text[max(0, match.start() - 60) : match.start()], text[match.end() : match.end() + 60]
        if before[-1:] == "_" or (before[-1:].isalpha() and before[-1:].isascii()):
            continue  # part of a name: the 2 of m2, the 1 of x_1
        if match[0].rstrip(".,") in {"2", "3"} and _UNIT_POWER.search(before):
            continue
        return _in_text(before, match[0], after)
    return None


def _in_text(before: str, run: str, after: str) -> Decimal | None:
    digits = run.rstrip(".,")
    if _PLAIN.fullmatch(digits) is None:
        return None
    bare = before.rstrip(_CURRENCY)
    negative = False
    if bare[-1:] in {"+", "-"}:
        operand = bare[:-1].rstrip(" " + _CURRENCY)[-1:]
        if operand.isdigit() or operand in {")", "]", "}", "%"} or bare[-2:-1].isalpha() or bare[-2:-1] in {"+", "-"}:
            return None  # 10-5, x-5, COVID-19, --5
        negative = bare[-1] == "-"
        bare = bare[:-1].rstrip(_CURRENCY)
    if bare[-1:] == ":" and bare[-2:-1].isdigit():
        return None  # 3:30
    if bare[-1:] in {"/", "^", "{", "_", "\\", "<", ">", "\u00b1", "\u221a"}:
        return None
    if bare[-1:] == "(" and (bare[-2:-1].isalnum() or bare[-2:-1] in {"^", "/"}):
        return None  # f(5), sqrt(5), 2^(5)
    if bare[-1:] == "," and bare[-2:-1].isdigit():
        return None
    before_operator = bare.rstrip()
    if before_operator[-1:] in {"*", "/", "+", "-", "^", "\u00d7", "\u00f7", "\u00b7", "x"}:
        operand = before_operator[:-1].rstrip()[-1:]
        if operand.isdigit() or operand in {")", "]", "}", "%"}:
            return None  # an expression that was never worked out
    if re.search(
        r"\\(?:times|cdot|div|pm|mp|approx|frac|dfrac|tfrac|sqrt|pi|ln|log|le|ge|leq|geq|neq)\s*\{?$", before_operator
    ):
        return None
    if before_operator.endswith(",") and after.lstrip()[:1] in {")", "]"} and _inside_bracket(before_operator):
        return None  # the last member of a tuple
    if len(run) > len(digits):  # the run's own full stop ends the sentence
        return _decimal(digits, negative=negative)
    return _decimal(digits, negative=negative) if _ends_number(after) else None


def _inside_bracket(before: str) -> bool:
    return max(before.rfind("("), before.rfind("[")) > max(before.rfind(")"), before.rfind("]"))


def _ends_number(after: str) -> bool:
    """Whether the text after a number leaves it a number: no operator, power, fraction, variable or multiplier."""
    first = after[:1]
    if (
        first in {"^", "_", "/", "(", "{", "!", "\u221a"}
        or first in _UNICODE_POWERS
        or (first.isnumeric() and not first.isascii())
    ):
        return False
    rest = after.lstrip(" $%" + _CURRENCY)
    if rest[:1] in {"+", "*", "/", "^", "=", "\u00d7", "\u00f7", "\\", "<", ">"} and rest[1:].lstrip()[:1].strip(".,"):
        return False
    word = _UNIT.match(rest)
    if word is None:
        return True
    letters = _LETTERS.match(word[0])[0]
    following = rest[word.end() : word.end() + 1]
    if following.isdigit() or following in {"(", "_", "^", "="}:
        return False
    if len(letters) == 1 and letters.isascii():
        return letters in _SHORT_UNITS or (rest is not after and letters in "aI")  # "2 a day", "so 5 I think"
    return letters.lower() not in _MULTIPLIERS and not _MULTIPLYING_CHARACTERS.intersection(letters)
