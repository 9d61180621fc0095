"""One word problem from its number: a scene, its numbers and its wording, all drawn by a generator of that number."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from repro.tasks.words import lexicon
from repro.tasks.words.changes import LESS, MORE
from repro.tasks.words.parts import COMPARED, TOGETHER
from repro.tasks.words.products import GROUPS
from repro.tasks.words.scene import Scene

OPERATIONS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
SCENES = LESS + MORE + TOGETHER + COMPARED + GROUPS
FORMS = ("plain", "distractor", "variation")
_PERSON = {"A": "he", "A's": "his", "him": "him"}  # slot -> pronoun
OPENED = 0.35  # share of the stories with an opening sentence
_KEPT = 20_000  # stories that are remembered
_CHOICE = re.compile(r"\[(?:([0-9]):)?([^\[\]]*)\]")
_SLOT = re.compile(r"\{([^{}]*)\}")
_WORDLESS = re.compile(r"\{[^{}]*\}|[\[\]|]|[0-9]:")  # what is notation and not text
_JOINTS = (" and ", " while ", ", ", " but ", " and then ")
_OPENING = re.compile(r"(?:then|later|now|after that) ")


@dataclass(frozen=True)
class Story:
    """A word problem and its equation; `others` are the numbers that do not matter."""

    text: str
    scene: str
    asked: str  # w, u or v
    first: int
    sign: str  # one of + - * /
    second: int
    others: tuple[int, ...]

    @property
    def answer(self) -> int:
        return calculate(self.first, self.sign, self.second)


def calculate(first: int, sign: str, second: int) -> int:
    """The result; a quotient is rounded down."""
    match sign:
        case "+":
            return first + second
        case "-":
            return first - second
        case "*":
            return first * second
    return first // second


def sentences() -> Iterator[str]:
    """Every piece of text that stories are made of, for the vocabulary."""
    for scene in SCENES:
        for pattern in (*scene.tell.values(), *scene.ask.values()):
            yield _WORDLESS.sub(" ", pattern)
    for pattern in lexicon.OPENERS + lexicon.OWNER_ASIDES + lexicon.ANY_ASIDES:
        yield _WORDLESS.sub(" ", pattern)
    yield from (*lexicon.GIRLS, *lexicon.BOYS, *lexicon.KIN, *lexicon.PLACES, *lexicon.LENGTHS, *lexicon.WEIGHTS)
    for nouns in lexicon.THINGS.values():
        yield from nouns
    for group in lexicon.CONTAINERS + lexicon.TIMES + lexicon.KINDS_OF:
        yield from group
    yield from (*lexicon.ROLES, *_JOINTS, "he she his her him 's some more if , . ?")


@lru_cache(_KEPT)
def tell(level: str, number: int) -> Story:
    """The story with that number, of a level such as `sub-distractor`."""
    return _Teller(level, number).story()


@cache
def _scenes(operation: str, form: str) -> tuple[tuple[Scene, str], ...]:
    """The scenes of a level, each with the quantity that it asks for."""
    times, whole = operation in ("mul", "div"), operation in ("add", "mul")
    found = []
    for scene in SCENES:
        for asked in "w" if whole else "uv":
            usual = asked == scene.usual
            if scene.times == times and (form == "distractor" or usual == (form == "plain")):
                found.append((scene, asked))
    return tuple(found)


class _Teller:
    def __init__(self, level: str, number: int):
        # Only `random()` keeps its values from one Python version to the next.
        self._random = random.Random(f"words:{level}:{number}").random
        operation, _, self.form = level.partition("-")
        self.sign = OPERATIONS[operation]
        self.scene, self.asked = self._pick(_scenes(operation, self.form))
        self.numbers = self._numbers()
        self.others: list[int] = []
        self.extended = ""  # quantities beside which the second noun is counted as well
        self.named = False  # whether {A} has been named
        self.alike: dict[str, float] = {}  # draws of choices that are made alike, by their digit
        self.words = self._words()

    def story(self) -> Story:
        told = [name for name in self.scene.order if name != self.asked]
        if self.form == "variation" and self._random() < 0.4:
            told.reverse()
        if self.asked in self.scene.vague and self._random() < 0.5:
            told = [name for name in self.scene.order if name != self.asked or name in self.scene.vague]
        if self.form == "distractor" and self._random() < 0.6:
            self.extended = self._extended(told)
        opener = self._fill(self._pick(self._ownable(lexicon.OPENERS))) if self._random() < OPENED else ""
        facts = [self._fill(self.scene.tell[name]) for name in told]
        if self.form == "distractor" and not self.others:
            facts.insert(int(self._random() * (len(facts) + 1)), self._aside())
        if opener:
            facts.insert(0, opener)
        text = self._join(facts, self._fill(self.scene.ask[self.asked]))
        first, second = self._operands(told)
        return Story(text, self.scene.name, self.asked, first, self.sign, second, tuple(self.others))

    def _operands(self, told: Sequence[str]) -> tuple[int, int]:
        if self.asked != "w":
            return self.numbers["w"], self.numbers["v" if self.asked == "u" else "u"]
        return tuple(self.numbers[name] for name in told if name != "w")

    # --- numbers

    def _numbers(self) -> dict[str, int]:
        if self.scene.times:
            u, v = self._between(2, 9), self._between(2, 12)
            if self._random() < 0.3:
                u, v = v, u
            return {"u": u, "v": v, "w": u * v}
        # A part that is told is at least 2, for the plural's sake.
        u, v = (self._number(1 if name == self.asked else 2) for name in "uv")
        return {"u": u, "v": v, "w": u + v}

    def _number(self, least: int = 2) -> int:
        share = self._random()
        low, high = (least, 9) if share < 0.45 else (10, 99) if share < 0.95 else (100, 499)
        return self._between(low, high)

    def _other(self) -> int:
        """A number beside the point; not one of the others, so that taking it is always wrong."""
        taken = {*self.numbers.values(), *self.others}
        while True:
            number = self._number()
            if number not in taken:
                self.others.append(number)
                return number

    # --- words

    def _words(self) -> dict[str, str]:
        girl, friend = self._random() < 0.5, self._random() < 0.5
        names = (lexicon.GIRLS if girl else lexicon.BOYS, lexicon.GIRLS if friend else lexicon.BOYS)
        a, b = (self._pick(pool) for pool in names)
        while b == a:
            b = self._pick(names[1])
        self.kind = self._pick(self.scene.kinds)
        nouns = lexicon.THINGS[self.kind]
        o, p = self._two(nouns)
        c, c1 = self._pick(lexicon.CONTAINERS)
        t1, t2 = self._two(self._pick(lexicon.TIMES))
        k1, k2 = self._two(self._pick(lexicon.KINDS_OF))
        return {
            "name": a, "he": "she" if girl else "he", "his": "her" if girl else "his", "him": "her" if girl else "him",
            "B": b, "kin": self._pick(lexicon.KIN), "R": self._pick(lexicon.ROLES), "o": o, "p": p,
            "c": c, "c1": c1, "at": self._pick(lexicon.PLACES), "t1": t1, "t2": t2, "k1": k1, "k2": k2,
            "len": self._pick(lexicon.LENGTHS), "wt": self._pick(lexicon.WEIGHTS),
        }  # fmt: skip

    def _two(self, items: Sequence[str]) -> tuple[str, str]:
        first = int(self._random() * len(items))
        second = int(self._random() * (len(items) - 1))
        return items[first], items[second + (second >= first)]

    def _fill(self, pattern: str) -> str:
        while "[" in pattern:
            pattern = _CHOICE.sub(self._choose, pattern)
        return _SLOT.sub(lambda match: self._slot(match[1]), pattern)

    def _choose(self, match: re.Match) -> str:
        options = match[2].split("|")
        if match[1] is None:
            return self._pick(options)
        return options[int(self.alike.setdefault(match[1], self._random()) * len(options))]

    def _slot(self, name: str) -> str:
        if name in _PERSON:
            if not self.named or self._random() < 0.3:
                self.named = True
                return self.words["name"] + "'s" * (name == "A's")
            return self.words[_PERSON[name]]
        if name == "#z":
            return str(self._other())
        if name in self.words:
            return self.words[name]
        quantity, _, noun = name.partition(":")
        known = quantity[-1] != self.asked
        text = str(self.numbers[quantity[-1]]) if known else "some"
        if quantity[0] == "#":
            return text
        more = " more" if quantity[0] == "+" else ""
        text = f"{text}{more} {self.words[noun or 'o']}"
        if known and quantity in self.extended:
            other = f"{self._other()} {self.words['p']}"
            text = f"{text} and {other}" if self._random() < 0.6 else f"{other} and {text}"
        return text

    # --- sentences

    def _extended(self, told: Sequence[str]) -> str:
        """One or all of the quantities that may stand beside one of the second noun; none if the scene has its own."""
        own = any("p}" in text for text in (*self.scene.tell.values(), *self.scene.ask.values()))
        room = [name for name in told if f"{{{name}}}" in self.scene.tell[name] and not own]
        return "".join(room) if self._random() < 0.5 or not room else self._pick(room)

    def _aside(self) -> str:
        owner = any("{A}" in text for text in self.scene.tell.values())
        own = self._ownable(lexicon.OWNER_ASIDES) if owner else ()
        return self._fill(self._pick((*own, *lexicon.ANY_ASIDES)))

    def _ownable(self, sentences: Sequence[str]) -> Sequence[str]:
        """Those of the sentences that do not speak of people or hours as somebody's things."""
        if self.kind not in ("people", "lessons"):
            return sentences
        return [text for text in sentences if "{o}" not in text and "{p}" not in text]

    def _join(self, facts: list[str], ask: str) -> str:
        """Facts and question as sentences: one by one, two in one, or the last one as a condition."""
        style = self._random()
        if style < 0.35:
            comma = "," if self._random() < 0.4 else ""
            last = _OPENING.sub("", facts[-1], count=1)
            if style < 0.1:
                return _sentences([*facts[:-1], f"{ask[:-1]} if {last}?"])
            if style < 0.15 and len(facts) > 1:
                facts[-2:], last = [], f"{facts[-2]} and {last}"
            else:
                facts.pop()
            return _sentences([*facts, f"if {last}{comma} {ask}"])
        if style < 0.55 and len(facts) > 1:
            word = self._pick(_JOINTS)
            facts[:2] = [facts[0] + word + _OPENING.sub("", facts[1], count=1)]
        return _sentences([*facts, ask])

    def _pick(self, items: Sequence):
        return items[int(self._random() * len(items))]

    def _between(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low + 1))


def _sentences(parts: Sequence[str]) -> str:
    return " ".join(f"{part[0].upper()}{part[1:]}{'' if part.endswith('?') else '.'}" for part in parts)
