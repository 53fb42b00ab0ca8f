"""The Slurm job file: valid shell, whose commands Ray's command line and the sweep's have."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.sweep import _slurm

pytest.importorskip("jinja2", reason="needs the extra `ray`")


def printed(capsys, *words):
    parser = argparse.ArgumentParser()
    _slurm.add_arguments(parser)
    assert _slurm.main(parser.parse_args(words)) == 0
    return capsys.readouterr().out


def directives(text):
    """The lines that sbatch reads: it stops at the first command."""
    head = text.split("\nset -euo pipefail\n")[0]
    assert text.count("#SBATCH") == head.count("#SBATCH")
    return set(re.findall(r"^#SBATCH (.*)$", head, re.M))


def srun(text, folder):
    """Words of the srun command when bash runs the file on the first of two nodes called n1 and n2."""
    for name, body in {
        "srun": 'printf "%s\\n" "$@"; [ -n "$RAY_AUTH_TOKEN" ]',
        "scontrol": "printf 'n1\\nn2\\n'",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SLURM_SUBMIT_DIR": str(registry.ROOT), "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_ON_NODE": "32",
        "VIRTUAL_ENV": sys.prefix,
    }  # fmt: skip
    done = subprocess.run(["bash"], input=text, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_job_on_gpus(capsys, tmp_path):
    options = "--options=--only task=cb 'label=MeZO (released)'"
    text = printed(capsys, "quick", "--nodes", "2", "--gpus-per-node", "4", "--time", "1-02:00:00", options)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert directives(text) == {
        "--job-name=addax-quick", "--output=addax-quick-%j.log", "--nodes=2", "--ntasks-per-node=1",
        "--exclusive", "--gpus-per-node=4", "--time=1-02:00:00", "--no-kill",
    }  # fmt: skip
    # Nothing of the machine that wrote it.
    assert str(registry.ROOT) not in text
    assert str(Path.home()) not in text.replace("/usr/bin/env", "")
    words = srun(text, tmp_path)
    ray, sweep = words.index("ray"), words.index("--")
    assert words[:ray] == ["--no-kill", "--nodes=2", "--ntasks=2", "--cpus-per-task=32"]
    assert words[ray + 1 : sweep] == [
        "symmetric-run", "--address", "n1:6379", "--min-nodes", "2", "--num-cpus=32", "--num-gpus=4",
    ]  # fmt: skip
    assert words[sweep + 1 :] == [
        "python", "-m", "benchmarks", "sweep", "quick", "--executor", "ray", "--ray-address", "auto",
        "--device", "cuda", "--only", "task=cb", "label=MeZO (released)",
    ]  # fmt: skip


def test_a_job_on_cores(capsys, tmp_path):
    text = printed(capsys, "quick")
    assert {"--nodes=1", "--time=24:00:00"} < directives(text)
    assert not any("gpus" in line for line in directives(text))
    words = srun(text, tmp_path)
    assert "--num-gpus=0" in words
    assert words[-2:] == ["--device", "cpu"]


def test_ray_takes_its_words(tmp_path):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    from ray.scripts.scripts import cli, start

    words = srun(_slurm.job_file("quick", nodes=2), tmp_path)
    command = cli.commands[words[words.index("ray") + 1]]
    own = words[words.index("--address") : words.index("--")]
    given = command.make_context("symmetric-run", list(own), resilient_parsing=True)
    assert (given.params["address"], given.params["min_nodes"]) == ("n1:6379", 2)
    # The rest goes to `ray start` on every node.
    rest = start.make_context("start", list(given.params["ray_args_and_entrypoint"]))
    assert (rest.params["num_cpus"], rest.params["num_gpus"], rest.args) == (32, 0, [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"suite": "quik"}, "unknown suite 'quik': did you mean 'quick'"),
        ({"nodes": 0}, "--nodes must be at least 1, not 0"),
        ({"gpus_per_node": -1}, "--gpus-per-node must be 0 or more, not -1"),
        ({"time": "2h"}, "--time is HH:MM:SS or D-HH:MM:SS, not '2h'"),
        ({"time": "1:00:00\n#SBATCH --x"}, "--time is HH:MM:SS"),
        ({"options": ["--ray-address=x"]}, "--options: the job file gives --ray-address itself"),
    ],
)
def test_wrong_values_are_refused_in_one_line(wrong, said):
    with pytest.raises(UserError) as error:
        _slurm.job_file(**{"suite": "quick"} | wrong)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_open_quote_is_refused(capsys):
    with pytest.raises(UserError, match=r"--options .*No closing quotation"):
        printed(capsys, "quick", "--options=--only 'task")
