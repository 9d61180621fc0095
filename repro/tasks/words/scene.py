"""What a word problem is about: a scene with three quantities, any of which may be the one asked for.

The kinds of scene are the usual ones of one-step problems (change, combine and compare after Riley, Greeno and Heller,
1983; equal groups for products). Whole, first and second part are `w`, `u` and `v`: `w = u + v`, or `w = u * v` where
`times` is set; of two quantities that are compared, `w` is the larger, `v` the smaller and `u` the difference.

Notation of the sentences:

- `[a|b]` is a choice; choices with a digit in front (`[1:made|got]`, `[1:make|get]`) are made alike;
- `{u}` is a quantity with its noun (`5 apples`, or `some apples` while it is unknown), `{+u}` the same with "more",
  `{#u}` the bare number, `{u:p}` counts the second noun; `{#z}` is a number beside the point;
- `{o}` and `{p}` are two nouns of one kind; `{c}` and `{c1}` containers and one of them; `{len}` and `{wt}` units;
- `{A}` is the first person: a name, later a pronoun; `{A's}` and `{him}` go with it; `{B}` is another one, `{kin}` a
  relative, `{R}` a shop, a school or the like;
- `{at}` is a place, `{t1}` and `{t2}` are times, `{k1}` and `{k2}` qualities.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """For each quantity a statement and the question for it, told in this `order`, `usual` being asked as a rule."""

    name: str
    kinds: tuple[str, ...]  # of `lexicon.THINGS`
    order: str
    usual: str
    tell: dict[str, str]
    ask: dict[str, str]
    vague: str = ""  # quantities that may be told as "some" while they are asked for
    times: bool = False


def scene(name: str, kinds: str, order: str, usual: str, *parts: str, vague: str = "", times: bool = False) -> Scene:
    """A scene from statement and question of each quantity in turn, in the given order."""
    tell = dict(zip(order, parts[::2], strict=True))
    ask = dict(zip(order, parts[1::2], strict=True))
    return Scene(name, tuple(kinds.split()), order, usual, tell, ask, vague, times)
