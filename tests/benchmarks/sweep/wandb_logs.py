"""Helpers for the tests of tracking: read and upload the logs of offline runs as users do."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.wandb_server import Server


def read(file):
    """Return a run's records from wandb's own reader: (run, {step: values}, summary, exit code)."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    records = [json.loads(line) for line in output.splitlines()]
    run = next(r["run"] for r in records if r["type"] == "run")
    history, summary, exit_code = {}, {}, None
    for record in records:
        if record["type"] == "history":
            step = record["history"]["step"].get("num", 0)
            assert step not in history
            history[step] = without_private(record["history"]["item"])
        elif record["type"] == "summary":
            summary |= record["summary"]["update"]
        elif record["type"] == "exit":
            exit_code = record["exit"].get("exit_code", 0)
    return run, history, without_private(summary), exit_code


def sync(folder: Path, server: Server) -> None:
    """Upload all offline runs below a folder with `wandb sync`."""
    parts = [str(part) for part in folder.glob("wandb/offline-run-*")]
    command = [sys.executable, "-m", "wandb", "sync", *parts]
    subprocess.run(command, env=environment(folder, server), capture_output=True, check=True)


def environment(folder: Path, server: Server) -> dict[str, str]:
    """Return the environment of a client of the server, with wandb's cache in a folder."""
    changes = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "WANDB_ERROR_REPORTING": "false"}
    changes |= {"WANDB_CACHE_DIR": str(folder / "cache"), "WANDB_CONFIG_DIR": str(folder / "config")}
    return os.environ | changes


def without_private(values):
    """Return the values whose names do not begin with an underscore, which marks wandb's own."""
    return {name: value for name, value in values.items() if name[0] != "_"}
