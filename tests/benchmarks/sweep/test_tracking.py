"""Tests of tracking: wandb's reader reads back an offline run, and no failure of wandb stops a run."""

import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.sweep import tracking
from benchmarks.sweep.tracking import Tracker

SPEC = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "steps": 60, "lr": 1e-3})
ROW = {
    "id": SPEC.id,
    "status": "done",
    "reason": None,
    "config": SPEC.config(),
    "score": 0.75,
    "test": {"score": 0.75, "auc": None, "n": 200},
    "curve": [{"step": 0, "score": 0.5}],
    "git_dirty": False,
}
SCALARS = {"id": SPEC.id, "status": "done", "score": 0.75, "test/score": 0.75, "test/n": 200}
SCALARS |= {"git_dirty": False}


class FakeWandb:
    """A stand-in for wandb that records calls and raises in the function that `fails` names."""

    Settings = dict

    def __init__(self, fails=""):
        self.fails, self.calls = fails, []

    def _call(self, *call):
        self.calls.append(call)
        if call[0] == self.fails:
            raise RuntimeError("no disk\nno more")

    def init(self, id, settings, **_):
        self._call("init", id, settings["mode"], settings["resume"])
        summary = {}
        return SimpleNamespace(
            summary=summary,
            log=lambda values, step=None, commit=None: self._call("log", id, step, values),
            finish=lambda exit_code: self._call("finish", id, exit_code, summary),
        )

    def of(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def fake(monkeypatch):
    def replace(fails=""):
        wandb = FakeWandb(fails)
        monkeypatch.setitem(sys.modules, "wandb", wandb)
        return wandb

    return replace


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


def without_private(values):
    return {name: value for name, value in values.items() if name[0] != "_"}


@pytest.mark.process
def test_an_offline_run_is_read_back_from_its_folder(tmp_path, monkeypatch, capfd):
    pytest.importorskip("wandb", reason="needs the extra `tracking`")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    run = Tracker("offline", tmp_path).begin(SPEC, "quick")
    run.log(0, **{"validation/score": 0.5})
    for step, loss in enumerate([0.5, math.nan, 0.25, math.inf], start=1):
        run.log(step, loss=loss, lr=1e-3, projected_grad=None)
    run.log(4, **{"validation/score": 0.625, "peak_bytes": 2**40})
    run.finish(ROW)
    assert capfd.readouterr() == ("", "")

    (file,) = tmp_path.glob(f"wandb/offline-run-*/run-quick-{SPEC.id}.wandb")
    run, history, summary, exit_code = read(file)
    assert (run["project"], run["run_group"]) == ("addax", "quick/nano-opt/sst2/SGD")
    assert (run["job_type"], run["display_name"]) == ("sgd", "SGD sst2 nano-opt seed 0")
    assert run["tags"] == ["quick", "nano-opt", "sst2", "SGD"]
    config = {k: v for k, v in run["config"]["update"].items() if k != "_wandb"}
    assert config == SPEC.config() | {"id": SPEC.id, "suite": "quick", "label": "SGD"}
    assert history.pop(0) == {"validation/score": 0.5}
    assert history == {
        1: {"loss": 0.5, "lr": 1e-3},
        2: {"loss": "NaN", "lr": 1e-3},
        3: {"loss": 0.25, "lr": 1e-3},
        4: {"loss": "Infinity", "lr": 1e-3, "validation/score": 0.625, "peak_bytes": 2**40},
    }
    last = {"loss": "Infinity", "lr": 1e-3, "validation/score": 0.625, "peak_bytes": 2**40}
    assert summary == last | SCALARS
    assert exit_code == 0


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_failure_of_wandb_prints_one_line_and_turns_it_off(tmp_path, fake, capfd, fails):
    wandb = fake(fails)
    tracker = Tracker("offline", tmp_path)
    for _ in range(3):
        run = tracker.begin(SPEC, "quick")
        run.log(1, loss=1.0)
        run.log(2, loss=2.0)
        run.finish(ROW)
    assert capfd.readouterr() == ("", "warning: wandb failed and is now disabled: RuntimeError: no disk\n")
    assert len(wandb.of(fails)) == 1
    assert wandb.calls[-1][0] == fails


def test_a_wandb_that_cannot_be_imported_is_a_one_line_warning(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run = Tracker("offline", tmp_path).begin(SPEC, "quick")
    run.log(1, loss=1.0)
    run.finish(ROW)
    out, error = capfd.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "ModuleNotFoundError" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_one_line_warning(tmp_path, fake, capfd):
    tmp_path.chmod(0o500)
    Tracker("offline", tmp_path).begin(SPEC, "quick").log(1, loss=1.0)
    assert f"cannot write to {tmp_path}" in capfd.readouterr().err
    assert fake().calls == []


def test_disabled_tracking_imports_and_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run = Tracker("disabled", tmp_path / "runs").begin(SPEC, "quick")
    run.log(1, loss=1.0)
    run.finish(ROW)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_ends_with_exit_code_1(tmp_path, fake):
    wandb = fake()
    run = Tracker("online", tmp_path).begin(SPEC, "quick")
    run.log(1, loss=1.0)
    run.finish({"status": "failed", "reason": "diverged"})
    assert wandb.of("finish") == [(f"quick-{SPEC.id}", 1, {"status": "failed", "reason": "diverged"})]


def test_a_run_that_logs_nothing_leaves_nothing_behind(tmp_path, fake):
    wandb = fake()
    Tracker("online", tmp_path).begin(SPEC, "quick").finish({"status": "failed", "reason": "wrong data"})
    assert wandb.calls == []
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_keeps_its_id_and_continues_online(tmp_path, fake):
    wandb = fake()
    for resumed_step in (0, 5):
        run = Tracker("online", tmp_path).begin(SPEC, "quick", resumed_step)
        run.log(resumed_step + 1, loss=1.0)
    assert wandb.of("init") == [(f"quick-{SPEC.id}", "online", resume) for resume in (None, "allow")]


def test_a_run_that_restarts_with_a_smaller_batch_is_another_wandb_run(tmp_path, fake):
    """A process that resumes the training run continues the second wandb run."""
    wandb = fake()
    first, second = f"quick-{SPEC.id}", f"quick-{SPEC.id}-2"
    run = Tracker("online", tmp_path).begin(SPEC, "quick")
    run.log(1, loss=1.0)
    run.log(2, loss=1.0)
    run.log(1, loss=2.0)
    assert [call[0] for call in wandb.of("init")] == [first, second]
    assert wandb.of("finish") == [(first, 1, {"status": "restarted"})]
    assert wandb.of("log")[-1] == (second, 1, {"loss": 2.0})
    for name in (first, second):
        (tmp_path / "wandb" / f"run-20260101_000000-{name}").mkdir(parents=True)
    Tracker("online", tmp_path).begin(SPEC, "quick", resumed_step=1).log(2, loss=1.0)
    assert wandb.of("init")[-1] == (second, "online", "allow")


def test_an_unknown_tracking_mode_is_rejected(monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: SimpleNamespace(origin="wandb"))
    assert [tracking.check_mode(mode) for mode in tracking.MODES] == list(tracking.MODES)
    assert tracking.check_mode(None) == "offline"
    assert tracking.check_mode(None, "disabled") == "disabled"
    assert tracking.check_mode("offline", "disabled") == "offline"
    with pytest.raises(UserError, match="unknown wandb mode 'offlin': did you mean 'offline'"):
        tracking.check_mode("offlin")


def test_without_wandb_tracking_is_off_and_the_error_names_the_extra_to_install(tmp_path, monkeypatch):
    """A folder named wandb in the search path must not count as an installation."""
    (tmp_path / "wandb").mkdir()
    paths = [path for path in sys.path if not os.path.isfile(os.path.join(path, "wandb", "__init__.py"))]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *paths])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    assert tracking.importlib.util.find_spec("wandb") is not None
    assert tracking.check_mode(None) == "disabled"
    assert tracking.check_mode("disabled") == "disabled"
    for mode in ("offline", "online"):
        with pytest.raises(UserError, match=f"--wandb {mode} needs wandb: pip install"):
            tracking.check_mode(mode)
