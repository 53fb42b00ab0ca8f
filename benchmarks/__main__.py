"""Entry point of `python -m benchmarks`; see `benchmarks.cli`."""

import contextlib
import sys

from benchmarks.cli import main
from benchmarks.process import configure

if __name__ == "__main__":
    # No command has imported torch yet.
    configure()
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
