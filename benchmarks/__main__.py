"""Entry point of `python -m benchmarks`; see `benchmarks.cli`."""

import contextlib
import sys

from benchmarks.cli import main

if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
