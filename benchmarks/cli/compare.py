"""Compare methods on a model and data: tune each by one rule, run equal budgets and seeds, write a report.

Each method gets the same number of learning-rate trials: three rates a factor of ten apart, then two beside
the best, each at the full budget on seed 100. Then every method runs at its best rate with seeds 0, 1, ... .
Two suites hold these runs, NAME-trials and NAME. The same command continues them after an interruption.
"""

import argparse
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import models, registry
from benchmarks.cli import options
from benchmarks.cli.describe import method_settings, run_fields, settings_owners
from benchmarks.cli.parser import Parser
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.compare.suite_files import Comparison

# Fields with options of their own, or that the comparison sets.
NOT_OPTIONS = ("method", "model", "task", "data", "device", "seed", "data_seed", *BUDGETS)


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add what to compare, the fields of every run, the settings of the methods, and how to run."""
    command.usage = "%(prog)s --model NAME --data FILE --methods A,B,C --budget NAME=AMOUNT [options]"
    fields = run_fields()
    what = command.add_argument_group("what to compare")
    for name in ("model", "task"):
        what.add_argument(f"--{name}", required=name == "model", metavar="NAME", help=fields[name].help)
    options.add_data(what)
    options.add_columns(what)
    options.add_device(what)
    what.add_argument(
        "--methods",
        metavar="A,B,C",
        help="methods to compare, or import paths of PyTorch optimizers (default: the methods of this suite)",
    )
    what.add_argument(
        "--budget", required=True, metavar="NAME=AMOUNT",
        help="budget of every run: forward-equivalents, seconds, examples, or steps (unequal work)",
    )  # fmt: skip
    what.add_argument("--seeds", type=int, default=3, metavar="N", help="number of seeds (default: 3)")
    what.add_argument(
        "--memory", metavar="SIZE",
        help="memory that every run must fit in, such as 24GB: a method that does not fit gets gradient "
        "checkpointing, then smaller batches; one with two batches, an L_T (default: no limit)",
    )  # fmt: skip
    what.add_argument(
        "--center", nargs="+", action="extend", default=[], metavar="METHOD=RATE",
        help="center of the trials of a method's learning rate (default: from the number of parameters)",
    )  # fmt: skip
    what.add_argument(
        "--name", help="name of the comparison and of its rows (default: from model, task, and arguments)"
    )
    options.add_parameters(
        command.add_argument_group("fields of every run"),
        [field for name, field in fields.items() if name not in NOT_OPTIONS],
    )
    settings = _settings(_named(argv)).values()
    options.add_parameters(command.add_argument_group("settings of the methods"), settings)
    how = command.add_argument_group("how to run")
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan without running anything; for a data file without --task, write its description",
    )
    how.add_argument(
        "--print-suite", action="store_true", help="print the suite files of the comparison only"
    )
    options.add_sweep(how)
    command.explain = _explain


def _named(argv: Sequence[str]) -> list[str]:
    """Return the methods that a command line names; without any, the methods of this repository."""
    after = list(itertools.dropwhile(lambda word: word.partition("=")[0] != "--methods", argv))
    text = after[0].partition("=")[2] or "".join(after[1:2]) if after else ""
    return methods_of(text or None)


def _explain(option: str) -> UserError | None:
    """Return the error for an option of `run` that a comparison sets, or for a setting of other methods."""
    setting = option.removeprefix("--").replace("-", "_")
    if setting == "lr":
        return UserError(
            "--lr: trials determine the learning rate; --center METHOD=RATE sets where they begin"
        )
    if setting in BUDGETS:
        return UserError(f"{option}: use --budget {option.removeprefix('--')}=AMOUNT")
    if owners := settings_owners(setting):
        return UserError(f"no compared method takes {setting}: it is a setting of {', '.join(owners)}")
    return None


def _settings(methods: Sequence[str]) -> dict:
    """Return the settings of methods, without the learning rate, which trials determine."""
    found = {}
    for method in reversed(methods):
        found |= method_settings(method)
    found.pop("lr", None)
    return dict(sorted(found.items()))


def main(args: argparse.Namespace) -> int:
    """Run the comparison and write its report; return 1 if a run of it failed."""
    methods = methods_of(args.methods)
    centers = centers_of(args.center, methods)
    if args.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {args.seeds}")
    if args.name is not None and not re.fullmatch(r"\w[\w-]*", args.name):
        raise UserError(
            f"--name {args.name!r}: use only letters, digits, '-', and '_'; '-' cannot come first"
        )
    if args.name in registry.files("suite"):
        raise UserError(f"--name {args.name}: there is a suite of this name; choose another one")

    from benchmarks.compare import build, suite_files
    from benchmarks.models._devices import device_of
    from benchmarks.sweep import selection

    data, path = options.source_of(args.data)
    # The description of a task that the columns of a file determine is next to the rows.
    args.suite = args.name or suite_files.folder_of(args.model, path, args.label, args.text)
    args.task = options.task_of(args, path if data == "file" else None)
    given = options.given_values(args, run_fields() | _settings(methods))
    budget = {name: amount for name, amount in selection.budget(args.budget).items() if amount is not None}
    given |= budget | {
        "model": args.model, "task": args.task, "data": data, "device": device_of(args.device)
    }  # fmt: skip
    common, own = build.run_values(methods, given)
    if args.memory is not None and str(given.get("length_threshold")).startswith("auto:"):
        raise UserError("--memory and --length-threshold auto:... both choose L_T: leave out one of them")
    source = str(Path(path).resolve()) if path else data
    arguments = {
        "methods": methods, "values": given, "data": source, "seeds": args.seeds, "memory": args.memory,
        "centers": centers,
    }  # fmt: skip
    name = args.name or suite_files.default_name(args.model, args.task, arguments)
    if not args.dry_run and not args.print_suite and suite_files.is_continued(name, arguments):
        return run(name, args)
    comparison, fits = build.build(
        name, arguments, source, common, own,
        seeds=args.seeds, memory=args.memory, centers=centers,
        constants=constants_of(args.model, budget),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    if args.print_suite:
        print("\n".join(f"# {registry.comparison_file(n)}\n{t}" for n, t in comparison.texts().items()))
        return 0
    print(plan(comparison, build.table(comparison, fits, args.memory)))
    if args.dry_run:
        from rich.console import Console

        from benchmarks.sweep import preview

        jobs = args.jobs or comparison.constants.get("JOBS")
        here = args.executor == "local"
        preview.show(name, comparison.expected(), path, jobs, Console(), here=here)
        return 0
    comparison.write()
    return run(name, args)


def methods_of(text: str | None) -> list[str]:
    """Return the methods of `--methods`, without duplicates.

    Raises:
        UserError: a method does not exist, or is zero-shot, which every comparison includes.
    """
    names = list(registry.files("method")) if text is None else [name for name in text.split(",") if name]
    for name in names:
        if name == ZERO_SHOT:
            raise UserError(f"--methods {text}: leave out {ZERO_SHOT}, which every comparison includes")
        registry.path("method", name)
    if not names:
        raise UserError("--methods needs the name of a method, such as addax,mezo")
    return list(dict.fromkeys(names))


def centers_of(pairs: Sequence[str], methods: Sequence[str]) -> dict[str, float]:
    """Return the rates of `--center` by method."""
    found = {}
    for pair in pairs:
        method, _, rate = pair.partition("=")
        try:
            found[method] = float(rate)
        except ValueError:
            found[method] = 0.0
        if method not in methods or not 0 < found[method] < float("inf"):
            raise UserError(f"--center must be METHOD=RATE with a compared method, not {pair!r}")
    return found


def constants_of(model: str, budget: Mapping[str, Any]) -> dict[str, Any]:
    """Return constants of the suites: runs with a budget in seconds need the machine to themselves."""
    found: dict[str, Any] = {"JOBS": 1} if "seconds" in budget else {}
    return found | ({"WANDB": "disabled"} if model in models.builtin() else {})


def plan(comparison: "Comparison", table: str) -> str:
    """Return the description of a comparison before its first run."""
    from math import comb

    from benchmarks.compare.rates import TRIALS
    from benchmarks.results.paired import pairs_needed

    count = len(comparison.methods)
    text = (
        f"{comparison.about}\n\n{table}\n\n"
        f"{count * TRIALS} trials ({TRIALS} per method), then {count * comparison.seeds} runs "
        f"({comparison.seeds} per method) and zero-shot\n"
        f"suites: {comparison.trials}, {comparison.name}"
    )
    # The runs of one task form a pair per seed.
    needed = pairs_needed(comb(count, 2)) if count > 1 else 0
    if comparison.seeds < needed:
        seeds = "1 seed" if comparison.seeds == 1 else f"{comparison.seeds} seeds"
        text += (
            f"\nnote: {count} methods with {seeds} cannot differ significantly, whatever their scores; "
            f"with --seeds {needed}, they can"
        )
    return text


def run(name: str, args: argparse.Namespace) -> int:
    """Run the trials until they ask for no more, then the runs; write the report."""
    from benchmarks import suites
    from benchmarks.cli import sweep
    from benchmarks.compare import suite_files, trials
    from benchmarks.report import build as report

    tried, todo, failed = name + suite_files.TRIALS, None, 0
    # The runs have their data in their specs. $ADDAX_DATA may replace the hub only where no command names it.
    data = "hub" if suites.data(tried) == "hub" else None
    common = vars(args) | {"only": [], "budget": None, "data": data, "data_revision": None}
    common |= {"report": False, "dry_run": False}
    # The rows of the first trials determine the last ones.
    while todo != (ids := {spec.id for spec in suites.load(tried)}):
        todo = ids
        sweep.main(argparse.Namespace(**common | {"suite": tried, "save_models": False}))
    if args.shard is not None and trials.missing(tried, current=True):
        print(f"{name}: other shards have not finished the trials; run this command again when they have")
        return 0
    failed = sweep.main(argparse.Namespace(**common | {"suite": name}))
    if args.shard is None:
        for line in trials.notes(tried):
            print(line)
        report.write_report(name)
    return failed
