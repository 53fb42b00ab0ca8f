"""Tests of runs with optimizers of other packages: resuming, rows, and fingerprints."""

import sys
from importlib import metadata

import pytest
import torch

from benchmarks.config import fingerprint, import_paths, labels
from benchmarks.config import methods as settings
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.training import run as train
from tests.benchmarks.training.resumable_runs import checkpoints_of, numbers, spec_of, stop_after
from tests.benchmarks.training.tiny_runs import row_of, tiny
from tests.packages import NEEDS

LION = '''
import torch


class Lion(torch.optim.Optimizer):
    """Lion.

    Args:
        params: parameters.
        lr (float): learning rate (default: 1e-4).
        beta (float): decay rate of the
            momentum (default: 0.9)
    """

    def __init__(self, params, lr=1e-4, beta=0.9, names=("a", "b"), decay=0, seed=7, hook=print):
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    m = self.state[p].setdefault("m", torch.zeros_like(p, dtype=torch.float64))
                    m.lerp_(p.grad.double(), 1 - group["beta"])
                    p.sub_(group["lr"] * m.sign())
'''
CACHES = (
    settings.method_class, settings.settings_of, import_paths.optimizer_class, import_paths.settings_of,
    import_paths.method_class, import_paths.numbers_of, import_paths.origin,
    import_paths.documentation, import_paths._try,
    fingerprint._fingerprint, fingerprint._digest,
)  # fmt: skip


def forget():
    sys.modules.pop("my_lion", None)
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
def lion(tmp_path, monkeypatch):
    """Write a user's module to a folder on the path; return its file."""
    forget()
    file = tmp_path / "my_lion.py"
    file.write_text(LION)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield file
    forget()


NAMES = ["torch.optim:AdamW", "adafactor", "muon", "adam8bit"]


@pytest.mark.medium
@pytest.mark.parametrize("method", [pytest.param(name, marks=NEEDS.get(name, ())) for name in NAMES])
def test_a_stopped_run_continues_bit_for_bit(method, tmp_path, monkeypatch):
    spec = spec_of(method, "nano-opt", fo_batch_size=2, dtype="bfloat16", evaluations=2, test_rows=4)
    splits = train.load(spec, None)
    whole = numbers(train.run(spec, splits, suite="s"))
    stop_after(monkeypatch, spec, splits, tmp_path, 3)
    again = checkpoints_of(spec, splits)
    assert again.open() == 3
    row = train.run(spec, splits, suite="s", checkpoints=again)
    assert row["resumed_at_steps"] == [3]
    assert numbers(row) == whole


def test_a_state_keeps_the_dtype_that_its_optimizer_chose(lion):
    """torch converts loaded state to the dtype of the parameters, which would change the next step."""
    model = torch.nn.Linear(3, 2).bfloat16()
    cls = settings.method_class("my_lion:Lion")
    opt = cls(model, lr=0.1)
    opt.step(fo_loss=lambda: model(torch.ones(1, 3).bfloat16()).float().square().sum())
    saved = opt.state_dict()
    loaded = cls(model, lr=0.1)
    loaded.load_state_dict(saved)
    for p in model.parameters():
        assert loaded.inner[0].state[p]["m"].dtype == torch.float64
        assert torch.equal(loaded.inner[0].state[p]["m"], opt.inner[0].state[p]["m"])
        assert loaded.inner[0].state[p]["m"] is not opt.inner[0].state[p]["m"]


def test_a_row_names_the_class_and_the_distribution_that_provides_it():
    row = row_of(tiny("torch.optim:AdamW", weight_decay=0.05))
    assert row["optimizer"] == {
        "class": "torch.optim:AdamW", "distribution": "torch", "version": metadata.version("torch")
    }  # fmt: skip
    assert row["label"] == "torch.optim:AdamW"
    assert (row["noise"], row["status"], row["forwards"], row["backwards"]) == (None, "done", 4, 4)
    assert row["config"]["settings"]["weight_decay"] == 0.05
    assert from_dict(row["config"]).id == row["id"]
    assert "optimizer" not in row_of(tiny("sgd"))


def test_a_run_takes_the_steps_of_the_optimizer():
    """One step of AdamW in the harness equals one step of torch's AdamW on the gradients of SGD's step."""
    model = torch.nn.Linear(3, 2)
    plain = torch.nn.Linear(3, 2)
    plain.load_state_dict(model.state_dict())
    opt = settings.method_class("torch.optim:AdamW")(model, lr=0.1, betas=[0.8, 0.9], weight_decay=0.3)
    own = torch.optim.AdamW(plain.parameters(), lr=0.1, betas=(0.8, 0.9), weight_decay=0.3)
    for k in range(3):
        inputs = torch.full((2, 3), 1.0 + k)
        opt.step(fo_loss=lambda inputs=inputs: model(inputs).square().mean())
        own.zero_grad()
        plain(inputs).square().mean().backward()
        own.step()
    assert all(map(torch.equal, model.parameters(), plain.parameters()))


def test_a_users_optimizer_has_its_settings_and_its_source_counts_for_reuse(lion):
    spec = tiny("my_lion:Lion")
    assert spec.settings == {"lr": 1e-4, "beta": 0.9, "names": ["a", "b"], "decay": 0, "fo_batch_size": 2}
    assert tiny("my_lion:Lion", decay=0.5).settings["decay"] == 0.5
    assert labels.label(spec) == "my_lion:Lion"
    assert import_paths.documentation("my_lion:Lion") == {
        "lr": "learning rate", "beta": "decay rate of the momentum"
    }  # fmt: skip
    row = row_of(spec)
    assert row["optimizer"] == {"class": "my_lion:Lion", "distribution": None, "version": None}
    before = fingerprint.source_fingerprint(spec)
    forget()
    lion.write_text(LION + "\n# A comment.\n")
    assert fingerprint.source_fingerprint(spec) == before
    forget()
    lion.write_text(LION.replace("m.sign()", "m"))
    assert fingerprint.source_fingerprint(spec) != before


@pytest.mark.parametrize("method", ["torch.optim:AdamW", "muon"])
def test_another_version_of_the_package_is_not_reused(method, monkeypatch):
    spec = tiny(method)
    before = fingerprint.source_fingerprint(spec)
    found = import_paths.origin(settings.method_class(method).optimizer)
    monkeypatch.setattr(import_paths, "origin", lambda path: found | {"version": "0.0"})
    fingerprint._fingerprint.cache_clear()
    assert fingerprint.source_fingerprint(spec) != before
    fingerprint._fingerprint.cache_clear()


def test_settings_and_the_default_learning_rate_come_from_the_constructor():
    spec = from_dict({"method": "torch.optim:AdamW", "model": "nano-opt", "task": "sst2", "steps": 2})
    assert spec.settings["lr"] == 1e-3
    assert spec.settings["betas"] == [0.9, 0.999]
    assert spec.settings["foreach"] is None
    # torch annotates `momentum: float = 0`.
    spec = tiny("torch.optim:SGD", momentum=0.9)
    assert (spec.settings["momentum"], spec.settings["weight_decay"]) == (0.9, 0.0)
    with pytest.raises(UserError, match="amsgrad must be true or false, not 1"):
        tiny("torch.optim:AdamW", amsgrad=1)
    with pytest.raises(UserError, match="did you mean 'weight_decay'"):
        tiny("torch.optim:AdamW", weight_decai=1)
    with pytest.raises(UserError, match="does not take length_threshold"):
        tiny("torch.optim:AdamW", length_threshold=20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def __init__(self, params, beta=0.9):", "the constructor takes no lr"),
        ("def __init__(self, params, lr=None):", "needs a learning rate"),
        ("def __init__(self, params, beta, lr=1e-3):", "needs a value for beta: pass --beta"),
        ("def __init__(self, params, steps, lr=1e-3):", "requires steps, which is a field of the run"),
        ("def step(self, loss):", "its step needs loss"),
        (
            "def train(self):\n        pass\n\n    def eval(self):\n        pass",
            "other weights than it trains",
        ),
        ("def step(self):\n        raise RuntimeError('no\\nway')", "a trial step failed: RuntimeError: no"),
        ("def __init__(self, params, lr=1e-3):\n        1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_an_optimizer_that_no_run_can_use_is_rejected_before_it_starts(lion, text, expected):
    head, _, body = text.partition("\n")
    base = "torch.optim.SGD" if "step(" in text else "torch.optim.Adagrad"
    body = body or "        super().__init__(params, lr=1e-3)"
    lion.write_text(f"import torch\n\n\nclass Lion({base}):\n    {head}\n{body}\n")
    with pytest.raises(UserError, match="Lion") as error:
        from_dict({"method": "my_lion:Lion", "model": "nano-opt", "task": "sst2", "steps": 2})
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
