"""Optional packages: the error for a missing one names the command that installs it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def optional(package: str, extra: str) -> Iterator[None]:
    """Import an optional package in this context.

    Args:
        package: the package.
        extra: the extra of this repository that installs it.

    Raises:
        ValueError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ValueError(f"{package} is not installed: pip install -e '.[{extra}]'") from None
