"""Tests of the lines that a sweep prints before it starts, and of their place in the sweep."""

import io
from functools import partial

import pytest
from rich.console import Console

from benchmarks.config.spec import from_dict
from benchmarks.sweep import cost_sources, disk, downloads, preview, scheduler
from benchmarks.sweep.estimate import Estimate, RunEstimate
from benchmarks.training import run as train
from tests.benchmarks.sweep.inline import SPECS, Inline, swept
from tests.benchmarks.training.tiny_runs import tiny

GB = 10**9


@pytest.fixture
def large(monkeypatch, tmp_path, runs):
    """Return runs on a hub model that is not here, with a disk of 100 GB and known sizes."""
    monkeypatch.setattr(disk, "free", lambda folder: (100 * GB, tmp_path))
    monkeypatch.setattr(downloads, "missing_data", lambda hub, revision: None)
    monkeypatch.setattr(downloads, "sizes", lambda missing: [26 * GB] * len(missing))
    spec = tiny("adam", dtype="bfloat16")
    return [spec.replace(model="facebook/opt-13b"), spec.replace(model="facebook/opt-13b", seed=1)]


def test_the_line_states_downloads_checkpoints_and_free_space(large, tmp_path):
    lines = preview.needs("s", [large[0].replace(trainable="last:1")], 1)
    assert lines == [
        "downloads: facebook/opt-13b (26.0 GB); checkpoints: up to 4.4 GB at a time; "
        f"100 GB free in {tmp_path}"
    ]


def test_simultaneous_checkpoints_count_together_and_a_small_disk_is_a_warning(large, tmp_path):
    """The checkpoint of Adam takes 7 copies of the weights, which are 25.7 GB."""
    for jobs, total in ((1, "180 GB"), (2, "360 GB"), (9, "360 GB")):
        line, warning = preview.needs("s", large, jobs)
        assert f"checkpoints: up to {total} at a time" in line
        assert warning == (
            f"warning: the sweep can take {total}, but {tmp_path} has 100 GB free: "
            "free space, or run fewer --jobs"
        )


def test_saved_models_count_once_per_run(large):
    line, _ = preview.needs("s", large, 1, save_models=True)
    assert "; saved models: up to 51.4 GB; " in line
    assert "saved models" not in preview.needs("s", large, 1)[0]


def test_downloads_that_exceed_the_disk_of_their_cache_are_a_warning(large, monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "sizes", lambda missing: [126 * GB] * len(missing))
    *_, warning = preview.needs("s", large, 1)
    assert warning.startswith("warning: the downloads to ")
    assert warning.endswith(f"take 126 GB, but {tmp_path} has 100 GB free: free space, or move the cache")


def test_a_model_of_unknown_shape_is_named(large, monkeypatch):
    monkeypatch.setattr(disk, "checkpoint_bytes", lambda spec: 1 / 0)
    (line,) = preview.needs("s", large, 1)
    assert "checkpoints: none; disk space for facebook/opt-13b: unknown; " in line


def test_runs_on_a_cluster_are_not_timed(runs, monkeypatch):
    monkeypatch.setattr(cost_sources, "LocalExecutor", None)
    console = Console(file=io.StringIO(), width=500)
    assert preview.show("s", SPECS[:1], None, 4, console, here=False) is None
    first, second = console.file.getvalue().splitlines()
    assert first == "time: unknown, because the runs work on a cluster"
    assert second.startswith("downloads: none; checkpoints: up to ")


def known(seconds):
    """Return a preview that knows the time of every run, and the runs that it saw."""

    def show(todo):
        seen.extend(todo)
        return Estimate(tuple(RunEstimate(spec, seconds, "timed") for spec in todo), 1, 1, {"timed": 1})

    seen = []
    return show, seen


@pytest.mark.medium
def test_a_sweep_previews_the_runs_to_do_and_ends_with_the_time_that_it_took(runs):
    swept(SPECS[:1])
    show, seen = known(240.0)
    _, text = swept(SPECS[::2], preview=show)
    assert seen == [SPECS[2]]
    assert text.splitlines()[0] == "s: 1 runs to do, 1 already finished"
    assert text.splitlines()[-1].startswith("s: took ")
    assert text.splitlines()[-1].endswith(" (estimated 4 min)")
    # With nothing to do, there is nothing to preview.
    _, text = swept(SPECS[::2], preview=lambda todo: pytest.fail("previewed"))
    assert text == "s: 0 runs to do, 2 already finished\n"


@pytest.mark.medium
def test_an_unknown_time_is_not_compared(runs):
    show, _ = known(None)
    assert "took" not in swept(SPECS[:1], preview=show)[1]


def test_a_sweep_previews_before_it_downloads_and_a_dry_run_downloads_nothing(runs, monkeypatch):
    order = []

    class Downloaded(Exception):
        pass

    def load(*_):
        order.append("downloaded")
        raise Downloaded

    monkeypatch.setattr(train, "data_fingerprint", load)
    monkeypatch.setattr(downloads, "lacks_data", lambda spec: spec.data == "hub")
    spec = from_dict(SPECS[0].config() | {"data": "hub"})
    sweep = partial(scheduler.sweep, "s", [spec], make_executor=Inline(), folder=None)
    with pytest.raises(Downloaded):
        sweep(console=Console(file=io.StringIO()), preview=lambda todo: order.append(todo[0].id))
    assert order == [spec.id, "downloaded"]
    assert scheduler.pending("s", [spec], None, lacks_data=downloads.lacks_data).todo == [spec]
    assert order == [spec.id, "downloaded"]
