"""Each method: what its card in the report says, and what its arms cost."""

from __future__ import annotations

from repro.report.format import seconds, size
from repro.report.html.cards import Card, cards
from sitegen import committed
from sitegen.words import block, code, papers, plain, table, title

_INTRODUCTION = """# Methods

What each method computes, what it needs of the trainer, where it differs from its paper, what its formulas rest on and
what it cost. The text is that of the method's own source file. A method of your own:
[adding a method](../adding_a_method.md).

"""
_COSTS = {
    "step_seconds_equal_prompts": ("Time/step, equal prompts", seconds),
    "step_seconds_equal_completions": ("Time/step, equal completions", seconds),
    "train_seconds": ("Training time", seconds),
    "predicted_peak_bytes": ("Peak memory, predicted", size),
}


def pages() -> dict[str, str]:
    found = cards({})
    costs = _costs()
    rows = [(f"[{card.name}]({_file(card)})", plain(card.summary), papers(card.paper)) for card in found]
    index = _INTRODUCTION + table(("Method", "What it is", "Source"), rows)
    return {"methods/index.md": index, **{f"methods/{_file(card)}": _page(card, costs) for card in found}}


def _file(card: Card) -> str:
    return f"{'verified' if card.also else card.name}.md"


def _page(card: Card, costs: dict[str, list[tuple[str, ...]]]) -> str:
    name = "Verified forms (-v)" if card.also else card.name
    facts = [("Paper", papers(card.paper)), ("Formulas rest on", papers(card.evidence)), ("Source", code(card.module))]
    if card.also:
        facts.append(("Names", ", ".join(map(code, card.also))))
    parts = [title(name), f"# {plain(name)}\n", f"{plain(card.summary)}\n", table(("", ""), facts)]
    parts += ["## What it computes\n", *_text(card)]
    if card.formulas:
        parts.append("## Formulas as code\n")
        for formula in card.formulas:
            parts += [
                f'??? note "`{formula.name}`: {_one_line(formula.text)}"\n',
                _indented(block(formula.source, "python")),
            ]
    if card.needs:
        parts += ["## What it needs of the trainer\n", "".join(_need(*need) for need in card.needs)]
    if card.deviations:
        listed = "".join(f"{n}. {papers(words)}\n" for n, words in enumerate(card.deviations, start=1))
        parts += [f"## {plain(card.differs or 'What differs from the paper')}\n", listed]
    if card.settings:
        rows = [(code(name), code(value), plain(meaning)) for name, value, meaning in card.settings]
        parts += ["## Settings\n", table(("Field", "Default", "Meaning"), rows)]
    return "\n".join([*parts, *_cost([row for method in (card.name, *card.also) for row in costs.get(method, [])])])


def _text(card: Card) -> list[str]:
    show = {"formula": lambda words: block(words, "formula"), "item": lambda words: f"- {papers(words)}\n"}
    return [show.get(kind, lambda words: f"{papers(words)}\n")(words) for kind, words in card.text]


def _one_line(text: str) -> str:
    return plain(text).replace('"', "”")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def _need(name: str, value: str, meaning: str) -> str:
    shown = name if value in ("True", name) else f"{name} = {value}"
    return f"- {code(shown)}" + (f": {plain(meaning)}" if meaning else "") + "\n"


def _cost(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["## Cost\n", "No published arm has this method.\n"]
    note = (
        "At scale micro, from the stored records; compare times within one experiment only: they are of one machine.\n"
    )
    header = ("Experiment", "Arm", *(heading for heading, _ in _COSTS.values()))
    return ["## Cost\n", note, table(header, rows, numbers_from=2)]


def _costs() -> dict[str, list[tuple[str, ...]]]:
    """Method -> a row per arm of the published tables that has it."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for experiment in committed.published():
        for arm in committed.rows(experiment.id):
            if arm.get("method", "none") != "none" and arm["seeds"]:
                shown = [show(float(arm[name]) if arm.get(name) else None) for name, (_, show) in _COSTS.items()]
                link = f"[{experiment.id}](../tables/{experiment.id}.md)"
                found.setdefault(arm["method"], []).append((link, plain(arm["display"]), *shown))
    return found
