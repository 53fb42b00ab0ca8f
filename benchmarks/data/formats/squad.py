"""Questions of SQuAD's nested JSON: articles with paragraphs, paragraphs with questions."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.tasks import _fields


def questions(path: Path, place: str, article: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the questions of an article as flat rows, like those on the hub.

    A question that SQuAD 2 marks as impossible has no answer; its row has the field "is_impossible".

    Args:
        path, place: the file, and the article's line in it.
        article: an element of the field "data".

    Raises:
        UserError: a field is missing or of another type.
    """
    where = place
    try:
        title = article.get("title", "")
        for i, paragraph in enumerate(_fields.get(article, "paragraphs", list), 1):
            where = f"{place}, paragraph {i} of {title!r:.60}"
            context = _fields.get(paragraph, "context", str)
            for qa in _fields.get(paragraph, "qas", list):
                name = qa.get("id") if isinstance(qa, Mapping) else None
                where = f"{place}, question {name}" if name else where
                question = _fields.get(qa, "question", str)
                impossible = qa.get("is_impossible") is True
                answers = [] if impossible else _fields.get(qa, "answers", list)
                texts = [_fields.get(answer, "text", str) for answer in answers]
                row = {"id": name, "title": title, "context": context, "question": question}
                row["answers"] = {"text": texts}
                yield where, row | ({"is_impossible": True} if impossible else {})
    except ValueError as error:
        raise UserError(f"{path}, {where}: {error}") from error
