"""Repeat runs with the code of the current folder, for `scripts/verify_rows.py`.

Reads a JSON object from standard input: "configs" of runs, the "threads" of each, which can change last bits,
the "folder" of their data or null, and the folder "out" for their rows. Writes each row to `out/ID.json` as
soon as its run ends, and skips runs that have a row. The script may run in a checkout of an older commit, so
it uses as little of the code as possible.
"""

import json
import os
import sys
from pathlib import Path

import torch

from benchmarks.config.spec import from_dict
from benchmarks.training import run as train


def main() -> None:
    """Repeat the runs."""
    request = json.load(sys.stdin)
    out = Path(request["out"])
    out.mkdir(parents=True, exist_ok=True)
    for config, threads in zip(request["configs"], request["threads"], strict=True):
        torch.set_num_threads(threads)
        spec = from_dict(config)
        target = out / f"{spec.id}.json"
        if not target.exists():
            row = train.run(spec, train.load(spec, request["folder"]), suite="verify")
            part = target.with_suffix(".part")
            part.write_text(json.dumps(row), encoding="utf-8")
            os.replace(part, target)
            print(f"{row['label']} on {spec.task}, {spec.model}: {row['status']}", flush=True)


if __name__ == "__main__":
    main()
