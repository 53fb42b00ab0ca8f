"""Tables of papers: their numbers beside ours, what defines a suite, and which suites there are."""

import pandas as pd
from tabulate import tabulate

from benchmarks import registry
from benchmarks.report.stats_tables import ReportTable, column
from benchmarks.report.tables import NONE
from benchmarks.results import published
from benchmarks.results.order import format_value

# What a statement's tag means, where a reader sees it.
TAGS = {
    "V": "seen in the paper or its released code",
    "D": "follows from that by arithmetic",
    "R": "recalled, confirmed by no source at hand: not the paper's number",
    "ours": "our choice",
}


def paper_of(suite: str) -> object | None:
    """What a suite, its tiny twin, or its runs at another budget repeat: `PAPER` of its file; else None."""
    name = suite.partition(".")[0].removesuffix("-tiny")
    return getattr(registry.module("suite", name), "PAPER", None) if name in registry.files("suite") else None


def printed(means: pd.DataFrame, paper, numbers: pd.DataFrame) -> ReportTable:
    """A suite's means beside its paper's numbers.

    Args:
        means: `benchmarks.results.frame.Results.means`.
        paper: the suite's `PAPER`.
        numbers: `benchmarks.results.published.load`'s.
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
    table = {
        "model": found["model"],
        "task": found["title"],
        "method": found["label"],
        f"{paper.paper} (%)": theirs,
        "ours (%)": ours,
        "difference": ["" if pd.isna(value) else f"{value:+.1f}" for value in found["difference"]],
        "n": found["n"].astype(str),
    }
    note = f"Empty: no source at hand confirms what {paper.paper} prints, or it was not run here."
    pairs = found[["model", "paper_model"]].drop_duplicates().itertuples(index=False)
    other = [f"{ours}, not {theirs}" for ours, theirs in pairs if theirs and not _same(ours, theirs)]
    if other:
        note += (
            f" Ours is {', '.join(other)}: the difference is one of models and data, and says nothing on "
            "whether the paper is reproduced."
        )
    sources = ", ".join(dict.fromkeys(filter(None, found["source"])))
    note += f" Printed in: {sources}." if sources else ""
    head = f"{paper.paper}, {paper.shows}: printed and measured"
    return ReportTable(head, pd.DataFrame(table), found, note)


def _same(ours: str, theirs: str) -> bool:
    """Whether a model of ours is the one that a paper names ("facebook/opt-13b", "OPT-13B")."""
    return _plain(ours) == _plain(theirs)


def _plain(model: str) -> str:
    """A model's name without its owner and shots.

    >>> _plain("FacebookAI/roberta-large k=16")
    'roberta-large'
    """
    return model.rpartition("/")[2].partition(" k=")[0].lower()


def stated(paper) -> ReportTable:
    """All that defines a suite's runs, and where each is from."""
    lines = [
        {
            "of": ", ".join(one.names) or one.field,
            "what": one.field if one.names else "",
            "value": _format(one.value)
            + "".join(f" (where {k} is {_format(v)})" for k, v in one.when.items()),
            "from": one.tag,
            "source": one.source,
        }
        for one in paper.settings
    ]
    table = pd.DataFrame(lines)
    note = "; ".join(f"{tag}: {meaning}" for tag, meaning in TAGS.items()) + "."
    return ReportTable(
        f"What defines this suite: {paper.paper} (arXiv {paper.arxiv}), {paper.shows}", table, table, note
    )


def _format(value: object) -> str:
    return ", ".join(map(_format, value)) if isinstance(value, tuple) else format_value(value)


def papers() -> str:
    """Markdown for a page: the suites of papers, how many runs each has, and on what."""
    from benchmarks import suites

    lines = []
    for name in registry.files("suite"):
        if registry.is_tiny(name) or (paper := paper_of(name)) is None:
            continue
        lines.append(
            {
                "suite": f"`{name}`",
                "repeats": f"{paper.paper}, {paper.shows}",
                "runs": len(suites.load(name)),
                "tiny runs": len(suites.load(f"{name}{registry.TINY}")),
                "hardware": paper["hardware"],
            }
        )
    return tabulate(lines, headers="keys", tablefmt="pipe")


def coverage() -> str:
    """Markdown for a page: which tables have printed numbers in `results/published.csv`, and which none."""
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
        # What reviewers asked for no paper prints.
        prints = paper is not None and any(word in paper.shows for word in ("able", "Figure"))
        if prints and (paper.paper, paper.shows) not in counts.index:
            empty.append(f"{paper.paper}, {paper.shows} (suite `{name}`)")
    text = tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)
    if empty:
        text += f"\n\nEmpty for want of a source: {'; '.join(empty)}."
    return text
