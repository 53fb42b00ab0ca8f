"""Templates of prompts: texts with the fields of a row in braces."""

import re
from collections.abc import Mapping

# The field of a template that stands for the mask of a masked model.
MASK = "mask"
_TOKEN = re.compile(
    r"(?P<text>[^{}]+)|(?P<double>\{\{|\}\})|\{(?P<name>[^{}]*[^{}\s][^{}]*)\}|(?P<single>[{}])"
)


class Template:
    """A text with fields in braces; {{ and }} are braces.

    Attributes:
        fields: the distinct fields, in order, without the mask.
        masks: how often the mask occurs.

    >>> Template("{text} It was {mask}.").filled({"text": "Fun."}, "[MASK]")
    'Fun. It was [MASK].'
    """

    def __init__(self, text: str) -> None:
        """Parse a template.

        Raises:
            ValueError: a brace is single.
        """
        self._parts: list[tuple[str, str | None]] = []
        literal = ""
        for token in _TOKEN.finditer(text):
            if token["single"]:
                raise ValueError(
                    f"a single {token['single']} in {text!r:.60}: write a field as {{name}}, a brace twice"
                )
            literal += token["text"] or (token["double"] or "")[:1]
            if token["name"]:
                self._parts.append((literal, token["name"].strip()))
                literal = ""
        if literal or not self._parts:
            self._parts.append((literal, None))
        names = [name for _, name in self._parts if name is not None]
        self.fields = tuple(dict.fromkeys(name for name in names if name != MASK))
        self.masks = names.count(MASK)

    @property
    def ends_in_word(self) -> bool:
        """Whether a field, an ASCII letter, or a digit is last, so that a following word needs a space."""
        literal, name = self._parts[-1]
        return name is not None or (literal[-1:].isascii() and literal[-1:].isalnum())

    def filled(self, row: Mapping[str, str], mask: str = "") -> str:
        """Return the text with the fields of a row, and with the mask."""
        return "".join(
            literal if name is None else literal + (mask if name == MASK else row[name])
            for literal, name in self._parts
        )
