"""Scenes with two parts of a whole, or with two quantities and their difference, as data; `scene` has the notation."""

from __future__ import annotations

from repro.tasks.words.scene import scene

_ANY = "food goods plants people animals"

TOGETHER = (
    scene(
        "together", "food goods points exercises", "uvw", "w",
        "{A} [1:has|brought|did|made|got|collected] {u}",
        "how many {o} [1:does {A} have|did {A} bring|did {A} do|did {A} make|did {A} get|did {A} collect]?",
        "{B} [1:has|brought|did|made|got|collected] {v}",
        "how many {o} [1:does {B} have|did {B} bring|did {B} do|did {B} make|did {B} get|did {B} collect]?",
        "together they [1:have|brought|did|made|got|collected] {w}",
        "how many {o} [1:do they have|did they bring|did they do|did they make|did they get|did they collect] "
        "[in all|together|altogether|in total]?",
    ),
    scene(
        "days", "people", "uvw", "w",
        "{A} [1:counted|played with|met|saw|taught] {u} {t1}",
        "how many {o} did {A} [1:count|play with|meet|see|teach] {t1}?",
        "{A} [1:counted|played with|met|saw|taught] {v} {t2}",
        "how many {o} did {A} [1:count|play with|meet|see|teach] {t2}?",
        "{A} [1:counted|played with|met|saw|taught] [a total of |]{w}",
        "how many {o} did {A} [1:count|play with|meet|see|teach] [in all|altogether|in total]?", vague="uv",
    ),
    scene(
        "times", "food goods files points exercises homework", "uvw", "w",
        "{A} [1:got|received|made|did|finished|found] {u} {t1}",
        "how many {o} did {A} [1:get|receive|make|do|finish|find] {t1}?",
        "{A} [1:got|received|made|did|finished|found] {v} {t2}",
        "how many {o} did {A} [1:get|receive|make|do|finish|find] {t2}?",
        "{A} [1:got|received|made|did|finished|found] [a total of |]{w}",
        "how many {o} did {A} [1:get|receive|make|do|finish|find] [in all|altogether|in total|in the day]?", vague="uv",
    ),
    scene(
        "went", "people", "uvw", "w",
        "{u} went [1:fishing|hiking|swimming|to the museum] {t1}",
        "how many {o} went [1:fishing|hiking|swimming|there] {t1}?",
        "{v} went [1:fishing|hiking|swimming|there] {t2}", "how many {o} went [1:fishing|hiking|swimming|there] {t2}?",
        "a total of {w} went [1:fishing|hiking|swimming|there]",
        "how many {o} went [1:fishing|hiking|swimming|there] [in all|altogether|in total]?", vague="uv",
    ),
    scene(
        "qualities", _ANY, "wuv", "v",
        "there are [a total of |]{w} {at}", "how many {o} are there [in all|altogether|{at}]?",
        "[{#u} of them are {k1}|there are {#u} {k1} {o}]", "how many {k1} {o} are there[| {at}]?",
        "[{#v} of them are {k2}|there are {#v} {k2} {o}]", "how many {k2} {o} are there[| {at}]?",
    ),
    scene(
        "rest", _ANY, "wuv", "v",
        "[{R} has {w}|{A} has {w}|there are {w}]", "how many {o} are there [in all|altogether]?",
        "{#u} [of them |]are {k1}[| and the rest are {k2}]", "how many {k1} {o} are there?",
        "{#v} are {k2}", "how many {k2} {o} are there?",
    ),
    scene(
        "girls-boys", "people", "wuv", "v",
        "[there are {#w} [pupils|students|kids] in a school|{R} teaches {#w} [pupils|students|kids]]",
        "how many [pupils|students|kids] are there[| in that school]?",
        "{#u} of them are [1:girls|boys][| and the rest are [1:boys|girls]]",
        "how many [1:girls|boys] are there[| in the school]?",
        "{#v} are [1:boys|girls]", "how many [1:boys|girls] are there[| in the school]?",
    ),
    scene(
        "both", _ANY, "uvw", "w",
        "[there are {u} {at}|{A} has {u}|{R} has {u}]", "how many {o} are there?",
        "[there are also|there are] {v:p}", "how many {p} are there?",
        "there are {#w} {o} and {p}", "how many {o} and {p} are there [in all|altogether|in total]?",
    ),
    scene(
        "bought", "food goods", "uvw", "w",
        "{A} [1:bought {o} for|spent] [{#u} dollars|$ {#u}][1:| on {o}]", "how much did the {o} cost?",
        "{A} [spent {#v} dollars on {p}|bought {p} for $ {#v}]", "how much did the {p} cost?",
        "{A} spent {#w} dollars in all", "how much [money |]did {A} spend [in all|altogether|on {o} and {p}]?",
    ),
    scene(
        "chapters", "goods", "uvw", "w",
        "the first [1:chapter|book] has {#u} pages", "how many pages are in the first [1:chapter|book]?",
        "the second [1:chapter|book] [has {#v} pages|takes {#v} pages]",
        "how many pages are in the second [1:chapter|book]?",
        "there are {#w} pages in total", "how many pages are there in all?",
    ),
    scene(
        "yet-to", "goods files", "uvw", "w",
        "{A} has [1:seen|read|used|opened] {u}", "how many {o} has {A} [1:seen|read|used|opened]?",
        "{v} are [still |]left", "how many {o} are [still |]left?",
        "there are {w} in the [series|collection|set]",
        "how many {o} are there in the [series|collection|set]?", vague="u",
    ),
)  # fmt: skip

COMPARED = (
    scene(
        "more", "food goods points exercises", "wvu", "u",
        "{A} [1:has|did|got|made|ate|brought] {w}",
        "how many {o} [1:does {A} have|did {A} do|did {A} get|did {A} make|did {A} eat|did {A} bring]?",
        "{B} [1:has|did|got|made|ate|brought] {v}",
        "how many {o} [1:does {B} have|did {B} do|did {B} get|did {B} make|did {B} eat|did {B} bring]?",
        "[{A} [1:has|did|got|made|ate|brought] {#u} more {o} than {B}|"
        "{B} [1:has|did|got|made|ate|brought] {#u} [fewer|less] {o} than {A}]",
        "[how many more {o} [1:does {A} have|did {A} do|did {A} get|did {A} make|did {A} eat|did {A} bring] than {B}|"
        "how many [fewer|less] {o} [1:does {B} have|did {B} do|did {B} get|did {B} make|did {B} eat|"
        "did {B} bring] than {A}]?",
    ),
    scene(
        "more-kinds", _ANY + " files exercises homework", "wvu", "u",
        "[2:{A}|{R}] [1:had|made|bought|did|received|has] {w}", "how many {o} [are|were] there?",
        "[2:{A}|{R}] [also |][1:had|made|bought|did|received|has] {v:p}", "how many {p} [are|were] there?",
        "there [are|were] {#u} more {o} than {p}",
        "how many more {o} than {p} [1:did [2:{A}|{R}] have|did [2:{A}|{R}] make|did [2:{A}|{R}] buy|"
        "did [2:{A}|{R}] do|did [2:{A}|{R}] receive|does [2:{A}|{R}] have]?",
    ),
    scene(
        "there-kinds", _ANY, "wvu", "u",
        "there [1:are|were] {w}[| {at}]", "how many {o} [1:are|were] there?",
        "there [1:are|were] [also |]{v:p}", "how many {p} [1:are|were] there?",
        "there [1:are|were] {#u} more {o} than {p}",
        "how many [2:more|fewer] [2:{o}|{p}] than [2:{p}|{o}] [1:are|were] there[| {at}]?",
    ),
    scene(
        "more-days", "people food goods files points exercises homework lessons", "wvu", "u",
        "{A} [1:got|received|counted|did|saw|finished] {w} {t1}",
        "how many {o} did {A} [1:get|receive|count|do|see|finish] {t1}?",
        "{A} [1:got|received|counted|did|saw|finished] {v} {t2}",
        "how many {o} did {A} [1:get|receive|count|do|see|finish] {t2}?",
        "{A} [1:got|received|counted|did|saw|finished] {#u} more {o} {t1} than {t2}",
        "how many more {o} did {A} [1:get|receive|count|do|see|finish] {t1} than {t2}?",
    ),
    scene(
        "played-more", "people", "wvu", "u",
        "{A} [1:played with|met|saw] {w} {t1}", "how many {o} did {A} [1:play with|meet|see] {t1}?",
        "{A} [1:played with|met|saw] {v} {t2}", "how many {o} did {A} [1:play with|meet|see] {t2}?",
        "{A} [1:played with|met|saw] {#u} more {o} {t1} than {t2}",
        "how many more {o} did {A} [1:play with|meet|see] {t1} than {t2}?",
    ),
    scene(
        "spends", "lessons", "wvu", "u",
        "{A} spends {w}", "how many {o} does {A} spend?",
        "{A} spends {v:p}", "how many {p} does {A} spend?",
        "{A} spends {#u} more {o} than {p}", "how many more {o} does {A} spend than {p}?",
    ),
    scene(
        "went-more", "people", "wvu", "u",
        "{w} went [1:fishing|hiking|swimming] {t1}", "how many {o} went {t1}?",
        "{v} went [1:fishing|hiking|swimming] {t2}", "how many {o} went {t2}?",
        "{#u} more {o} went [1:fishing|hiking|swimming] {t1} than {t2}",
        "how many more {o} went [1:fishing|hiking|swimming] {t1} than {t2}?",
    ),
    scene(
        "verbs", "food goods", "wvu", "u",
        "{A} [1:bought|made|found] {w}", "how many {o} did {A} [1:buy|make|find]?",
        "{A} [2:sold|lost|gave away|threw away|used] {v}",
        "how many {o} did {A} [2:sell|lose|give away|throw away|use]?",
        "{A} [1:bought|made|found] {#u} more {o} than {A} [2:sold|lost|gave away|threw away|used]",
        "how many more {o} did {A} [1:buy|make|find] than those {A} [2:sold|lost|gave away|threw away|used]?",
    ),
    scene(
        "farther", "animals", "wvu", "u",
        "[2:{A}|the {o}] [1:jumped|ran|walked|swam] {#w} {len}", "how far did [2:{A}|the {o}] [1:jump|run|walk|swim]?",
        "[2:{B}|the {p}] [1:jumped|ran|walked|swam] {#v} {len}", "how far did [2:{B}|the {p}] [1:jump|run|walk|swim]?",
        "[3:[2:{A}|the {o}]|[2:{B}|the {p}]] [1:jumped|ran|walked|swam] {#u} {len} [3:farther|less] than "
        "[3:[2:{B}|the {p}]|[2:{A}|the {o}]]",
        "how much farther did [2:{A}|the {o}] [1:jump|run|walk|swim] than [2:{B}|the {p}]?",
    ),
    scene(
        "heavier", "food goods", "wvu", "u",
        "{A's} {o} [weigh|weighed] {#w} [1:pounds|kilograms]", "how much do {A's} {o} weigh?",
        "{B}'s {o} [weigh|weighed] {#v} [1:pounds|kilograms]", "how much do {B}'s {o} weigh?",
        "{A's} {o} weigh {#u} [1:pounds|kilograms] more than {B}'s",
        "how much more did {A's} {o} weigh than {B}'s?",
    ),
    scene(
        "price", "goods food", "wvu", "u",
        "[1:the {o} cost|{A} paid] {#w} dollars", "how much [1:do the {o} cost|did {A} pay]?",
        "[1:the {p} cost|{B} paid] {#v} dollars", "how much [1:do the {p} cost|did {B} pay]?",
        "[1:the {o} cost|{A} paid] {#u} dollars more than [1:the {p}|{B}]",
        "how much more [1:do the {o} cost|did {A} pay] than [1:the {p}|{B}]?",
    ),
    scene(
        "discount", "food goods", "wuv", "v",
        "[1:each pack of {o} costs|the {o} cost] {#w} dollars", "how much did [1:each pack|the {o}] cost before?",
        "there is a discount of {#u} dollars[1: on each pack|]", "how big [was|is] the discount?",
        "{A} paid {#v} dollars[1: for each pack|]",
        "how much [do you|does {A}] have to pay[1: for each pack| for the {o}]?",
    ),
)  # fmt: skip
