"""List methods, models, tasks, suites, studies, and figures, or describe one of them.

Without a name, print one line per name. With a name, print its description, its settings, and an example
command.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence

from benchmarks import registry
from benchmarks.cli.describe import method_settings
from benchmarks.cli.options import format_default, option_name
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, unknown
from benchmarks.tasks import _described

HEADINGS = {kind: f"{kind}s" for kind in registry.KINDS} | {"study": "studies"}
EXAMPLES = {
    "method": "run --method {name} --model nano-opt --task sst2 --lr 1e-3 --steps 20",
    "optimizer": "run --method {name} --model nano-opt --task sst2 --lr 1e-3 --steps 20",
    "task": "run --method addax --model nano-opt --task {name}",
    "suite": "sweep {name} --dry-run",
    "study": "study {name}",
    "figure": "plots {name}",
}


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the argument for the names."""
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="name to describe (default: list everything)"
    )


def main(args: argparse.Namespace) -> int:
    """Print a list of all names, or the descriptions of the given names."""
    lines = [line for name in args.names for line in explain(name)] if args.names else overview()
    print("\n".join(lines))
    return 0


def overview() -> Iterator[str]:
    """Yield a heading for each kind, followed by a line for each name."""
    for kind, heading in HEADINGS.items():
        yield heading
        width = max([12, *map(len, registry.files(kind))])
        for name in registry.files(kind):
            yield f"  {name:<{width}} {summary(kind, name)}"
        if kind == "optimizer":
            yield "  or use any torch optimizer by import path (torch.optim:AdamW, package.module:Class)"
        if kind == "model":
            from benchmarks import models

            builtin = ", ".join(models.builtin())
            yield f"  built in: {builtin}"
            yield "  or a local folder or a hub name (owner/name) of any causal, masked, or"
            yield "  sequence-classification model that transformers knows"


def summary(kind: str, name: str) -> str:
    """Return the first line of a file's docstring, or why the file is broken.

    Only the files of tasks are imported, because importing the others would take seconds.
    """
    from benchmarks import tasks

    try:
        text = registry.summary(kind, name)
        if kind == "task":
            tasks.load(name)
    except UserError as error:
        return f"broken: {error}"
    return text


def explain(name: str) -> Iterator[str]:
    """Yield the lines that describe a name, once for each kind in which it exists.

    Raises:
        UserError: no kind has this name.
    """
    from benchmarks import models

    if registry.is_described(name):
        yield from described_lines(name)
        return
    if registry.is_import_path(name):
        settings = list(settings_lines(name))
        yield f"optimizer {name} ({registry.ADAPTER.as_posix()})"
        yield from settings
        yield f"\n  example: python -m benchmarks {EXAMPLES['optimizer'].format(name=name)}"
        return
    kinds = [kind for kind in HEADINGS if name in registry.files(kind)]
    builtin = models.builtin()
    if not kinds and name not in builtin:
        raise unknown("name", name, {n for kind in HEADINGS for n in registry.files(kind)} | set(builtin))
    for kind in kinds:
        file = registry.path(kind, name)
        yield f"{kind} {name} ({file.relative_to(registry.ROOT).as_posix()})"
        yield ""
        yield from (f"  {line}".rstrip() for line in text_of(kind, name).splitlines())
        if kind in ("method", "optimizer"):
            yield from settings_lines(name)
        if kind == "suite":
            yield from committed_lines(name)
        if kind == "model":
            members = [
                model for model, family in builtin.items() if family.name == models.families()[name].name
            ]
            yield f"\n  built in: {', '.join(members) or 'none'}"
        if kind in EXAMPLES:
            yield f"\n  example: python -m benchmarks {EXAMPLES[kind].format(name=name)}"
        yield ""
    if name in builtin:
        yield f"model {name} (family {builtin[name].name})"
        if not (models.WEIGHTS / name).is_dir():
            yield f"\n  to download its weights: python -m benchmarks fetch {name}"
        yield f"\n  example: python -m benchmarks run --method addax --model {name} --task sst2"
        yield ""


def described_lines(name: str) -> Iterator[str]:
    """Yield the lines that describe a task without Python: its title and its file."""
    from benchmarks import tasks

    yield f"task {name}: {tasks.load(name).title}"
    yield ""
    yield from (f"  {line}".rstrip() for line in _described.source(registry.path("task", name)).splitlines())
    yield f"\n  example: python -m benchmarks {EXAMPLES['task'].format(name=name)} --data FILE"
    yield ""


def text_of(kind: str, name: str) -> str:
    """Return the docstring of the file that defines a name."""
    if kind == "suite" and registry.is_tiny(name):
        return registry.summary(kind, name)
    file = registry.path(kind, name)
    with registry.user_code_errors(file):
        return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"), str(file))) or ""


def settings_lines(method: str) -> Iterator[str]:
    """Yield one line per setting of a method."""
    settings = method_settings(method)
    width = max((len(option_name(key)) for key in settings), default=0)
    yield "\n  settings:"
    for key, parameter in settings.items():
        option = f"{option_name(key):<{width}}"
        yield f"  {option}  {parameter.help} ({format_default(parameter.default)})".rstrip()


def committed_lines(suite: str) -> Iterator[str]:
    """Yield the number of committed rows of a suite, if it has any."""
    file = registry.ROOT / "results" / "reference" / f"{suite}.jsonl"
    if file.exists():
        count = len(file.read_text(encoding="utf-8").splitlines())
        yield f"\n  committed rows: {count} ({file.relative_to(registry.ROOT).as_posix()})"
