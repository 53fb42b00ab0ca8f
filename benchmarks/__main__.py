"""Entry point of `python -m benchmarks`; see `benchmarks.cli`."""

import contextlib
import sys

from benchmarks.cli import main
from benchmarks.process import set_allocator

if __name__ == "__main__":
    # No command has imported torch yet.
    set_allocator()
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
