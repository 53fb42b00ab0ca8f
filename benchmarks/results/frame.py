"""Result rows as pandas frames, computed once and shared by tables, tests, figures, and pages."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from benchmarks.config.identity import identifying
from benchmarks.config.names import is_trained
from benchmarks.errors import UserError, unknown
from benchmarks.results import directions, select
from benchmarks.results.comparable import budget_of, label_of, partition_comparable
from benchmarks.results.majority import BESIDE
from benchmarks.results.order import display_order, sort_key

HALF = ("bfloat16", "float16")
TEXTS = ["model", "task", "label", "title", "setting", "run", "id", "ended", "outcome", "method", "dtype",
         "direction", "metric", "budget", "curve", "seed", "data_seed", "shots"]  # fmt: skip
NUMBERS = ["score", "score_long", "score_short", "auc", "loss", "validation_score",
           "validation_loss", "peak_bytes", "seconds", "train_seconds", "budget_amount", "steps", "best_step",
           "lr", "zo_batch_size", "fo_batch_size", "long_above_tokens", *BESIDE.values()]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The rows of one suite or study, and frames computed from them; built with `Results.of`.

    Attributes:
        rows: all rows as written, with any status, including the excluded ones.
        source: the files that the rows were read from.
        comparable: the rows that can be compared and averaged.
        excluded: a description of the other rows by `benchmarks.results.comparable.partition_comparable`.
        runs: one line per run, see `frame`; for a study, one line per unchanged row.
        selected: the runs at each method's best setting on validation data.
        means: `selected` averaged over seeds, see `benchmarks.results.select.mean_over_seeds`.
        study: name of the study that measured the rows; None for the runs of a suite.
    """

    rows: Sequence[dict]
    source: str
    comparable: Sequence[dict]
    excluded: Sequence[dict]
    runs: pd.DataFrame
    study: str | None = None

    @classmethod
    def of(cls, rows: Sequence[dict], source: str = "") -> "Results":
        """Build results from the rows of one suite or one study.

        Raises:
            UserError: the rows mix runs with studies, or belong to several studies.
        """
        studies = {row.get("study") for row in rows}
        if len(studies) > 1:
            raise UserError(
                f"{source or 'these rows'}: rows of several kinds; pass the rows of one suite or one study"
            )
        kept, excluded = partition_comparable(rows)
        if studies - {None}:
            return cls(rows, source, kept, excluded, pd.DataFrame(kept), studies.pop())
        return cls(rows, source, kept, excluded, frame(kept))

    @cached_property
    def directions(self) -> str:
        """The note on directions that are not normal; empty for a study."""
        if "direction" not in self.runs or self.study is not None:
            return ""
        return directions.note(zip(self.runs["label"], self.runs["direction"], strict=True))

    @cached_property
    def selected(self) -> pd.DataFrame:
        return select.select_best_setting(self.runs)

    @cached_property
    def means(self) -> pd.DataFrame:
        return select.mean_over_seeds(self.selected)

    def only(self, methods: Collection[str]) -> "Results":
        """Return the results of some methods, given by their labels.

        Raises:
            UserError: no row has one of the labels; the message suggests the nearest one.
        """
        known = display_order(self.runs, "label") if "label" in self.runs else []
        for label in methods:
            if label not in known:
                raise unknown("method in these rows", label, known)
        part = replace(self, runs=self.runs[self.runs["label"].isin(methods)])
        if self.study is None:
            # Settings are selected within each method, so the selection can be filtered.
            vars(part)["selected"] = self.selected[self.selected["label"].isin(methods)]
        return part


def require_rows(results: Results, suite: str) -> Results:
    """Return the results. If they are empty, raise a `UserError` with the command that produces rows."""
    if not results.comparable:
        raise UserError(
            f"no comparable result rows for the tables: run `python -m benchmarks sweep {suite}` first"
        )
    return results


def frame(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Return one line per run, in the fixed order of models, tasks, methods, and seeds.

    If several rows have the same config, only the newest counts, because a repeated run is not a second seed.
    If runs with one label have several directions, a direction other than normal becomes part of the label.
    If the runs have several dtypes, a 16-bit dtype becomes part of the method's label. If they have several
    numbers of shots, the number becomes part of the model's name. If several tasks share a title, their names
    become part of it.

    Args:
        rows: comparable rows of runs, see `benchmarks.results.comparable`.

    Returns:
        Columns: model, task, label, title, seed, data_seed, setting (the config without seeds and device),
        id, outcome (the row's status: "done", "failed", "OOM", or "killed"), metric, score (in 0..1, Matthews
        correlation in -1..1), score_long and score_short (of the test rows above and up to long_above_tokens;
        nan without a threshold), the majority scores (`benchmarks.results.majority.BESIDE`), auc, loss,
        peak_bytes, seconds (training time to the selected checkpoint), train_seconds (training time of the
        whole run), budget (its name) and budget_amount, steps, lr, batch sizes, and curve (list of
        evaluations).
    """
    newest = {line["run"]: line for line in sorted(map(_flat, rows), key=lambda line: line["ended"])}
    names = directions.names((line["label"], line["direction"]) for line in newest.values())
    for line in newest.values():
        line["label"] = names[line["label"], line["direction"]]
    if len({line["dtype"] for line in newest.values()}) > 1:
        for line in newest.values():
            if line["dtype"] in HALF and is_trained(line["label"]):
                line["label"] += f" {line['dtype']}"
    if len({line["shots"] for line in newest.values()}) > 1:
        for line in newest.values():
            line["model"] += f" k={line['shots']}" if line["shots"] else ""
    titles = _titles(newest.values())
    for line in newest.values():
        line["title"] = titles[line["task"], line["title"]]
    data = pd.DataFrame(sorted(newest.values(), key=_rank), columns=[*TEXTS, *NUMBERS])
    data[NUMBERS] = data[NUMBERS].apply(pd.to_numeric)
    return data


def _rank(line: Mapping) -> tuple:
    return *sort_key(line["model"], line["task"], line["label"]), str(line["seed"]), line["setting"]


def _flat(row: Mapping) -> dict[str, Any]:
    # A run on another device is the same run: only its memory and time differ (`comparable.RULES`).
    config = {name: value for name, value in identifying(row["config"]).items() if name != "device"}
    test, validation = row.get("test") or {}, row.get("validation") or {}
    settings, curve = config["settings"], row["curve"]
    budget, amount = budget_of(config) or (None, None)
    fixed = {k: v for k, v in config.items() if k not in ("seed", "data_seed")}
    return {
        "model": config["model"],
        "task": config["task"],
        "label": label_of(row),
        "title": row.get("task_title") or config["task"],
        "seed": config.get("seed"),
        "data_seed": config.get("data_seed") or 0,
        "setting": json.dumps(fixed, sort_keys=True),
        "run": json.dumps([row.get("label"), config], sort_keys=True),
        "id": row["id"],
        "ended": str(row.get("ended") or ""),
        "outcome": row["status"],
        "method": config["method"],
        "dtype": config.get("dtype"),
        "direction": directions.direction_of(config),
        "shots": config.get("shots"),
        "metric": row.get("metric") or "accuracy",
        "score": row.get("score"),
        "score_long": (row.get("test_long") or {}).get("score"),
        "score_short": (row.get("test_short") or {}).get("score"),
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
        "long_above_tokens": row.get("long_above_tokens"),
        **{name: row.get(name) for name in BESIDE.values()},
        "curve": curve,
    }


def _titles(lines: Iterable[Mapping]) -> dict[tuple[str, str], str]:
    """Return a title for each (task, title) that no other task shares."""
    found = {(line["task"], line["title"]) for line in lines}
    shared = Counter(title for _, title in found)
    return {(task, title): f"{title} ({task})" if shared[title] > 1 else title for task, title in found}


def setting_of(text: str) -> dict[str, Any]:
    """Parse a run's `setting` into one flat dictionary.

    It has the fields of the config without "settings", then the method's settings and the length threshold.
    """
    config = json.loads(text)
    settings = config.pop("settings") | {"length_threshold": config.pop("length_threshold", None)}
    return config | dict(sorted(settings.items()))
