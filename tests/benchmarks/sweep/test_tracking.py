"""Tests of tracking: what is logged under which id; test_wandb_process.py tests failures of wandb."""

import math
import os
import sys
from types import SimpleNamespace

import pytest

from benchmarks.cli.run import wandb_default
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.sweep import tracking
from benchmarks.sweep.tracking import Tracker
from benchmarks.training.checkpoint import STATE
from tests.benchmarks.sweep.wandb_logs import read

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


class Client:
    """A stand-in for the connection to wandb's process that keeps what it is sent."""

    def __init__(self):
        self.sent, self.waits = [], 0

    def send(self, *message):
        self.sent.append(message)

    def wait(self):
        self.waits += 1

    def of(self, kind):
        return [message[1:] for message in self.sent if message[0] == kind]

    @property
    def ids(self):
        return [arguments["id"] for arguments, _ in self.of("begin")]


@pytest.fixture
def client(monkeypatch):
    client = Client()
    monkeypatch.setattr(tracking, "WandbClient", lambda: client)
    return client


def log_of(folder, mode="offline"):
    """Return the log of a run in a new process."""
    return Tracker(mode, folder).begin(SPEC, "quick", folder / "checkpoint")


@pytest.mark.process
def test_an_offline_run_is_read_back_from_its_folder(tmp_path, monkeypatch, capfd):
    pytest.importorskip("wandb", reason="needs the extra `tracking`")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    run = log_of(tmp_path)
    run.log(0, **{"validation/score": 0.5})
    for step, loss in enumerate([0.5, math.nan, 0.25, math.inf], start=1):
        run.log(step, loss=loss, lr=1e-3, projected_grad=None)
    run.log(4, **{"validation/score": 0.625, "peak_bytes": 2**40})
    run.finish(ROW)
    assert capfd.readouterr() == ("", "")

    (file,) = tmp_path.glob(f"wandb/offline-run-*/run-quick-{SPEC.id}-*.wandb")
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


def test_disabled_tracking_starts_and_writes_nothing(tmp_path, client):
    run = log_of(tmp_path / "runs", "disabled")
    run.log(1, loss=1.0)
    run.finish(ROW)
    assert client.sent == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_logs_nothing_leaves_nothing_behind(tmp_path, client):
    log_of(tmp_path, "online").finish({"status": "failed", "reason": "wrong data"})
    assert client.sent == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_ends_with_exit_code_1(tmp_path, client):
    run = log_of(tmp_path)
    run.log(1, loss=1.0)
    run.finish({"status": "failed", "reason": "diverged"})
    assert client.of("end") == [({"status": "failed", "reason": "diverged"}, 1)]
    assert client.waits == 1


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_a_killed_run_keeps_its_id_even_before_its_first_checkpoint(tmp_path, client, has_checkpoint):
    log_of(tmp_path).log(0, loss=1.0)
    if has_checkpoint:
        (tmp_path / "checkpoint" / STATE).touch()
    log_of(tmp_path).log(0, loss=1.0)
    assert client.ids[0] == client.ids[1]
    assert client.ids[0].startswith(f"quick-{SPEC.id}-")


def test_a_repeated_run_has_another_id(tmp_path, client):
    """When a run is finished, its checkpoint folder is removed."""
    log_of(tmp_path).log(0, loss=1.0)
    (tmp_path / "checkpoint" / tracking.NAME).unlink()
    log_of(tmp_path).log(0, loss=1.0)
    assert client.ids[0] != client.ids[1]


def test_a_damaged_name_is_replaced(tmp_path, client):
    log_of(tmp_path).log(0, loss=1.0)
    for text in ("", "[]", "{}", '{"word": 1'):
        (tmp_path / "checkpoint" / tracking.NAME).write_text(text)
        log_of(tmp_path).log(0, loss=1.0)
    assert len(set(client.ids)) == 5


def test_only_online_runs_ask_the_server_for_earlier_rows(tmp_path, client):
    for mode in ("online", "offline"):
        log_of(tmp_path / mode, mode).log(0, loss=1.0)
    online, offline = (settings for _, settings in client.of("begin"))
    assert (online["mode"], online["resume"]) == ("online", "allow")
    assert offline["mode"] == "offline"
    assert "resume" not in offline


def test_a_run_that_the_server_may_know_is_not_continued_offline(tmp_path, client):
    """`wandb sync` would append all its steps to those on the server."""
    log_of(tmp_path, "online").log(0, loss=1.0)
    log_of(tmp_path, "offline").log(0, loss=1.0)
    part = tmp_path / "wandb" / f"offline-run-20260101_000000-{client.ids[-1]}"
    part.mkdir(parents=True)
    log_of(tmp_path, "offline").log(0, loss=1.0)
    (part / f"run-{client.ids[-1]}.wandb.synced").touch()
    log_of(tmp_path, "offline").log(0, loss=1.0)
    log_of(tmp_path, "online").log(0, loss=1.0)
    first, second, third, fourth, fifth = client.ids
    assert second == third
    assert fourth == fifth
    assert len({first, third, fourth}) == 3


def test_a_run_that_restarts_with_a_smaller_batch_is_another_wandb_run(tmp_path, client):
    """A process that resumes after the restart continues the second wandb run."""
    run = log_of(tmp_path)
    run.log(1, loss=1.0)
    run.log(2, loss=1.0)
    run.log(1, loss=2.0)
    first, second = client.ids
    assert second == f"{first}-attempt2"
    assert client.of("end") == [({"status": "restarted"}, 1)]
    assert client.sent[-1] == ("log", 1, {"loss": 2.0})
    log_of(tmp_path).log(1, loss=1.0)
    # Without a checkpoint, the run has started over.
    assert client.ids[-1] == first
    run.log(2, loss=2.0)
    run._save_name()
    (tmp_path / "checkpoint" / STATE).touch()
    log_of(tmp_path).log(1, loss=1.0)
    assert client.ids[-1] == second


def test_a_long_suite_name_gives_a_valid_id(tmp_path, client):
    Tracker("offline", tmp_path).begin(SPEC, "a.b" * 100, tmp_path / "checkpoint").log(0, loss=1.0)
    (run_id,) = client.ids
    assert len(run_id) < 128
    assert "." not in run_id


@pytest.mark.parametrize(
    ("suite", "model", "default"),
    [
        ("quick", "facebook/opt-125m", "disabled"),
        ("adhoc", "nano-opt", "disabled"),
        ("figure3-right-tiny", "nano-opt", "disabled"),
        ("adhoc", "facebook/opt-125m", None),
        ("real", "facebook/opt-125m", None),
    ],
)
def test_wandb_is_off_by_default_for_short_runs(suite, model, default):
    assert wandb_default(suite, model) == default


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
