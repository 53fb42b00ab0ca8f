"""Result rows as a pandas frame: reading, order, one setting a method, mean over seeds."""

import hashlib
import json
from glob import glob
from pathlib import Path

import pandas as pd

from benchmarks import registry
from benchmarks.errors import UserError, unknown
from benchmarks.results import comparable as _apart
from benchmarks.results.row import checksum

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("zero-shot", "Addax", "Addax-WA", "MeZO", "MeZO-SVRG", "IP-SGD", "SGD", "Adam")
# The nine of Addax; those of the papers on RoBERTa-large and on MeZO-SVRG; word problems.
TASKS = ("sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad",
         "sst2-cloze", "sst5", "snli", "mnli", "rte-cloze", "trec", "qnli", "cola", "gsm8k")  # fmt: skip
HALF = ("bfloat16", "float16")
CELL = ["model", "task", "label"]
MEASURES = ["score", "auc", "loss", "peak_bytes", "seconds"]


def _parse(text: str, where: str) -> dict:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}); remove the file or run it again") from None
    if not isinstance(row, dict) or not {"config", "benchmark"} & row.keys():
        raise UserError(f"{where}: not a result row (an object with a 'config', or a 'benchmark')")
    if "checksum" in row and row["checksum"] != checksum(row):
        raise UserError(f"{where}: changed after it was written; remove it or run it again")
    if "config" in row:
        try:
            line = _flat(row)
            _apart.split([row])
            pd.to_numeric(pd.Series([line[name] for name in NUMBERS], dtype=object))
            if not isinstance(line["curve"], list):
                raise TypeError("curve should be a list")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{where}: not a result row ({type(error).__name__}: {error}); remove it or run it again"
            ) from error
    return row


def _load(file: Path) -> list[dict]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    if file.suffix == ".jsonl":
        lines = enumerate(text.splitlines(), 1)
        return [_parse(line, f"{file}:{n}") for n, line in lines if line.strip()]
    return [_parse(text, str(file))]


def raw(suite: str, root: Path = ROOT, maker: str | None = None) -> tuple[list[dict], str]:
    """Rows of a suite as they were written, and where from: this machine's runs, or else the committed ones.

    Args:
        suite: name of the suite ("quick"), of a benchmark, or of a folder of one's own in `results/runs/`.
        root: folder that holds `results/`.
        maker: what makes the rows of a benchmark ("benchmarks.studies.precision"); a sweep those of a suite.

    Raises:
        UserError: neither has a row, or a file holds no row.
    """
    runs, reference = root / "results/runs" / suite, root / "results/reference" / f"{suite}.jsonl"
    for source, files in ((runs, sorted(runs.glob("*.json"))), (reference, [reference])):
        rows = [row for file in files if file.exists() for row in _load(file)]
        if rows:
            return rows, source.relative_to(root).as_posix()
    known = set(registry.files("suite")) | {f.stem for f in reference.parent.glob("*.jsonl")}
    known |= {f.name for f in runs.parent.glob("*") if f.is_dir()}
    if suite not in known and maker is None:
        raise unknown("suite", suite, known)
    raise UserError(f"no rows of {suite!r} yet: run `python -m {maker or f'benchmarks sweep {suite}'}`")


def read(suite: str, root: Path = ROOT, maker: str | None = None) -> pd.DataFrame:
    """`frame` of `raw`; `attrs["source"]` says which files were read."""
    return frame(*raw(suite, root, maker))


def read_glob(pattern: str) -> pd.DataFrame:
    """Rows of a user's own files: `.json` holds one row, `.jsonl` one a line.

    Raises:
        UserError: nothing matches, or a file holds no row.
    """
    files = [Path(name) for name in sorted(glob(pattern, recursive=True))]
    rows = [row for file in files for row in _load(file)]
    if not rows:
        raise UserError(f"no result rows match {pattern!r}: give one such as 'results/runs/quick/*.json'")
    return frame(rows, pattern)


def method_of(label: str) -> str:
    """The method of a label that may name an arithmetic or a dtype too.

    >>> method_of("MeZO (released) bfloat16"), method_of("My method")
    ('MeZO', 'My method')
    """
    first = label.split(" ", 1)[0]
    return first if first in METHODS else label


def _place(order: tuple[str, ...], name: str) -> tuple[int, str]:
    known = method_of(name)
    return (order.index(known) if known in order else len(order), name)


def _rank(line: dict) -> tuple:
    task, label = _place(TASKS, line["task"]), _place(METHODS, line["label"])
    return line["model"], task, label, str(line["seed"]), line["setting"]


def run_id(row: dict) -> str:
    """What tells a row's run from others: its id, or of a row without one a hash of its config."""
    if row.get("id"):
        return str(row["id"])
    text = json.dumps([row.get("label"), row["config"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flat(row: dict) -> dict:
    config, test, validation = row["config"], row.get("test") or {}, row.get("validation") or {}
    settings, curve = config.get("settings") or {}, row.get("curve") or []
    fixed = {k: v for k, v in config.items() if k not in ("seed", "data_seed")}
    metric = row.get("metric") or "accuracy"
    budget, amount = _apart.budget_of(config) or (None, None)
    return {
        "model": config["model"],
        "task": config["task"],
        "label": row.get("label") or config["method"],
        "title": row.get("task_title") or config["task"],
        "seed": config.get("seed"),
        "data_seed": config.get("data_seed") or 0,
        "setting": json.dumps(fixed, sort_keys=True),
        "run": json.dumps([row.get("label"), config], sort_keys=True),
        "id": run_id(row),
        "ended": str(row.get("ended") or ""),
        "outcome": row.get("status") or "failed",
        "method": config["method"],
        "dtype": config.get("dtype"),
        "shots": config.get("shots"),
        "metric": metric,
        "score": row.get("score"),
        "auc": test.get("auc"),
        "loss": test.get("loss"),
        "validation_score": validation.get("score"),
        "validation_loss": validation.get("loss"),
        "peak_bytes": row.get("peak_bytes"),
        "seconds": row.get("train_seconds_to_best"),
        "train_seconds": row.get("train_seconds"),
        "budget": budget,
        "budget_amount": amount,
        "steps": config.get("steps") or (curve[-1]["step"] if curve else None),
        "best_step": row.get("best_step"),
        "lr": settings.get("lr"),
        "zo_batch_size": settings.get("zo_batch_size"),
        "fo_batch_size": settings.get("fo_batch_size"),
        "curve": curve,
    }


NUMBERS = ["score", "auc", "loss", "validation_score", "validation_loss", "peak_bytes", "seconds",
           "train_seconds", "budget_amount", "steps", "best_step", "lr", "zo_batch_size",
           "fo_batch_size"]  # fmt: skip


def frame(rows: list[dict], source: str = "") -> pd.DataFrame:
    """One line a run, in the fixed order of models, tasks, methods and seeds.

    Of several rows with one and the same config, the newest stands: a run repeated is no second seed.
    Rows that have no mean with the others are left out (`comparable.split`), and `attrs["apart"]` says
    which and why. Where runs have several numbers of shots, those are part of the model's name.

    Columns: model, task, label, title, seed, data_seed, setting (the config without its seeds), id, outcome
    (the row's status: "done", "failed", "OOM" or "killed"), score in 0..1, auc, loss, peak_bytes, seconds
    (training, to the chosen checkpoint), train_seconds (of the whole run), budget (its name) and
    budget_amount, steps, lr, batch sizes, curve (list of evaluations).

    Rows of a benchmark, which are no runs, are one line each as they are, and `attrs["benchmark"]` is its
    name.

    Raises:
        UserError: rows of runs and of benchmarks, or of several benchmarks.
    """
    benchmarks = {row.get("benchmark") for row in rows}
    if len(benchmarks) > 1:
        raise UserError(
            f"rows of several kinds in {source or 'one frame'}: give those of one suite or benchmark"
        )
    if benchmarks - {None}:
        data = pd.DataFrame(rows)
        data.attrs |= {"source": source, "benchmark": benchmarks.pop()}
        return data
    kept, apart = _apart.split(rows)
    newest = {line["run"]: line for line in sorted(map(_flat, kept), key=lambda line: line["ended"])}
    if len({line["dtype"] for line in newest.values()}) > 1:
        # Where runs of several dtypes lie together they are told apart as methods are; zero-shot is none.
        for line in newest.values():
            if line["dtype"] in HALF and line["label"] != "zero-shot":
                line["label"] += f" {line['dtype']}"
    if len({line["shots"] for line in newest.values()}) > 1:
        for line in newest.values():
            line["model"] += f" k={line['shots']}" if line["shots"] else ""
    data = pd.DataFrame(sorted(newest.values(), key=_rank))
    if len(data):
        data[NUMBERS] = data[NUMBERS].apply(pd.to_numeric)
    data.attrs |= {"source": source, "apart": apart}
    return data


def ordered(data: pd.DataFrame, column: str) -> list[str]:
    """The distinct values of "model", "task" or "label" in their fixed order."""
    order = {"task": TASKS, "label": METHODS}.get(column, ())
    return sorted(data[column].unique(), key=lambda name: _place(order, name))


def score_name(data: pd.DataFrame, accuracy: str = "accuracy") -> str:
    """What the scores of rows are, for the label of an axis."""
    other = {"exact_match": f"{accuracy}, F1 or exact match"}
    return next((other[m] for m in data["metric"] if m in other), f"{accuracy} or F1")


def chosen(data: pd.DataFrame) -> pd.DataFrame:
    """Keeps one setting of `trials` for each model, task and method: the best mean score on validation.

    Ties go to the lower loss.
    """
    if not len(data):
        return data
    data = trials(data)
    cells = data.groupby(CELL, sort=False)
    several = data[cells["setting"].transform("nunique") > 1]
    best = {place: _best(cell) for place, cell in several.groupby(CELL, sort=False)}
    places = zip(*(data[name] for name in CELL), strict=True)
    return data[[best.get(p, own) == own for p, own in zip(places, data["setting"], strict=True)]]


def trials(data: pd.DataFrame) -> pd.DataFrame:
    """The runs that `chosen` chooses among.

    Where batch sizes are swept on one task, only runs at those that the method has on most tasks
    take part: a sweep is not a search for the best entry of a table.
    """
    if not len(data):
        return data
    sizes = data[["zo_batch_size", "fo_batch_size"]].fillna(0).apply(tuple, axis=1).rename("sizes")
    tasks = data.assign(sizes=sizes).groupby(["model", "method", "sizes"])["task"].nunique()
    usual = set(tasks[tasks == tasks.groupby(["model", "method"]).transform("max")].index)
    keys = zip(data["model"], data["method"], sizes, strict=True)
    at_usual = pd.Series([key in usual for key in keys], index=data.index)
    some = at_usual.groupby([data[name] for name in CELL]).transform("any")
    return data[at_usual | ~some]


def _best(cell: pd.DataFrame) -> str:
    """The setting with the best mean validation score; the first one where no run is done."""
    done = cell[cell["outcome"] == "done"].groupby("setting")
    means = done[["validation_score", "validation_loss"]].mean()
    means = means.sort_values(["validation_score", "validation_loss"], ascending=[False, True])
    return means.index[0] if len(means) else cell["setting"].iloc[0]


def summary(data: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds: one line for each model, task and method, from `chosen(data)`.

    Columns: model, task, label, title, metric, shots, outcome ("done" where any seed is), n (seeds done),
    failed (seeds not done), lr, steps, and for score, auc, loss, peak_bytes and seconds the mean and
    `<name>_std` (the sample standard deviation; nan below two seeds).
    """
    runs = chosen(data)
    cells, done = (part.groupby(CELL, sort=False) for part in (runs, runs[runs["outcome"] == "done"]))
    means = cells[["title", "metric", "shots", "outcome", "lr", "steps"]].first()
    means["n"] = done.size().reindex(means.index, fill_value=0)
    means["failed"] = cells.size() - means["n"]
    means.loc[means["n"] > 0, "outcome"] = "done"
    means = means.join(done[MEASURES].mean()).join(done[MEASURES].std(ddof=1).add_suffix("_std"))
    return means.reset_index()
