"""Scenes with equal groups, as data: how many groups, how many in each, and all of them; `scene` has the notation."""

from __future__ import annotations

from repro.tasks.words.scene import scene

GROUPS = (
    scene(
        "groups", "food goods animals plants", "uvw", "w",
        "[{A} has {#u} {c}|there are {#u} {c} {at}|{A} bought {#u} {c}]", "how many {c} [are there|does {A} have]?",
        "[each {c1} [has|holds|contains] {v}|there are {v} in each {c1}|with {v} in each {c1}]",
        "how many {o} are in each {c1}?",
        "there are [a total of |]{w}",
        "how many {o} [are there in all|does {A} have|are there altogether|would {A} have]?", times=True,
    ),
    scene(
        "arranged", "food goods plants", "uvw", "w",
        "{A} [put|placed|organized] {A's} {o} into {#u} {c}", "how many {c} did {A} make?",
        "[with {v} in each {c1}|{A} put {v} in each {c1}|each {c1} has {v}]", "how many {o} are in each {c1}?",
        "{A} has {w} in total", "how many {o} does {A} have [in all|altogether|in total]?", times=True,
    ),
    scene(
        "share", "food goods", "wuv", "v",
        "{A} [has|had|made] {w}", "how many {o} did {A} have [at first|in all|initially]?",
        "{A} [shared them equally among|gave equal numbers of {o} to|split them equally between|"
        "gave the same number of {o} to] "
        "{#u} [1:friends|kids|people|children]",
        "how many [1:friends|kids|people|children] [did {A} share with|got {o}]?",
        "each [friend|person|of them] got {v}",
        "how many {o} did each [friend|person|of them] [get|receive|eat]?", vague="w", times=True,
    ),
    scene(
        "each-got", "food goods", "uvw", "w",
        "[{A} has {#u} [1:friends|guests|kids|cousins]|{#u} [1:friends|guests|kids|cousins] came to {A's} party]",
        "how many [1:friends|guests|kids|cousins] [got {o}|did {A} have]?",
        "{A} gave {v} to each [|of them]", "how many {o} did {A} give each of them?",
        "{A} gave away {w}[| in all]", "how many {o} did {A} [give away|need|prepare][| in all]?", times=True,
    ),
    scene(
        "split", "food goods animals", "wuv", "v",
        "{A} has {w}[| in {A's} collection]", "how many {o} does {A} have?",
        "[the {o} are organized into|{A} wants to split the {o} into|{A} put them into] {#u} [|equal ]{c}"
        "[| with the same number in each]",
        "how many {c} [are there|did {A} use]?",
        "each {c1} has {v}", "[how big is each {c1}|how many {o} are in each {c1}|how many {o} will each {c1} have]?",
        times=True,
    ),
    scene(
        "hold", "people", "wvu", "u",
        "{w} want to [ride|go|sit down|travel]", "how many {o} can [ride|go|sit down] [in all|at the same time]?",
        "each [1:boat|seat|car|bus|table] can [hold|take] {#v} [people|of them|{o}]",
        "how many [people|{o}] can each [1:boat|seat|car|bus|table] hold?",
        "there are {#u} [1:boats|seats|cars|buses|tables]",
        "how many [1:boats|seats|cars|buses|tables] [are needed|do they need|are there]?", times=True,
    ),
    scene(
        "money", "food goods", "wuv", "v",
        "with {#w} dollars {A} can buy {o}", "how [much|many dollars] does {A} need?",
        "{A} [gets|can buy] {u}[| for that]", "how many {o} can {A} buy?",
        "each [of them |]costs {#v} dollars", "how much does each [one |]cost?", times=True,
    ),
    scene(
        "pack", "food goods", "wvu", "u",
        "{A} has {w}", "how many {o} does {A} have [in all|altogether]?",
        "[each {c1} holds {v}|{A} puts {v} in each {c1}|{A} wants to split them into {c} of {#v}]",
        "how many {o} are in each {c1}?",
        "{A} [needs|filled|made] {#u} {c}",
        "how many {c} [does {A} need|will be created|can {A} fill|would {A} have|can {A} make]?", times=True,
    ),
    scene(
        "cost", "food goods", "uvw", "w",
        "{A} [1:bought|sold] {u}", "how many {o} did {A} [1:buy|sell]?",
        "[each one costs {#v} dollars|each of them costs $ {#v}|with each one costing {#v} dollars]",
        "how much [did|does] each [one|of them] cost?",
        "{A} [1:paid|made] [a total of |]{#w} dollars",
        "how much [money |]did {A} [1:pay|make][| in all|[1:| by selling the {o}]]?", times=True,
    ),
    scene(
        "shop-makes", "food goods", "uvw", "w",
        "[{R} sold {u}|during the game they sold {u}]", "how many {o} did they sell?",
        "[{R} makes|they make|{R} made] [$ {#v}|{#v} dollars|$ {#v} dollars] off each [one|of the {o}][| sold]",
        "how much did they make off each one?",
        "[{R}|they] made {#w} dollars[| by selling {o}]",
        "how much money did they make[| with the {o}| by selling {o}]?", times=True,
    ),
    scene(
        "spent-each", "food goods", "wuv", "v",
        "{A} [spent|paid] [{#w} dollars|$ {#w}] to buy {o}", "how much did {A} spend?",
        "{A} [bought {u}|got {u} for it][| each costing {him} the same amount of money]", "how many {o} did {A} buy?",
        "each one cost {#v} dollars", "how much did each [one |of them |]cost?", times=True,
    ),
    scene(
        "wage", "goods", "uvw", "w",
        "{A} worked for {#u} [1:weeks|days|hours]", "how many [1:weeks|days|hours] did {A} work?",
        "{A} earns [$ {#v}|{#v} dollars] [every|each|a|per] [1:week|day|hour]",
        "how much [money |]does {A} earn [each|per] [1:week|day|hour]?",
        "{A} [earned|earns] a total of [{#w} dollars|$ {#w}]",
        "how much [money |]did {A} earn [in all|altogether]?", times=True,
    ),
    scene(
        "per-day", "food homework goods", "uvw", "w",
        "it took [{him}|them] {#u} days[| to finish]", "how many days did it take[| to finish]?",
        "[2:{A}|they] [1:did|made|read|finished|harvested|collected] {v} [per|each|a|every] day",
        "how many {o} did [2:{A}|they] [1:do|make|read|finish|harvest|collect] [per|each] day?",
        "[2:{A}|they] [1:did|made|read|finished|harvested|collected] [a total of |]{w}",
        "how many {o} did [2:{A}|they] [1:do|make|read|finish|harvest|collect] [in all|in total]?", times=True,
    ),
    scene(
        "after-days", "food goods", "vuw", "w",
        "they [1:harvest|make|collect|sell] {v} [per|each|a|every] day",
        "how many {o} do they [1:harvest|make|collect|sell] [per|each] day?",
        "the [harvest|sale|work] [1:lasts|goes on for|will last] {#u} days", "how many days [did|does|will] it last?",
        "they have {w} at the end", "how many {o} will they have [after {#u} days|at the end|in all]?", times=True,
    ),
    scene(
        "book-days", "goods", "wuv", "v",
        "the book had {#w} pages", "how many pages did the book have?",
        "{A} [1:finished|read] the book in {#u} days", "how many days did {A} need to [1:finish|read] the book?",
        "{A} read {#v} pages [per|each|every] day", "how many pages did {A} read [per|each|every] day?", times=True,
    ),
    scene(
        "book-chapters", "goods", "uvw", "w",
        "{A's} book has {#u} chapters", "how many chapters does the book have?",
        "each chapter has {#v} pages", "how many pages are in each chapter?",
        "the whole book has {#w} pages", "how many pages does the [whole |]book have?", times=True,
    ),
    scene(
        "rounds", "points", "uvw", "w",
        "{A} played {#u} [2:rounds|games][| of a game]", "how many [2:rounds|games] did {A} play?",
        "{A} [1:scored|gained|got] {v} in each [2:round|game]",
        "how many {o} did {A} score in each [2:round|game]?",
        "{A} scored [a total of |]{w}[|, the same in each [2:round|game]]",
        "how many {o} did {A} score [in all|in the game|in total]?", times=True,
    ),
    scene(
        "classes", "people", "uvw", "w",
        "[{R} has {#u} [1:classrooms|classes|buses]|there are {#u} [1:classrooms|classes|buses]]",
        "how many [1:classrooms|classes|buses] are there?",
        "[there are {v} in each [1:class|class|bus]|each one has {v}|with {v} in each [1:class|class|bus]]",
        "how many {o} are in each [1:class|class|bus]?",
        "there are {w} in the school", "how many {o} are there in [the school|all]?", times=True,
    ),
    scene(
        "seats", "people", "uvw", "w",
        "there are {#u} [1:buses|wheels|rows|tables]", "how many [1:buses|wheels|rows|tables] [are there|are needed]?",
        "each [1:bus|wheel|row|table] has {#v} [seats|chairs]",
        "how many [seats|chairs] does each [1:bus|wheel|row|table] have?",
        "there are {#w} [seats|chairs][| in all]",
        "how many [seats|chairs|people can sit] are there[| in all]?", times=True,
    ),
    scene(
        "houses", "goods", "uvw", "w",
        "there are {#u} houses in {A's} [block|street]", "how many houses are there?",
        "{A} [has to give|gives|should give] {v} to each house", "how many {o} should {A} give each house?",
        "{A} has to give away {w} in all", "how many {o} should {A} give [away |][in all|altogether]?", times=True,
    ),
    scene(
        "takes", "goods", "uvw", "w",
        "{A} [1:made|built] {#u} [necklaces|towers|toys|boxes]", "how many did {A} [1:make|build]?",
        "each [one|of them] [takes|needs|uses] {v}", "how many {o} does each one [take|need]?",
        "{A} used {w}", "how many {o} did {A} [use|need|have]?", times=True,
    ),
    scene(
        "length", "goods", "wuv", "v",
        "{A} has a [1:rope|ribbon|plank] of {#w} {len}", "how long was the [1:rope|ribbon|plank]?",
        "{A} cut it into {#u} equal pieces", "how many pieces are there?",
        "each piece is {#v} {len} long", "how long is each piece?", times=True,
    ),
)  # fmt: skip
