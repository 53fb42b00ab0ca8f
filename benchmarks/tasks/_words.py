"""The word classes of the built-in language: small, fixed, and shared by all tasks.

Each word is a token of the committed nano models. A change to the words would require new weights.
"""


def _class(words: str) -> tuple[str, ...]:
    return tuple(words.split())


NAMES = _class(
    "Adam Ben Carl Dan Eric Frank George Henry Jack Leo Mark Paul Alice Beth Clara Emma Grace Helen Iris "
    "Kate Laura Mary Nina Vera"
)

# Facts: a name, a verb, and a thing.
TAKES = _class("bought sold found lost kept made drew hid sent stole")
THINGS = _class(
    "apples baskets bells books boots bottles bowls boxes candles carpets chairs clocks coats coins cups "
    "drums eggs flags gloves hats jars lamps masks mirrors pears pens plates pots ropes shirts spoons toys"
)
COLORS = _class("red blue green black white")

# Opinions.
PRAISE = _class("lovely funny clever charming moving fresh brilliant warm witty")
BLAME = _class("awful boring clumsy stupid dull stale ugly cold lazy")

# Unfamiliar words: the pretraining corpus uses them, but nothing in it depends on their meaning.
NEW_PRAISE = _class("superb sweet touching vivid lucid deft lyrical nimble poignant radiant serene sublime")
NEW_BLAME = _class("dreadful bitter annoying trite vapid leaden garish tepid banal hollow muddled dreary")
NEW_COLORS = _class("yellow brown grey purple pink orange")
NEW_FIRST = _class("initial opening earliest foremost original primary")
NEW_LAST = _class("final closing latest ultimate terminal concluding")
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
AMBIGUOUS = _class("bank bark bat branch crane leaf ring seal spring trunk")
COUNTRY = _class("river forest meadow lake")
CITY = _class("office station factory hotel")
NEW_COUNTRY = _class("hill valley island field")
NEW_CITY = _class("market museum kitchen theatre")
NOTICES = _class("saw found noticed drew")

TITLES = _class("Village Harvest Market Journey")

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
