"""Method cards: read from the catalogue and the source text, without torch."""

import re
import subprocess
import sys
from importlib import import_module

from repro.methods.catalogue import METHODS, MethodEntry
from repro.report.html.cards import cards


def test_every_method_has_a_card_with_its_deviations_and_needs():
    found = cards({"tbrm": [("table1", "stored/table1.html"), ("table1", "stored/table1.html")]})
    named = {name for card in found for name in (card.name, *card.also)}
    assert set(METHODS) <= named
    for card in found:
        documentation = import_module(card.module).__doc__
        assert len(card.deviations) == len(re.findall(r"(?m)^\d+\. ", documentation)), card.name
        assert card.needs and card.formulas or card.name == "loo", card.name
        assert any(kind == "formula" for kind, _ in card.text), card.name
        said = " ".join([words for _, words in card.text] + [card.differs, *card.deviations]).replace("`", "")
        lost = [word for word in documentation.replace("`", "").split() if word.strip(".:-0123456789") not in said]
        assert not lost, (card.name, lost)
    (tbrm,) = [card for card in found if card.name == "tbrm"]
    assert ("reference", "True", "ref_logps: log-probs of the frozen base model") in tbrm.needs
    assert tbrm.used_by == [("table1", "stored/table1.html")]
    assert ("beta", "0.002", "KL strength of the target; enters the loss as reward / beta.") in tbrm.settings
    (formula,) = [one for one in tbrm.formulas if one.name == "tbrm_loss"]
    assert formula.source.startswith("def tbrm_loss(") and formula.text.startswith("Eq. 4")


def test_indented_lines_of_the_source_are_formulas():
    (card,) = [card for card in cards({}) if card.name == "rebel"]
    assert ("formula", "mean over pairs of ( (d - d') / eta - (r - r') )².") in card.text


def test_a_method_without_source_has_a_card_all_the_same():
    entry = MethodEntry("<script>", "no.such.module", "X", "NoConfig", "Does {{ nothing }}.", "none", "nothing")
    (card,) = cards({}, [entry])
    assert (card.name, card.summary, card.deviations, card.settings) == ("<script>", "Does {{ nothing }}.", (), ())


def test_cards_need_no_torch():
    code = "import sys; from repro.report.html.cards import cards; cards({}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
