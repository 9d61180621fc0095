"""The words of the word problems: names, things that belong together, containers, times. Data, written for this suite.

Common English words were preferred that also occur in the training set of SVAMP; its test set was never looked at. No
problem of it is copied; a few short sentences that everybody writes ("How many pages did he read per day?") coincide.
"""

from __future__ import annotations

GIRLS = tuple(
    "Anna Mary Julia Rachel Emily Sofia Olivia Jessica Helen Haley Melissa Gwen Nell Lucy Kelly Katie Tiffany Carol "
    "Brenda Shirley Rebecca Robin Faye Paige Jill Nina Clara Rosa Grace Emma Laura Sarah Debby".split()
)
BOYS = tuple(
    "Paul Frank David Danny Jack Steven Dave Adam Josh Bobby Randy Edward Ryan Jerry Luke Matthew Philip Lewis Fred "
    "Jason Dan John Bryan Jake Zachary Marco Paco Tyler Ed Doug Jesse Allan Tom Ben Sam Peter Max".split()
)
ROLES = tuple(
    "the baker|a farmer|the teacher|the waiter|a store|the shop|the school|a chef|the library|a grocery store|"
    "the gardener|the zoo|the museum|the club|a company".split("|")
)
KIN = tuple("friend|friends|brother|sister|mom|dad|mother|father|class|cousin|teacher|classmates".split("|"))

# Things of one kind may stand beside each other in one story.
THINGS = {
    "food": (
        "apples", "oranges", "peaches", "bananas", "cookies", "cakes", "pastries", "pies", "crackers", "muffins",
        "tomatoes", "potatoes", "eggs", "strawberries", "candies", "chocolates", "pieces of candy",
        "pieces of chocolate", "chocolate chip cookies", "raisin cookies", "pears", "cherries", "grapes", "carrots",
        "sandwiches", "packs of gum", "bottles of soda", "bottles of water", "cups of flour", "cups of sugar",
        "cups of salt", "slices of pizza",
    ),
    "goods": (
        "books", "pens", "pencils", "crayons", "erasers", "marbles", "cards", "baseball cards", "stickers", "toys",
        "shirts", "t-shirts", "jerseys", "magazines", "games", "video games", "movies", "balloons", "bottle caps",
        "wrappers", "blocks", "action figures", "necklaces", "beads", "stamps", "coins", "tickets", "packs of cards",
        "caps", "hats", "shoes", "pictures", "notebooks", "rulers", "dolls", "balls", "cans", "nails", "planks",
        "shells", "rocks", "letters", "newspapers", "flowers", "seeds", "cars", "tiles", "boxes of pens", "dvds",
    ),
    "plants": ("roses", "orchids", "tulips", "flowers", "trees", "bushes", "plants", "lilies"),
    "people": (
        "boys", "girls", "kids", "children", "students", "pupils", "people", "campers", "visitors", "teachers",
        "adults", "players", "guests", "customers", "parents", "men", "women", "friends", "passengers",
    ),
    "animals": (
        "birds", "storks", "cats", "dogs", "snakes", "alligators", "fish", "frogs", "bears", "ducks", "cows",
        "horses", "sheep", "animals", "chickens", "rabbits", "monkeys",
    ),
    "files": ("apps", "files", "emails", "letters", "pictures", "messages", "songs", "videos"),
    "exercises": ("push-ups", "crunches", "sit-ups", "jumps", "laps"),
    "homework": (
        "pages of math homework", "pages of reading homework", "pages of biology homework", "pages of homework",
        "pages of science homework",
    ),
    "lessons": (
        "hours on learning english", "hours on learning chinese", "hours on learning spanish", "hours on homework",
        "hours on reading", "hours on music",
    ),
    "points": ("points", "goals", "coins", "stars"),
}  # fmt: skip

CONTAINERS = (
    ("bags", "bag"), ("boxes", "box"), ("baskets", "basket"), ("packs", "pack"), ("packages", "package"),
    ("jars", "jar"), ("groups", "group"), ("sets", "set"), ("trays", "tray"), ("piles", "pile"), ("sacks", "sack"),
    ("cases", "case"), ("rows", "row"), ("shelves", "shelf"), ("bookshelves", "bookshelf"), ("tables", "table"),
    ("pots", "pot"), ("cages", "cage"), ("aquariums", "aquarium"), ("buckets", "bucket"), ("drawers", "drawer"),
    ("crates", "crate"),
)  # fmt: skip
PLACES = (
    "at the park", "at the store", "in the garden", "at home", "at school", "in the house", "on the table",
    "in the room", "in the box", "in the basket", "on the shelf", "in the yard", "at the zoo", "in the backyard",
    "on the fence", "in the vase", "in the bag", "near the lake", "in the field", "at the camp", "on the bus",
    "in the class", "in the collection", "in the kitchen", "near the mountain", "on the phone",
)  # fmt: skip
TIMES = (
    ("on Monday", "on Tuesday", "on Wednesday"), ("in the morning", "in the afternoon", "in the evening"),
    ("last week", "this week", "the next week"), ("yesterday", "today", "the day before"),
    ("in the first game", "in the second game", "in the third game"),
    ("in the first week", "in the second week", "in the last week"),
    ("on the first day", "on the second day", "on the next day"), ("in winter", "in summer", "in spring"),
)  # fmt: skip
KINDS_OF = (
    ("red", "green", "yellow"), ("blue", "white", "black"), ("large", "small", "new"), ("old", "new", "broken"),
    ("ripe", "unripe", "green"), ("sweet", "salty", "fresh"), ("diet", "regular", "lite"),
    ("big", "little", "blue"), ("chocolate", "lemon", "apple"),
)  # fmt: skip
LENGTHS = ("inches", "feet", "meters", "miles")
WEIGHTS = ("pounds", "kilograms", "grams")

# Sentences that a story may open with; the notation is that of `scene`.
OPENERS = (
    "{A} [likes|loves|wants|collects|needs] {o}", "{A} collects {o} and {p}", "it was {A's} birthday",
    "{A} went to the [store|park|zoo|supermarket|library|garden] with {A's} {kin}", "{A} and {B} are friends",
    "{A} [was|is] reading a [new|good] book", "{A} [was|is] [baking|making|preparing] [a cake|dinner|lunch]",
    "{R} was [open|busy|closed] {t1}", "the school is planning a [trip|party|game]", "{A} was playing with {B}",
    "winter is [here|coming]", "{A} was getting ready for [school|a party|dinner|the holidays]",
    "{A} took a look at {A's} {o}", "during the summer {A} stayed [home|with {A's} {kin}|at a camp]",
    "there was a [big |]contest {at}", "{A} [is|was] cleaning the [house|room|garage]",
    "{A} [lives|works] in a [big|small] [house|town|country|city]",
    "{A} wanted to [build|make|buy] something [new|big]",
    "{A} [has|had] different [types|kinds] of {o}", "every day {A} goes to [school|work|the gym]",
    "after [eating|school|work|lunch] {A} went [home|out|for a walk]", "{A} [decided|asked {B}] to help",
    "{A} watched [a movie|the game|the birds] with {A's} {kin}", "there were many {o} {at}",
    "it was a [cold|warm|long] day", "{A} and {A's} {kin} went [fishing|shopping|camping|swimming] together",
    "everyone in the [class|family|house] likes {o}", "{A} [found|saw|has] some {p} too",
    "{A} told {B} about the {o}", "{R} sells [different |]{o} and {p}",
)  # fmt: skip

# Sentences about a quantity that nobody asks for; the notation is that of `scene`.
OWNER_ASIDES = (
    "{A} also has {#z} {p}", "{B} has {#z} {p}", "{A} [bought|found|got] {#z} {p} too", "{A} is {#z} years old",
    "{B} [lost|sold|gave away] {#z} {p}", "{A} [lives|went] {#z} miles from [school|the park]",
    "it took {him} {#z} minutes", "{A} spent {#z} dollars on {p}", "{B} [bought|had|made] {#z} {p} {t1}",
    "{A} [has|had] {#z} {p} {at}", "last year {A} had {#z} {p}",
)  # fmt: skip
ANY_ASIDES = (
    "there are also {#z} {p}", "{#z} {p} were {at}", "{#z} people were [watching|there]", "it took {#z} minutes",
    "there were {#z} {p} [before|last year]", "{#z} {p} are [new|old|somewhere else]",
)  # fmt: skip
