"""The sentences of a page as readers see them."""

import re


def sentences(text: str) -> list[str]:
    """Return the sentences of a list's items, without marks, emphasis, and the targets of links."""
    text = re.sub(r"<!--.*?-->", "", text).replace("**", "")
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    items = [" ".join(item.split()) for item in re.split(r"^- ", text, flags=re.M)[1:]]
    return [sentence for item in items for sentence in re.split(r"(?<=[A-Za-z)]\.) (?=[A-Z])", item)]
