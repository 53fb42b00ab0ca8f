"""Identity of a configuration: the values that tell a run from all others."""

from collections.abc import Mapping
from typing import Any

# Fields that were added after rows were committed. At these values, they do not count in a spec's id.
DEFAULTS_OMITTED_FROM_ID = {
    "data_revision": None,
    "demonstrations": 0,
    "examples": None,
    "forward_equivalents": None,
    "length_threshold": None,
    "long_above": None,
    "metric": None,
    "shots": None,
    "train_on": "all",
    "trainable": "all",
    "trust_remote_code": False,
}
# The same for the settings of methods.
SETTINGS_OMITTED_FROM_ID = {"direction": "normal"}


def identifying(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the values that do not count in an id.

    A row from before a field or a setting existed equals a later row that holds its default.

    >>> identifying({"shots": None, "steps": 5, "settings": {"direction": "normal", "lr": 0.1}})
    {'steps': 5, 'settings': {'lr': 0.1}}
    """
    kept = _without(config, DEFAULTS_OMITTED_FROM_ID)
    return kept | {"settings": _without(config["settings"], SETTINGS_OMITTED_FROM_ID)}


def _without(values: Mapping[str, Any], omitted: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in omitted or v != omitted[k]}
