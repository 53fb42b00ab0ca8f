"""Tracking: what wandb's own reader finds in an offline run, and that no wandb holds up or ends a run."""

import dataclasses
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import registry
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.sweep import tracking
from benchmarks.sweep.tracking import Tracker

SPEC = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "steps": 60, "lr": 1e-3})
OTHER = dataclasses.replace(SPEC, seed=1)
ROW = {
    "id": SPEC.id,
    "status": "done",
    "reason": None,
    "config": SPEC.config(),
    "score": 0.75,
    "test": {"score": 0.75, "auc": None, "n": 200},
    "curve": [{"step": 0, "score": 0.5}],
    "step_seconds": 0.125,
    "peak_bytes": 123_456_789,
    "git_dirty": False,
}
SCALARS = {
    "id": SPEC.id,
    "status": "done",
    "score": 0.75,
    "test/score": 0.75,
    "test/n": 200,
    "step_seconds": 0.125,
    "peak_bytes": 123_456_789,
    "git_dirty": False,
}
# A wandb that writes down what it hears, and does what WANDB_FAKE says on the way.
FAKE = """
import json, os, sys, time, __main__

Settings = dict
__main__.GRACE = 0.2

def note(*what):
    with open(os.environ["WANDB_FAKE_HEARD"], "a") as file:
        file.write(json.dumps(what) + "\\n")

class Run:
    def __init__(self, id):
        self.id, self.summary = id, {}
    def log(self, row, step=None, commit=None):
        if step is not None:
            note("log", self.id, step, {k: v for k, v in row.items() if k != "_timestamp"})
        trouble("log", self.id, step)
    def finish(self, exit_code):
        trouble("finish")
        note("finish", self.id, exit_code, dict(self.summary))

def init(id, settings, **_):
    note("init", id, settings["mode"], settings["resume"])
    trouble("init")
    return Run(id)

def trouble(place, id="", step=0):
    print("wandb: chatter")
    print("wandb: chatter", file=sys.stderr)
    exec(os.environ["WANDB_FAKE"])

trouble("import")
"""


def autogroup() -> str:
    """This session's name and priority; empty where the kernel has none, with the file there or not."""
    try:
        return Path("/proc/self/autogroup").read_text().strip()
    except OSError:
        return ""


# The priorities of the writer's session and of one that wandb starts.
SESSIONS = """
global started
if place == "init":
    import subprocess
    started = subprocess.Popen(["sleep", "60"], start_new_session=True)
if place == "log" and step:
    own = [open(f"/proc/{pid}/autogroup").read().split()[-1] for pid in ("self", started.pid)]
    note("nice", *own)
    started.kill()
    started.wait()
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Puts the fake in wandb's place; returns what it heard."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "wandb.py").write_text(FAKE)
    heard = tmp_path / "heard"
    heard.touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("WANDB_FAKE_HEARD", str(heard))
    monkeypatch.setenv("WANDB_FAKE", "pass")
    return lambda: [json.loads(line) for line in heard.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "wandb"


def read(file):
    """A run's records, by wandb's own reader: (run, {step: values}, summary, exit code)."""
    words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    records = [json.loads(line) for line in said.splitlines()]
    run = next(r["run"] for r in records if r["type"] == "run")
    history, summary, exit_code = {}, {}, None
    for record in records:
        if record["type"] == "history":
            step = record["history"]["step"].get("num", 0)
            assert step not in history
            history[step] = _own(record["history"]["item"])
        elif record["type"] == "summary":
            summary |= record["summary"]["update"]
        elif record["type"] == "exit":
            exit_code = record["exit"].get("exit_code", 0)
    return run, history, _own(summary), exit_code


def _own(values):
    return {name: value for name, value in values.items() if name[0] != "_"}


def files(folder, name):
    return sorted(folder.glob(f"offline-run-*/run-{name}.wandb"))


def train(run, losses):
    for step, loss in enumerate(losses, start=1):
        run.log(step, loss=loss, lr=1e-3, projected_grad=None, step_seconds=0.5)


def test_what_was_logged_is_read_back(folder, capfd):
    """Two runs at once; the first of them in two attempts."""
    tracker = Tracker("offline", folder)
    first, other = tracker.begin(SPEC, "quick"), tracker.begin(OTHER, "quick")
    first.log(0, **{"validation/score": 0.5, "validation/loss": 0.75})
    losses = [0.5, math.nan, 0.25, math.inf]
    train(first, losses)
    train(other, [3.0])
    first.log(4, **{"validation/score": 0.625, "peak_bytes": 2**40})
    other.log(2, loss=None, lr=None)
    other.finish({"status": "failed", "reason": "diverged"})
    first.finish(ROW)
    again = tracker.begin(SPEC, "quick", resumed_step=3)
    train(again, [None] * 3 + [0.125])
    again.finish(ROW)
    tracker.close()
    assert capfd.readouterr() == ("", "")

    attempts = [read(file) for file in files(folder, f"quick-{SPEC.id}")]
    # Their folders' names tell seconds only.
    one, two = sorted(attempts, key=lambda attempt: "resumed_step" in attempt[2])
    run, history, summary, exit_code = one
    assert (run["project"], run["run_group"]) == ("addax", "quick/nano-opt/sst2/SGD")
    assert (run["job_type"], run["display_name"]) == ("sgd", "SGD sst2 nano-opt seed 0")
    assert run["tags"] == ["quick", "nano-opt", "sst2", "SGD"]
    config = {k: v for k, v in run["config"]["update"].items() if k != "_wandb"}
    assert config == SPEC.config() | {"id": SPEC.id, "suite": "quick", "label": "SGD"}
    assert history.pop(0) == {"validation/score": 0.5, "validation/loss": 0.75}
    steady = {"lr": 1e-3, "step_seconds": 0.5}
    assert history == {
        1: {"loss": 0.5, **steady},
        2: {"loss": "NaN", **steady},
        3: {"loss": 0.25, **steady},
        4: {"loss": "Infinity", **steady, "validation/score": 0.625, "peak_bytes": 2**40},
    }
    last = {"loss": "Infinity", "lr": 1e-3, "validation/score": 0.625, "validation/loss": 0.75}
    assert summary == last | SCALARS
    assert exit_code == 0

    assert two[0]["run_id"] == run["run_id"]
    assert two[1][3]["resumed_step"] == 3
    assert two[1][4]["loss"] == 0.125

    (file,) = files(folder, f"quick-{OTHER.id}")
    run, history, summary, exit_code = read(file)
    assert run["config"]["update"]["seed"] == 1
    assert history == {1: {"loss": 3.0, **steady}}
    assert (summary["status"], summary["reason"], exit_code) == ("failed", "diverged", 1)


def test_a_worker_that_is_ended_leaves_whole_files(folder):
    """os._exit, as after Ctrl-C, in the middle of a run."""
    done = worker(folder, "for step in range(1, 6): run.log(step, loss=1 / step)")
    assert (done.returncode, done.stderr) == (7, b"")
    (file,) = files(folder, f"quick-{SPEC.id}")
    _, history, _, exit_code = read(file)
    assert history == {step: {"loss": 1 / step} for step in range(1, 6)}
    assert exit_code == 1


def test_disabled_does_nothing(folder, fake):
    tracker = Tracker("disabled", folder)
    run = tracker.begin(SPEC, "quick")
    train(run, [1.0])
    run.finish(ROW)
    tracker.close()
    assert fake() == []
    assert not folder.exists()


def worker(folder, work):
    """A worker that begins a run, does something and is ended; returns when its writer has ended too.

    The writer holds its standard error open.
    """
    script = (
        "import os, pathlib, sys, time\n"
        "from benchmarks.config.spec import from_dict\n"
        "from benchmarks.sweep.tracking import Tracker\n"
        f"spec = from_dict({SPEC.config()!r})\n"
        "run = Tracker('offline', pathlib.Path(sys.argv[1])).begin(spec, 'quick')\n"
        f"{work}\n"
        "os._exit(7)\n"
    )
    words = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(words, cwd=registry.ROOT, capture_output=True, check=False)


def one_warning(capfd):
    out, error = capfd.readouterr()
    assert out == ""
    (line,) = error.splitlines()
    assert line.startswith("warning: ")
    return line


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("raise ImportError('No module named wandb')", "ImportError: No module named wandb"),
        ("if place == 'init': raise RuntimeError('no disk\\nno more')", "RuntimeError: no disk"),
        ("if place == 'finish': raise RuntimeError('no net')", "RuntimeError: no net"),
        ("if place == 'init': os._exit(5)", "its process ended with code 5"),
    ],
    ids=["import", "init", "finish", "dies"],
)
def test_a_failing_wandb_is_one_warning(folder, fake, capfd, monkeypatch, trouble, said):
    monkeypatch.setenv("WANDB_FAKE", trouble)
    tracker = Tracker("offline", folder)
    for spec in (SPEC, OTHER, SPEC):
        run = tracker.begin(spec, "quick")
        train(run, [1.0, 2.0])
        run.finish(ROW)
        time.sleep(0.1)
    tracker.close()
    assert said in one_warning(capfd)


def test_a_run_that_breaks_midway_leaves_the_others_alone(folder, fake, capfd, monkeypatch):
    monkeypatch.setenv("WANDB_FAKE", f"if step == 2 and '{SPEC.id}' in id: raise ValueError('what')")
    tracker = Tracker("offline", folder)
    runs = [tracker.begin(spec, "quick") for spec in (SPEC, OTHER)]
    for run in runs:
        train(run, [1.0, 2.0, 3.0])
        run.finish(ROW)
    tracker.close()
    assert "ValueError: what" in one_warning(capfd)
    heard = fake()
    assert [h[2] for h in heard if h[0] == "log" and SPEC.id in h[1]] == [1, 2]
    assert [h[2] for h in heard if h[0] == "log" and OTHER.id in h[1]] == [1, 2, 3]
    assert [h[1:] for h in heard if h[0] == "finish"] == [[f"quick-{OTHER.id}", 0, SCALARS]]


def test_a_wandb_that_hangs_holds_nothing_up(folder, fake, capfd, monkeypatch):
    monkeypatch.setenv("WANDB_FAKE", "if place == 'init': time.sleep(60)")
    tracker = Tracker("offline", folder)
    run = tracker.begin(SPEC, "quick")
    writer = tracker._writer
    begin = time.perf_counter()
    train(run, [1.0] * 5000)
    run.finish(ROW)
    # Far more than the pipe takes.
    assert len(tracker._waiting) > 2**18
    assert time.perf_counter() - begin < 1
    begin = time.perf_counter()
    tracker.close(timeout=0.2)
    assert time.perf_counter() - begin < 1
    assert "not done after 0.2 s" in one_warning(capfd)
    assert writer.returncode is not None
    train(run, [1.0])
    run.finish(ROW)
    tracker.close()
    assert capfd.readouterr() == ("", "")


def test_what_a_slow_wandb_cannot_take_is_dropped_but_for_evaluations(folder, fake, capfd, monkeypatch):
    monkeypatch.setenv("WANDB_FAKE", "if place == 'init': time.sleep(1)")
    monkeypatch.setattr(tracking, "LIMIT", 20_000)
    tracker = Tracker("offline", folder)
    run = tracker.begin(SPEC, "quick")
    train(run, [1.0] * 2000)
    run.log(2000, **{"validation/score": 0.5})
    run.finish(ROW)
    tracker.close()
    assert capfd.readouterr() == ("", "")
    *steps, evaluation, finish = fake()[1:]
    assert evaluation[2:] == [2000, {"validation/score": 0.5}]
    assert 0 < finish[3].pop("dropped_rows") == 2000 - len(steps)
    assert finish[3] == SCALARS


def test_a_wandb_that_never_takes_anything_is_given_up(folder, fake, capfd, monkeypatch):
    monkeypatch.setenv("WANDB_FAKE", "if place == 'init': time.sleep(60)")
    monkeypatch.setattr(tracking, "LIMIT", 20_000)
    tracker = Tracker("offline", folder)
    most = 0
    for _ in range(300):
        run = tracker.begin(SPEC, "quick")
        run.log(1, **{"validation/score": 0.5})
        run.finish(ROW)
        most = max(most, len(tracker._waiting))
    assert most <= 2 * 20_000
    assert "TimeoutError" in one_warning(capfd)
    tracker.close()


def test_runs_end_side_by_side(folder, fake, monkeypatch):
    monkeypatch.setenv("WANDB_FAKE", "if place == 'finish': time.sleep(1)")
    tracker = Tracker("online", folder)
    for seed in range(4):
        tracker.begin(dataclasses.replace(SPEC, seed=seed), "quick").finish(ROW)
    begin = time.perf_counter()
    tracker.close()
    assert time.perf_counter() - begin < 2.5
    assert [what[0] for what in fake()] == ["init"] * 4 + ["finish"] * 4


def test_a_second_attempt_waits_for_the_end_of_the_first(folder, fake, monkeypatch):
    """wandb refuses an id that is in use."""
    monkeypatch.setenv("WANDB_FAKE", "if place == 'finish': time.sleep(0.3)")
    tracker = Tracker("online", folder)
    for spec, resumed_step in ((SPEC, 0), (OTHER, 0), (SPEC, 5)):
        tracker.begin(spec, "quick", resumed_step).finish(ROW)
    tracker.close()
    heard = [what for what in fake() if SPEC.id in what[1] and what[0] != "log"]
    assert [what[0] for what in heard] == ["init", "finish", "init", "finish"]
    assert [what[2:] for what in heard if what[0] == "init"] == [["online", None], ["online", "allow"]]


def test_a_hanging_wandb_ends_soon_after_its_worker(folder, fake, monkeypatch):
    monkeypatch.setenv("WANDB_FAKE", "if place == 'init': time.sleep(60)")
    begin = time.perf_counter()
    worker(folder, "time.sleep(1)")
    assert time.perf_counter() - begin < 30
    assert [what[0] for what in fake()] == ["init"]


@pytest.mark.skipif(not autogroup(), reason="the kernel shares the cores without autogroups")
def test_what_tracks_takes_the_least_share_of_the_cores(folder, fake, monkeypatch):
    """The writer's session and the one that wandb starts; not ours."""
    monkeypatch.setenv("WANDB_FAKE", SESSIONS)
    tracker = Tracker("offline", folder)
    run = tracker.begin(SPEC, "quick")
    run.log(1, loss=0.5)
    run.finish(ROW)
    tracker.close()
    assert [line[1:] for line in fake() if line[0] == "nice"] == [["19", "19"]]
    assert autogroup().split()[-1] == "0"


def test_modes(monkeypatch):
    assert [tracking.check_mode(mode) for mode in tracking.MODES] == list(tracking.MODES)
    assert tracking.check_mode(None) == tracking.default_mode() == "offline"
    with pytest.raises(UserError, match="unknown wandb mode 'offlin': did you mean 'offline'"):
        tracking.check_mode("offlin")


def test_without_wandb(tmp_path, monkeypatch):
    """Also where only a folder of that name is found."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    paths = [path for path in sys.path if not os.path.isfile(os.path.join(path, "wandb", "__init__.py"))]
    monkeypatch.setattr(sys, "path", paths)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert importlib.util.find_spec("wandb") is not None
    assert tracking.check_mode(None) == "disabled"
    assert tracking.check_mode("disabled") == "disabled"
    for mode in ("offline", "online"):
        with pytest.raises(UserError, match=f"--wandb {mode} needs wandb: pip install"):
            tracking.check_mode(mode)


def test_the_harness_needs_no_wandb():
    """Neither its import nor a run without tracking."""
    script = (
        "import sys, pathlib\n"
        "sys.modules['wandb'] = None\n"
        "import benchmarks.__main__, benchmarks.sweep.scheduler, benchmarks.sweep.tracking as tracking\n"
        f"from benchmarks.config.spec import from_dict; spec = from_dict({SPEC.config()!r})\n"
        "run = tracking.Tracker(tracking.check_mode(None), pathlib.Path('wandb')).begin(spec, 'quick')\n"
        "run.log(1, loss=1.0); run.finish({})\n"
        "print(tracking.default_mode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=registry.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("disabled\n", "")
