"""Tests that no failure of wandb stops or delays a run: a fake wandb fails in wandb's own process."""

import json
import os
import time

import pytest

from benchmarks import registry
from benchmarks.config.spec import from_dict
from benchmarks.sweep import wandb_client
from benchmarks.sweep.tracking import Tracker
from benchmarks.sweep.wandb_process import is_complete
from tests import processes

pytestmark = pytest.mark.process

SPEC = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "steps": 60, "lr": 1e-3})
# A module that appends its calls to a file. A call named in $FAILS fails as $HOW says.
FAKE = """
import json, os, pathlib, time
from types import SimpleNamespace
Settings = dict

def call(name, *values):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps([name, *values]) + os.linesep)
    if name == os.environ["FAILS"]:
        exec(os.environ["HOW"])

call("import")

def init(id, settings, **_):
    call("init")
    folder = pathlib.Path(settings["root_dir"], "wandb", f"run-20260101_000000-{id}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"run-{id}.wandb").touch()
    return SimpleNamespace(
        starting_step=int(os.environ["STARTING_STEP"]),
        sync_dir=str(folder),
        summary={},
        log=lambda values, step, commit: call("log", step, values),
        finish=lambda exit_code: call("finish", exit_code),
    )
"""
RAISES, HANGS = "raise RuntimeError('no disk' + os.linesep + 'no more')", "time.sleep(600)"
DIES, IS_MISSING = "os._exit(3)", "raise ModuleNotFoundError('no wandb')"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that installs the fake for new processes, and one that returns its calls."""
    file = tmp_path / "calls"
    (tmp_path / "fake" / "wandb").mkdir(parents=True)
    (tmp_path / "fake" / "wandb" / "__init__.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))

    def install(fails="", how="", starting_step=0):
        variables = {"CALLS": file, "FAILS": fails, "HOW": how, "STARTING_STEP": starting_step}
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        return lambda: [json.loads(line) for line in file.read_text().splitlines()]

    return install


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run_once(tracker, folder):
    log = tracker.begin(SPEC, "s", folder / "checkpoint")
    for step in range(3):
        log.log(step, loss=1.0)
    log.finish({"status": "done"})


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_an_error_of_wandb_prints_one_line_and_turns_it_off(tmp_path, fake, capfd, fails):
    calls = fake(fails, RAISES)
    tracker = Tracker("online", tmp_path)
    for _ in range(2):
        run_once(tracker, tmp_path)
    assert capfd.readouterr() == ("", "warning: wandb failed and is now disabled: RuntimeError: no disk\n")
    assert calls()[-1][0] == fails
    assert sum(call[0] == fails for call in calls()) == 1


@pytest.mark.parametrize(
    ("fails", "how", "message"),
    [("import", IS_MISSING, "ModuleNotFoundError: no wandb"), ("log", DIES, "its process ended")],
)
def test_a_wandb_that_is_missing_or_dies_is_a_one_line_warning(tmp_path, fake, capfd, fails, how, message):
    fake(fails, how)
    run_once(Tracker("online", tmp_path), tmp_path)
    assert capfd.readouterr() == ("", f"warning: wandb failed and is now disabled: {message}\n")


@pytest.mark.parametrize("fails", ["import", "init", "log", "finish"])
def test_a_wandb_that_hangs_delays_no_step_and_is_given_up(tmp_path, fake, capfd, monkeypatch, fails):
    calls = fake(fails, HANGS)
    tracker = Tracker("online", tmp_path)
    log = tracker.begin(SPEC, "s", tmp_path / "checkpoint")
    # More than the buffer of a connection holds, unless the end of the run must be reached soon.
    for step in range(10 if fails == "finish" else 10_000):
        log.log(step, loss=1.0)
    process = tracker._client._process
    if fails != "finish":
        until(lambda: (tmp_path / "calls").exists() and [call[0] for call in calls()][-1:] == [fails])
    silence = 2 if fails == "finish" else 0.1
    monkeypatch.setattr(wandb_client, "SILENCE", silence)
    log.finish({"status": "done"})
    run_once(tracker, tmp_path)
    line = f"warning: wandb failed and is now disabled: TimeoutError: no answer for {silence} seconds\n"
    assert capfd.readouterr() == ("", line)
    assert calls()[-1][0] == fails
    assert process.poll() is not None


def test_rows_are_complete_and_those_that_the_server_has_are_not_repeated(tmp_path, fake):
    calls = fake(starting_step=2)
    log = Tracker("online", tmp_path).begin(SPEC, "s", tmp_path / "checkpoint")
    for step in range(1, 5):
        log.log(step, loss=1.0, lr=None)
        log.log(step, score=step)
    log.finish({"status": "done"})
    rows = [["log", step, {"loss": 1.0, "score": step}] for step in range(2, 5)]
    assert calls() == [["import"], ["init"], *rows, ["finish", 0]]


def test_one_process_serves_all_runs_of_a_worker(tmp_path, fake):
    calls = fake()
    tracker = Tracker("online", tmp_path)
    for _ in range(3):
        run_once(tracker, tmp_path)
    assert [call[0] for call in calls()].count("import") == 1
    assert [call[0] for call in calls()].count("finish") == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_one_line_warning(tmp_path, fake, capfd):
    fake()
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o500)
    log = Tracker("online", folder).begin(SPEC, "s", tmp_path / "checkpoint")
    log.log(0, loss=1.0)
    log.finish({"status": "done"})
    assert f"cannot write to {folder}" in capfd.readouterr().err


def test_a_checkpoint_folder_that_cannot_be_written_is_a_one_line_warning(tmp_path, capfd):
    (tmp_path / "file").touch()
    tracker = Tracker("online", tmp_path)
    log = tracker.begin(SPEC, "s", tmp_path / "file" / "checkpoint")
    log.log(0, loss=1.0)
    log.finish({"status": "done"})
    out, error = capfd.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "NotADirectoryError" in error


# A file that cannot grow behaves as on a full disk.
LIMITED = """
import resource, signal, sys
from pathlib import Path
from benchmarks.sweep.tracking import Tracker
from tests.benchmarks.sweep.test_wandb_process import SPEC
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
log = Tracker("offline", Path.cwd()).begin(SPEC, "s", Path("checkpoint"))
for step in range(300):
    log.log(step, loss=1.0)
log.finish({"status": "done"})
print("done")
"""


def test_a_full_disk_is_a_one_line_warning(tmp_path):
    """wandb itself reports nothing."""
    pytest.importorskip("wandb", reason="needs the extra `tracking`")
    (tmp_path / "limited.py").write_text(LIMITED)
    environment = os.environ | {"PYTHONPATH": str(registry.ROOT), "WANDB_CACHE_DIR": str(tmp_path / "cache")}
    done = processes.python(str(tmp_path / "limited.py"), cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "done\n", 1), done.stderr
    assert "is incomplete; is the disk full?" in done.stderr


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_a_complete_file_is_recognized_at_every_length(tmp_path, blocks):
    """The end of the run may cross the border between two blocks of the file."""
    records = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="needs the extra `tracking`")
    end = records.Record(num=9, exit=records.RunExitRecord(exit_code=0)).SerializeToString()
    row = records.Record(num=9, history=records.HistoryRecord()).SerializeToString()
    file = tmp_path / "run.wandb"
    for length in range(max(0, 32768 * blocks - 70), 32768 * blocks + 20):
        before = [row, bytes(length)]
        file.write_bytes(leveldb([*before, end]))
        assert is_complete(file)
        file.write_bytes(leveldb([*before, end, row]))
        assert is_complete(file)
        file.write_bytes(leveldb([*before, end])[:-1])
        assert not is_complete(file)
        file.write_bytes(leveldb(before))
        assert not is_complete(file)


def leveldb(records):
    """Return the bytes of a .wandb file, written as LevelDB's log_format.md describes; without checksums."""
    content = bytearray(7)
    for record in records:
        rest, first = record, True
        while first or rest:
            room = 32768 - len(content) % 32768
            if room < 7:
                content += bytes(room)
                continue
            data, rest = rest[: room - 7], rest[room - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not rest]
            content += bytes(4) + len(data).to_bytes(2, "little") + bytes([kind]) + data
            first = False
    return bytes(content)
