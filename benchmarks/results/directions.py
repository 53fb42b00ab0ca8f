"""Directions of zeroth-order runs in tables and figures: names that tell them apart, and a note.

Normal directions are the default, so they are not named. If all runs of a method have another direction, a
note names it. If only some have, the direction becomes part of their label, too.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from benchmarks.config.identity import SETTINGS_OMITTED_FROM_ID
from benchmarks.results.order import label_key

# The direction of a run that perturbs no weights.
NOTHING = ""
DEFAULT = SETTINGS_OMITTED_FROM_ID["direction"]
# Direction -> what a note calls it, and what labels call it. Other directions keep their names.
LONG = {"rademacher": "independent random signs (Rademacher)"}
SHORT = {"rademacher": "Rademacher"}


def direction_of(config: Mapping) -> str:
    """Return the direction of a run, or `NOTHING` if it perturbs no weights.

    >>> direction_of({"settings": {"eps": 1e-3, "zo_batch_size": 6}})
    'normal'
    """
    settings = config["settings"]
    return settings.get("direction", DEFAULT) if settings.get("zo_batch_size") else NOTHING


def names(runs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the name of every (label, direction) that occurs, so that two directions never share a name.

    >>> names([("MeZO", "normal"), ("MeZO", "rademacher"), ("Addax", "rademacher")])[("MeZO", "rademacher")]
    'MeZO (Rademacher)'
    """
    directions = defaultdict(set)
    for label, direction in runs:
        directions[label].add(direction)
    return {
        (label, direction): label
        if len(found) == 1 or direction in (NOTHING, DEFAULT)
        else _with_variant(label, SHORT.get(direction, direction))
        for label, found in directions.items()
        for direction in found
    }


def _with_variant(label: str, variant: str) -> str:
    """Return a label with one more variant in parentheses.

    >>> _with_variant("MeZO (released)", "Rademacher"), _with_variant("MeZO", "Rademacher")
    ('MeZO (released, Rademacher)', 'MeZO (Rademacher)')
    """
    return f"{label[:-1]}, {variant})" if label.endswith(")") else f"{label} ({variant})"


def note(runs: Iterable[tuple[str, str]]) -> str:
    """Return a sentence that names the methods whose directions are not normal; empty if there are none.

    >>> note([("MeZO", "rademacher"), ("Addax", "rademacher"), ("Adam", NOTHING)])
    'Directions: independent random signs (Rademacher) for Addax and MeZO.'
    """
    labels = defaultdict(set)
    for label, direction in runs:
        if direction not in (NOTHING, DEFAULT):
            labels[direction].add(label)
    parts = [
        f"{LONG.get(direction, direction)} for {_listed(sorted(found, key=label_key))}"
        for direction, found in sorted(labels.items())
    ]
    return f"Directions: {'; '.join(parts)}." if parts else ""


def _listed(words: list[str]) -> str:
    """Return words as a list in a sentence.

    >>> _listed(["Addax"]), _listed(["Addax", "MeZO", "MeZO-SVRG"])
    ('Addax', 'Addax, MeZO, and MeZO-SVRG')
    """
    if len(words) < 3:
        return " and ".join(words)
    return f"{', '.join(words[:-1])}, and {words[-1]}"
