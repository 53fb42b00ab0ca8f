"""A Slurm job file for a sweep on several nodes; `ray symmetric-run` starts and ends the cluster."""

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.errors import UserError

TEMPLATE = Path(__file__).with_name("slurm.sbatch.jinja")
TIME = re.compile(r"(\d+-)?\d{1,2}:[0-5]\d:[0-5]\d")
# What the job file gives itself.
GIVEN = ("--executor", "--ray-address", "--dry-run")


def job_file(
    suite: str, *, nodes: int = 1, gpus_per_node: int = 0, time: str = "24:00:00", options: Sequence[str] = ()
) -> str:
    """The text of a job file for `sbatch`, to be submitted in the repository's folder.

    Args:
        suite: a suite's name.
        nodes: whole nodes of the job.
        gpus_per_node: GPUs of each node, one a run; 0: runs on the CPU.
        time: limit of the job, `HH:MM:SS` or `D-HH:MM:SS`.
        options: further words for `sweep`.

    Raises:
        UserError: a value that is wrong, or jinja2 is missing.

    >>> print(job_file("quick", nodes=2).splitlines()[1])
    #SBATCH --job-name=addax-quick
    """
    registry.path("suite", suite)
    if nodes < 1:
        raise UserError(f"--nodes must be at least 1, not {nodes}")
    if gpus_per_node < 0:
        raise UserError(f"--gpus-per-node must be 0 or more, not {gpus_per_node}")
    if not TIME.fullmatch(time):
        raise UserError(f"--time is HH:MM:SS or D-HH:MM:SS, not {time!r}")
    for word in options:
        if word.partition("=")[0] in GIVEN:
            raise UserError(f"--options: the job file gives {word.partition('=')[0]} itself")
    try:
        import jinja2
    except ImportError:
        raise UserError('a job file needs jinja2: pip install -e ".[ray]"') from None
    template = jinja2.Template(
        TEMPLATE.read_text(), undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return template.render(
        suite=suite, nodes=nodes, gpus_per_node=gpus_per_node, time=time, options=shlex.join(options)
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command `slurm`."""
    parser.add_argument("suite")
    parser.add_argument("--nodes", type=int, default=1, help="whole nodes (default: 1)")
    parser.add_argument(
        "--gpus-per-node", type=int, default=0, help="one a run (default: 0, runs on the CPU)"
    )
    parser.add_argument("--time", default="24:00:00", help="HH:MM:SS or D-HH:MM:SS (default: a day)")
    parser.add_argument("--options", default="", help="further options of sweep: --options='--only task=cb'")


def main(given: argparse.Namespace) -> int:
    """Prints the job file; the exit code."""
    try:
        options = shlex.split(given.options)
    except ValueError as error:
        raise UserError(f"--options {given.options!r}: {error}") from None
    text = job_file(
        given.suite, nodes=given.nodes, gpus_per_node=given.gpus_per_node, time=given.time, options=options
    )
    print(text, end="")
    return 0
