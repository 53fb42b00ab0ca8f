"""Tests of the worker processes of the studies."""

import ast

import torch

from benchmarks.registry import ROOT
from benchmarks.studies._processes import pool


def about_cuda(_):
    """Return whether this process inherited a CUDA that it could not use, and its number of threads."""
    return torch.cuda._initialized, torch.get_num_threads()


def test_workers_do_not_inherit_an_initialized_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "_initialized", True)
    with pool(1) as workers:
        assert list(workers.map(about_cuda, [0])) == [(False, 1)]


def test_nothing_but_a_spawning_context_makes_worker_processes():
    """A pool without a context forks on Linux."""
    sources = [f for folder in ("addax", "benchmarks", "plots") for f in (ROOT / folder).rglob("*.py")]
    calls = [
        (file.name, call)
        for file in sources
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).endswith(("ProcessPoolExecutor", "get_context"))
    ]
    contexts = {ast.unparse(c.args[0]) for _, c in calls if ast.unparse(c.func).endswith("get_context")}
    pools = [(name, c) for name, c in calls if ast.unparse(c.func).endswith("ProcessPoolExecutor")]
    assert contexts == {"'spawn'"}
    assert {name for name, _ in pools} == {"_processes.py", "local.py"}
    assert all("context" in ast.unparse(call) for _, call in pools)
