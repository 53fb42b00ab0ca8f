"""Reads a data file as a run does, and prints the seconds and the memory of this process as one JSON line.

    python benchmarks/studies/_read_file.py FILE TASK

Run it in a fresh process: it imports only what reads rows, so its peak is that of reading.
"""

import json
import re
import resource
import sys
import time
from pathlib import Path


def peak_bytes() -> int:
    """Return the largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike `ru_maxrss`, this is not inherited from the parent process.
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(file: str, task_name: str) -> None:
    """Read the file once."""
    from benchmarks import tasks
    from benchmarks.data import sources

    task = tasks.load(task_name)
    start = time.perf_counter()
    pools = sources.file_pools(sources.file_version(Path(file)), task)
    seconds = time.perf_counter() - start
    count = sum(pool.size for pool in pools)
    print(json.dumps({"count": count, "seconds": seconds, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
