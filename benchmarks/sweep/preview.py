"""What a sweep needs before it starts: its time, and its downloads and disk space, in one line each."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.config.spec import RunSpec
from benchmarks.results import store
from benchmarks.sweep import cards, disk, downloads
from benchmarks.sweep.display import note
from benchmarks.sweep.downloads import readable
from benchmarks.sweep.estimate import Estimate, estimate


def show(
    suite: str,
    todo: Sequence[RunSpec],
    folder: str | None,
    jobs: int | None,
    console: Console,
    *,
    here: bool = True,
    save_models: bool = False,
) -> Estimate | None:
    """Print what runs need, and a warning for each disk that is too small; return the estimate of their time.

    Args:
        suite: name of the suite.
        todo: the runs to do; at least one.
        folder: the data folder for `data="folder"`.
        jobs: number of worker processes; None for the default.
        console: prints the lines.
        here: whether the runs work on this machine. If not, their time is unknown.
        save_models: whether each run saves its model.
    """
    expected = None
    if here:
        expected = estimate(todo, suite, folder, jobs, console=console, unavailable=downloads.until)
        jobs, _ = cards.assign({spec.device for spec in todo}, jobs, len(todo))
    note(console, expected.line() if expected else "time: unknown, because the runs work on a cluster")
    for line in needs(suite, todo, jobs or 1, save_models):
        note(console, line)
    return expected


def needs(suite: str, todo: Sequence[RunSpec], jobs: int, save_models: bool = False) -> list[str]:
    """Return a line with the downloads and the disk space of runs, and a warning for each disk that is full.

    Args:
        suite, todo, save_models: see `show`.
        jobs: number of runs whose checkpoints exist at the same time.
    """
    missing = downloads.all_missing(todo)
    sizes = downloads.sizes(missing)
    checkpoints, saved, unknown = _space(todo, jobs)
    parts = [downloads.line(missing, sizes), f"checkpoints: {_up_to(checkpoints, ' at a time')}"]
    if save_models:
        parts.append(f"saved models: {_up_to(saved)}")
    parts += [f"disk space for {model}: unknown" for model in unknown]
    free, where = disk.free(store.folder(suite))
    lines = ["; ".join([*parts, f"{readable(free)} free in {where}"])]
    if (needed := checkpoints + saved * save_models) > free:
        lines.append(
            f"warning: the sweep can take {readable(needed)}, but {where} has {readable(free)} free: "
            "free space, or run fewer --jobs"
        )
    return lines + _warnings(missing, sizes)


def _space(todo: Sequence[RunSpec], jobs: int) -> tuple[float, float, list[str]]:
    """Return the bytes of simultaneous checkpoints, those of all saved models, and models of unknown size."""
    checkpoints, saved, unknown = [], 0.0, {}
    for spec in todo:
        try:
            checkpoints.append(disk.checkpoint_bytes(spec))
            saved += disk.saved_bytes(spec)
        except Exception:
            # Code of a user can raise any exception. The run reports it.
            unknown[spec.model] = None
    return sum(sorted(checkpoints, reverse=True)[:jobs]), saved, list(unknown)


def _up_to(size: float, suffix: str = "") -> str:
    return f"up to {readable(size)}{suffix}" if size else "none"


def _warnings(missing: Sequence[downloads.Missing], sizes: Sequence[int | str]) -> list[str]:
    """Return a warning for each cache whose disk is smaller than its downloads."""
    needed: dict[Path, int] = {}
    for each, size in zip(missing, sizes, strict=True):
        if isinstance(size, int):
            needed[downloads.target(each)] = needed.get(downloads.target(each), 0) + size
    lines = []
    for target, size in needed.items():
        free, where = disk.free(target)
        if size > free:
            lines.append(
                f"warning: the downloads to {target} take {readable(size)}, but {where} has {readable(free)} "
                "free: free space, or move the cache"
            )
    return lines
