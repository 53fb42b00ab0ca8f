"""Tables about papers: their numbers compared with ours, the settings of a suite, and the list of suites."""

import pandas as pd
from tabulate import tabulate

from benchmarks import registry
from benchmarks.report.stats_tables import ReportTable, column
from benchmarks.report.tables import NONE
from benchmarks.results import published
from benchmarks.results.majority import LABEL
from benchmarks.results.order import format_value, score_unit, task_heading

# The meaning of a setting's provenance tag, for readers.
TAGS = {
    "V": "verified in the paper or its released code",
    "D": "derived from verified numbers",
    "R": "recalled from memory and unverified, so possibly not the paper's number",
    "ours": "our choice",
}


def paper_of(suite: str) -> object | None:
    """Return the `PAPER` that a suite reproduces, or None.

    The `-tiny` variant of a suite, and its runs with another budget, reproduce the same paper.
    """
    name = suite.partition(".")[0].removesuffix("-tiny")
    return getattr(registry.module("suite", name), "PAPER", None) if registry.is_suite(name) else None


def printed(means: pd.DataFrame, paper, numbers: pd.DataFrame) -> ReportTable:
    """Return a table that compares a suite's means with its paper's numbers.

    Args:
        means: `benchmarks.results.frame.Results.means`.
        paper: the suite's `PAPER`.
        numbers: the published numbers from `benchmarks.results.published.load`.
    """
    at = (numbers["paper"] == paper.paper) & (numbers["table"] == paper.shows)
    found = published.beside(means, paper.paper, paper.shows if at.any() else None, paper.model, numbers)
    deviations = column(found["published_std"], ".1f")
    theirs = [
        f"{text} ± {std}" if std != NONE else text
        for text, std in zip(found["printed"], deviations, strict=True)
    ]
    ours = [
        outcome if outcome not in ("done", "") else "" if pd.isna(value) else f"{value:.1f}"
        for value, outcome in zip(found["ours"], found["outcome"], strict=True)
    ]
    unit, mcc = score_unit(means), published.METRICS["matthews"]
    table = {
        "model": found["model"],
        "task": [
            task_heading(title, "matthews" if metric == mcc else "")
            for title, metric in zip(found["title"], found["metric"], strict=True)
        ],
        "method": found["label"],
        f"{paper.paper} ({unit})": theirs,
        f"ours ({unit})": ours,
        LABEL: column(found["majority"], ".1f"),
        "difference": ["" if pd.isna(value) else f"{value:+.1f}" for value in found["difference"]],
        "n": found["n"].astype(str),
    }
    if found["majority"].isna().all():
        del table[LABEL]
    note = f"Empty entries: no source confirms the number of {paper.paper}, or we have no run."
    pairs = found[["model", "paper_model"]].drop_duplicates().itertuples(index=False)
    other = [f"{ours} instead of {theirs}" for ours, theirs in pairs if theirs and not _same(ours, theirs)]
    if other:
        note += (
            f" We ran {', '.join(other)}, so the differences reflect models and data and do not show whether "
            "the paper is reproduced."
        )
    sources = ", ".join(dict.fromkeys(filter(None, found["source"])))
    note += f" Sources of published numbers: {sources}." if sources else ""
    head = f"{paper.paper}, {paper.shows}: published and measured"
    return ReportTable(head, pd.DataFrame(table), found, note)


def _same(ours: str, theirs: str) -> bool:
    """Return whether our name and a paper's denote the same model ("facebook/opt-13b" and "OPT-13B")."""
    return _plain(ours) == _plain(theirs)


def _plain(model: str) -> str:
    """Return a model's name in lower case, without its owner and shots.

    >>> _plain("FacebookAI/roberta-large k=16")
    'roberta-large'
    """
    return model.rpartition("/")[2].partition(" k=")[0].lower()


def stated(paper) -> ReportTable:
    """Return a table of all settings that define a suite's runs, with the provenance of each."""
    lines = [
        {
            "of": ", ".join(one.names) or one.field,
            "what": one.field if one.names else "",
            "value": _format(one.value) + "".join(f" (if {k} is {_format(v)})" for k, v in one.when.items()),
            "from": one.tag,
            "source": one.source,
        }
        for one in paper.settings
    ]
    data = pd.DataFrame(lines)
    table = data.rename(columns={"of": "applies to", "what": "setting", "from": "tag"})
    note = "; ".join(f"{tag}: {meaning}" for tag, meaning in TAGS.items()) + "."
    return ReportTable(
        f"Settings of this suite: {paper.paper} (arXiv {paper.arxiv}), {paper.shows}", table, data, note
    )


def _format(value: object) -> str:
    return ", ".join(map(_format, value)) if isinstance(value, tuple) else format_value(value)


def papers() -> str:
    """Return a Markdown table of the suites that reproduce papers, with numbers of runs and hardware."""
    from benchmarks import suites

    lines = []
    for name in registry.files("suite"):
        if registry.is_tiny(name) or (paper := paper_of(name)) is None:
            continue
        lines.append(
            {
                "suite": f"`{name}`",
                "reproduces": f"{paper.paper}, {paper.shows}",
                "runs": len(suites.load(name)),
                "tiny runs": len(suites.load(f"{name}{registry.TINY}")),
                "hardware": paper["hardware"],
            }
        )
    return tabulate(lines, headers="keys", tablefmt="pipe")


def coverage() -> str:
    """Return Markdown that lists the tables with numbers in `results/published.csv`, and those without."""
    numbers = published.load()
    counts = numbers.groupby(["paper", "table"], sort=False).agg(
        n=("value", "size"), source=("source", lambda texts: ", ".join(dict.fromkeys(texts)))
    )
    lines = [
        {"paper": paper, "table": table, "numbers": n, "source": source}
        for (paper, table), (n, source) in zip(counts.index, counts.itertuples(index=False), strict=True)
    ]
    empty = []
    for name in registry.files("suite"):
        paper = None if registry.is_tiny(name) else paper_of(name)
        # Experiments that reviewers requested have no published table.
        prints = paper is not None and any(word in paper.shows for word in ("able", "Figure"))
        if prints and (paper.paper, paper.shows) not in counts.index:
            empty.append(f"{paper.paper}, {paper.shows} (suite `{name}`)")
    text = tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)
    if empty:
        text += (
            f"\n\nSuites whose tables have no published numbers, for lack of a source: {'; '.join(empty)}."
        )
    return text
