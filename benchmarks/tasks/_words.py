"""The word classes of the built-in language: small, fixed, and shared by all tasks.

Each word is a token of the committed nano models. A change to the words would require new weights.
"""


def _class(words: str) -> tuple[str, ...]:
    return tuple(words.split())


NAMES = _class(
    "Adam Ben Carl Dan Eric Frank George Henry Ivan Jack Karl Leo Mark Noah Oscar Paul Ralph Sam Tom Victor "
    "Alice Beth Clara Diana Emma Fiona Grace Helen Iris Jane Kate Laura Mary Nina Olga Paula Rosa "
    "Sara Tina Vera"
)

# Facts: a name, a verb, and a thing.
TAKES = _class("bought sold found lost kept made drew hid sent stole")
THINGS = _class(
    "apples baskets bells books boots bottles bowls boxes brushes candles carpets chairs clocks "
    "coats coins cups dolls drums eggs flags forks gloves hats jars kites knives lamps masks "
    "mirrors nails pears pens pipes plates pots ropes shirts spoons stamps toys"
)
COLORS = _class("red blue green black white yellow brown grey")

# Opinions.
PRAISE = _class("lovely funny clever charming moving fresh brilliant warm witty superb sweet touching")
BLAME = _class("awful boring clumsy stupid dull stale ugly cold lazy dreadful bitter annoying")
ASPECTS = _class("plot acting music script story cast ending dialogue film humour photography direction")
SEEMS = _class("was seemed felt looked")
DEGREES = _class("very quite rather truly simply often")
ASIDES = (
    "for the most part",
    "in the second half",
    "to be fair",
    "as far as I can tell",
    "from the first scene on",
    "like so many others this year",
    "after a long and slow start",
    "at the end of the day",
)

# Words with two senses, which the place in the sentence distinguishes.
AMBIGUOUS = _class("bank bark bat bed branch crane leaf mouth ring root seal spring stem trunk watch wave")
COUNTRY = _class("river forest meadow lake hill valley island field")
CITY = _class("office station factory theatre market hotel museum kitchen")
NOTICES = _class("saw found noticed drew described remembered")

TITLES = _class("Village Harvest Market Journey Winter Festival")

# Sentences that are irrelevant to every question.
FILLERS = (
    "it rained.",
    "the day was long.",
    "nobody spoke.",
    "the road was empty.",
    "it was a quiet morning in the village.",
    "the bridge had been closed for years.",
    "most of the guests went home before dark.",
    "a dog slept in front of the door.",
    "the train came at noon.",
    "there was little to eat that winter.",
    "snow lay on the roofs and in the garden.",
    "the old clock in the tower had stopped.",
    "people talked about the weather for a while.",
    "in the evening there was music in the square.",
    "the harvest had been good that year.",
    "the letter did not say why.",
    "everyone waited in front of the house.",
    "the wind came from the sea all night.",
    "later the market was moved to the other side of the bridge.",
    "some of this is told in an old book about the village.",
)
