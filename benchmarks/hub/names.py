"""Names of repositories on the hub: `owner/name`, or `owner/name@REVISION`."""

import re
from dataclasses import dataclass, replace
from typing import Literal

COMMIT = re.compile("[0-9a-f]{40}")
Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Repo:
    """A repository on the hub at a revision.

    Attributes:
        name: owner/name; old data sets have no owner.
        kind: what it holds.
        revision: branch, tag, or commit; None for the main branch.
    """

    name: str
    kind: Kind = "model"
    revision: str | None = None

    def __str__(self) -> str:
        if self.revision is None:
            return self.name
        return f"{self.name}@{self.revision[:7] if COMMIT.fullmatch(self.revision) else self.revision}"

    @property
    def described(self) -> str:
        """The repository for a message: "model owner/name@revision"."""
        return f"{'model' if self.kind == 'model' else 'data set'} {self}"

    def at(self, commit: str) -> "Repo":
        """Return the same repository at a commit."""
        return replace(self, revision=commit)


def parse(name: str) -> Repo | None:
    """Return the model that a name stands for; None if the name does not have the form of a hub name.

    A revision may contain slashes (`refs/pr/3`).

    >>> parse("facebook/opt-125m@refs/pr/3")
    Repo(name='facebook/opt-125m', kind='model', revision='refs/pr/3')
    >>> parse("opt-125m"), parse("facebook/opt-125m@")
    (None, None)
    """
    repo, at, revision = name.partition("@")
    owner, slash, rest = repo.partition("/")
    if not (owner and slash and rest) or "/" in rest or owner[0] in ".~" or bool(at) != bool(revision):
        return None
    return Repo(repo, revision=revision or None)


def unpinned(name: str) -> str:
    """Return a model name without its revision.

    >>> unpinned("facebook/opt-125m@v1"), unpinned("nano-opt"), unpinned("./my@folder")
    ('facebook/opt-125m', 'nano-opt', './my@folder')
    """
    repo = parse(name)
    return name if repo is None else repo.name
