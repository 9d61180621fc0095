"""Three-valued check of symbolic answers (MATH and its like): strict fast paths here, math-verify in killable workers.

The answer is the last `\\boxed{}`, else the line after the last `####`; a gold that is a plain number also accepts the
final number of the text. What happens to it, in order, differs from calling math-verify on the completion as follows.

1. Only the LAST box counts (math-verify makes two boxes a set); an unclosed box is unparsed.
2. Two plain numbers are compared as Decimals (`numeric.py`): exact, and `50%` is 50, never 0.5.
3. Text answers (`\\text{east}`, `\\text{(C)}`) are compared as text: math-verify reads letters as commuting factors, so
   "east" would equal "seat". Numbers in a base (`2516_8`) are compared digit by digit: it ignores the base.
4. `x =` or `x \\in` is dropped when it names the same variable wherever it stands. Any other equation given for a gold
   without one is unparsed: math-verify takes `4=5` for 5. A percentage is never a fraction.
5. The gold goes first: math-verify is not symmetric. A decimal equals an exact value when both agree to 6 decimals
   (math-verify's rule) and to 4 significant digits, so 0.333333 is one third but 0.0 is not 1/10000000.
6. An item that overruns its deadline, exhausts memory or kills its worker is unparsed, as is text math-verify cannot
   read. `unparsed` is therefore also the rate of answers that could not be judged.

Model text is data: it is filtered to LaTeX characters, and no evaluator of strings ever sees it (`checker.py`).
"""

from __future__ import annotations

import re

from repro.tasks.answers import workers as pool
from repro.tasks.answers.extract import marked_answer
from repro.tasks.answers.numeric import check_numeric, extract_number, parse_number, spell
from repro.tasks.outcome import Outcome

LONGEST_ANSWER = 400  # characters; the longest gold of MATH has about 160
DEADLINE = 5.0  # seconds

_ALLOWED = re.compile(r"[A-Za-z0-9\s\\{}()\[\]^_+\-*/=<>,.;:|!&$%~\u00b0-\uffff]*")
_MULTIPLIER = re.compile(r"(?:hundred|thousand|[mbtr]illion|dozen)s?(?![a-z])")  # math-verify drops it like a unit
_REFUSED = re.compile(r"__|\\(?:variable|input|write)")
_DRESSING = re.compile(
    r"\\(?:left|right|displaystyle|bigl?|bigr?|Bigl?|Bigr?)(?![A-Za-z])|\\[!,;: ]|\\q?quad(?![A-Za-z])|~"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_JOINED = re.compile(r"\s*\\text\s*\{\s*(?:or|and)\s*\}\s*")
_WORD = re.compile(r"[A-Za-z]{4,}(?: [A-Za-z]+)*")
_IN_BASE = re.compile(r"([0-9A-F,]+)_\{?([0-9]{1,2})\}?")
_NAMED = re.compile(r"(?:^|(?<=,))\s*((?:[A-Za-z]|\\[a-z]+)(?:_\{?\w\}?)?(?:\([a-z]\))?)\s*(?:=|\\in(?![A-Za-z]))")
_EQUALS = re.compile(r"(?<![<>!\\])=")
_PERCENT = re.compile(r"\\?%|\\text\s*\{\s*percent\s*\}")


def check_symbolic(completion: str, gold: str, deadline: float = DEADLINE) -> Outcome:
    return check_symbolic_many([(completion, gold)], deadline)[0]


def check_symbolic_many(pairs: list[tuple[str, str]], deadline: float = DEADLINE, workers: int = 1) -> list[Outcome]:
    """Outcomes of (completion, gold) pairs. `deadline`: seconds per item, from the start of its comparison.

    Equal comparisons are made once. No text makes this raise; a broken installation raises ReproError.
    """
    judged = [_judge(completion, gold) for completion, gold in pairs]
    hard = list(dict.fromkeys(item for item in judged if isinstance(item, tuple)))
    found = dict(zip(hard, pool.compare(hard, deadline, workers), strict=True))
    return [item if isinstance(item, Outcome) else found[item] for item in judged]


def check_by_math_verify(pairs: list[tuple[str, str]], deadline: float = DEADLINE, workers: int = 1) -> list[Outcome]:
    """Outcomes of (completion, gold) pairs by math-verify alone: of the rules above only 1, 5 and 6 hold.

    Without a box or a `####` line the final number of the text is the answer. What cannot be handed to a worker (too
    long, or characters that LaTeX has no use for) is unparsed.
    """
    items: list[tuple[str, str] | None] = []
    for completion, gold in pairs:
        marked = marked_answer(completion)
        answer = marked.text if marked is not None and marked.final else spell(extract_number(completion))
        good = answer and len(answer) <= LONGEST_ANSWER and _ALLOWED.fullmatch(answer) and not _REFUSED.search(answer)
        items.append((gold, answer) if good else None)
    unlike = list(dict.fromkeys(item for item in items if item is not None))
    found = dict(zip(unlike, pool.compare(unlike, deadline, workers), strict=True))
    return [Outcome.UNPARSED if item is None else found[item] for item in items]


def voting_form(completion: str) -> str | None:
    """The answer of a completion in a plain spelling, so that equal ones can be counted; None without a usable one.

    Numbers are spelled by value. Other forms of one value (`\\frac12` and `0.5`) are not brought together: telling
    them apart costs a comparison by math-verify per pair, and votes that are split do no more than weaken a majority.
    """
    marked = marked_answer(completion)
    if marked is None or not marked.final:
        return spell(extract_number(completion))
    if not marked.text or len(marked.text) > LONGEST_ANSWER:
        return None
    return spell(parse_number(marked.text)) or _plain(marked.text) or None


def _judge(completion: str, gold: str) -> Outcome | tuple[str, str]:
    """The outcome, or the (gold, answer) that needs math-verify."""
    marked = marked_answer(completion)
    number = parse_number(gold)
    if marked is None or not marked.final:
        return check_numeric(completion, gold) if number is not None else Outcome.UNPARSED
    answer = marked.text
    if not answer or len(answer) > LONGEST_ANSWER:
        return Outcome.UNPARSED
    value = parse_number(answer)
    gold, answer = _plain(gold), _plain(answer)
    if value is not None and number is not None and len(_names(gold) | _names(answer)) <= 1:
        return Outcome.CORRECT if value == number else Outcome.WRONG
    if gold == answer:
        return Outcome.CORRECT if answer else Outcome.UNPARSED
    words = _words(gold)
    if words is not None:
        given = _words(answer) or _letters(answer)
        return (Outcome.CORRECT if given == words else Outcome.WRONG) if given else Outcome.UNPARSED
    if _IN_BASE.fullmatch(gold) or _IN_BASE.fullmatch(answer):
        same = _in_base(gold) == _in_base(answer) is not None
        return Outcome.CORRECT if same else Outcome.WRONG
    return _expressions(gold, answer)


def _expressions(gold: str, answer: str) -> Outcome | tuple[str, str]:
    if not _ALLOWED.fullmatch(answer) or _REFUSED.search(answer) or _MULTIPLIER.search(answer):
        return Outcome.UNPARSED
    gold, answer = _JOINED.sub(",", gold), _JOINED.sub(",", answer)
    if len(_names(gold) | _names(answer)) == 1:
        gold, answer = _NAMED.sub("", gold).strip(), _NAMED.sub("", answer).strip()
    if len(_EQUALS.findall(answer)) > len(_EQUALS.findall(gold)):
        return Outcome.UNPARSED
    if bool(_PERCENT.search(answer)) != bool(_PERCENT.search(gold)):
        return Outcome.WRONG
    if gold[:1] == "(" and gold[-1:] in {")", "]"} and "," in gold and not answer.startswith(("(", "[", "\\")):
        answer = f"({answer})"  # a bare list would be read as a set, in any order
    return gold, answer


def _plain(text: str) -> str:
    """The same answer in one spelling: no outer dollars, size commands, spacing commands or full stop."""
    text = text.strip().strip("$").strip().rstrip(".").strip()
    text = text.replace("\u2212", "-").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\$", "")
    return " ".join(_DRESSING.sub(" ", text).split())


def _words(text: str) -> str | None:
    """The letters of an answer that is text as a whole, in lower case, else None."""
    if _WORD.fullmatch(text):
        return _letters(text)
    match = _TEXT.fullmatch(text)
    return (_letters(match[1]) or None) if match and not re.search(r"[0-9\\^_]", match[1]) else None


def _letters(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s-]", " ", _TEXT.sub(r"\1", text)).lower().split())


def _in_base(text: str) -> tuple[str, str] | None:
    match = _IN_BASE.fullmatch(text)
    return (match[1].replace(",", "").lstrip("0"), match[2]) if match else None


def _names(text: str) -> set[str]:
    return set(_NAMED.findall(text))
