"""The points of the papers' memory figures: which model, method and batches each of them is."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.config import labels
from benchmarks.config.methods import BATCH_ALONE, BATCH_OF_BOTH, method_class
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.models import _published

# The longest of Addax's first-order examples, in tokens: our choice, of the README's example run.
L_T = 170
RANK = 8
K0, K1 = BATCH_OF_BOTH["zo_batch_size"], BATCH_OF_BOTH["fo_batch_size"]
OPT = tuple(name for name in _published.names() if name.startswith("facebook/opt-"))
OPT_13B = "facebook/opt-13b"
FIGURE_3 = {"length": 300, "batch_sizes": (1, 2, 4, 8, 16, 24, 32)}
FIGURE_4 = {"batch_size": 8, "lengths": (100, 200, 300, 400, 600, 800, 1000)}
# MultiRC's average in MeZO's Table 22 and Figure 4.
LENGTH_OF_MULTIRC = 400


@dataclass(frozen=True)
class Point:
    """One point of one figure or table.

    Attributes:
        what: the figure or table.
        model: a hub name.
        method: a method's name.
        zo, fo: examples of a batch and the tokens of each; None where the method has no such batch.
        batch_size, length: the place on the axes.
        gradient_checkpointing: of the first-order part.
        adapters: whether the weights are frozen but for LoRA's adapters.
        dtype: of the model.
    """

    what: str
    model: str
    method: str
    zo: tuple[int, int] | None
    fo: tuple[int, int] | None
    batch_size: int | None
    length: int
    gradient_checkpointing: bool = False
    adapters: bool = False
    dtype: str = "bfloat16"

    @property
    def step(self) -> "Point":
        """The same for all points that are the same step."""
        return dataclasses.replace(self, what="", batch_size=None, length=0)

    @property
    def spec(self) -> RunSpec:
        """The run whose step it is; every batch of it has one candidate token an option, so one forward."""
        own = {f"{part}_batch_size": b[0] for part, b in (("zo", self.zo), ("fo", self.fo)) if b}
        if self.method == "addax":
            own["length_threshold"] = L_T
        return from_dict(
            {
                "method": self.method,
                "model": self.model,
                "task": "multirc",
                "steps": 1,
                "lr": 1e-6,
                "dtype": self.dtype,
                "gradient_checkpointing": self.gradient_checkpointing,
                **own,
            }
            | ({"trainable": f"lora:{RANK}"} if self.adapters else {})
        )

    @property
    def label(self) -> str:
        """The method's name in figures."""
        return "LoRA with Adam" if self.adapters else _plain(self.spec)


def _plain(spec: RunSpec) -> str:
    return labels.method_label(spec, spec.length_threshold)


def _of(method: str, size: int, length: int) -> dict:
    """Batches of a method that has one, at a place on the axes."""
    losses = method_class(method).closures
    return {part: (size, length) if f"{part}_loss" in losses else None for part in ("zo", "fo")}


def _addax(size: int, length: int, k1: int = K1) -> dict:
    """Addax sees examples in its backward pass up to L_T only."""
    return {"zo": (size, length), "fo": (k1, min(length, L_T))}


def _with_backward(**fields) -> list[Point]:
    """A point without and with gradient checkpointing."""
    return [Point(**fields, gradient_checkpointing=on) for on in (False, True)]


def figure3() -> list[Point]:
    """MeZO and IP-SGD against the batch size, and Addax whose zeroth-order batch has that size."""
    length, points = FIGURE_3["length"], []
    for size in FIGURE_3["batch_sizes"]:
        at = {"what": "figure3", "model": OPT_13B, "batch_size": size, "length": length}
        points.append(Point(**at, method="mezo", **_of("mezo", size, length)))
        points += _with_backward(**at, method="ip-sgd", **_of("ip-sgd", size, length))
        points += _with_backward(**at, method="addax", **_addax(size, length))
    return points


def figure4() -> list[Point]:
    """MeZO, SGD, IP-SGD, LoRA against the length, and Addax whose zeroth-order batch has that length."""
    size, points = FIGURE_4["batch_size"], []
    for length in FIGURE_4["lengths"]:
        at = {"what": "figure4", "model": OPT_13B, "batch_size": size, "length": length}
        points.append(Point(**at, method="mezo", **_of("mezo", size, length)))
        for method in ("ip-sgd", "sgd"):
            points += _with_backward(**at, method=method, **_of(method, size, length))
        points += _with_backward(**at, method="adam", adapters=True, **_of("adam", size, length))
        points += _with_backward(**at, method="addax", **_addax(K0, length))
    return points


def table22() -> list[Point]:
    """MeZO, and Adam in both dtypes, at one example of MultiRC's length, for OPT from 1.3B on."""
    points = []
    for model in (name for name in OPT if name.endswith("b")):
        at = {"what": "table22", "model": model, "batch_size": 1, "length": LENGTH_OF_MULTIRC}
        for method, dtype in (("mezo", "bfloat16"), ("adam", "float32"), ("adam", "bfloat16")):
            points.append(Point(**at, method=method, dtype=dtype, **_of(method, 1, LENGTH_OF_MULTIRC)))
    return points


def fits() -> list[Point]:
    """Every method on every OPT, at MultiRC's length: one example, and the batches that training has."""
    length, points = LENGTH_OF_MULTIRC, []
    for model in OPT:
        for one in (True, False):
            at = {"what": "fits", "model": model, "batch_size": 1 if one else None, "length": length}
            zo, fo = (1, 1) if one else (BATCH_ALONE["zo_batch_size"], BATCH_ALONE["fo_batch_size"])
            points += [Point(**at, method=m, **_of(m, zo, length)) for m in ("mezo", "mezo-svrg")]
            points += _with_backward(
                **at, method="addax", **_addax(*((1, length, 1) if one else (K0, length)))
            )
            for method in ("ip-sgd", "sgd", "adam"):
                points += _with_backward(**at, method=method, **_of(method, fo, length))
            points += _with_backward(**at, method="adam", adapters=True, **_of("adam", fo, length))
            points += _with_backward(**at, method="adam", dtype="float32", **_of("adam", fo, length))
    return points


GRIDS: dict[str, Callable[[], list[Point]]] = {
    grid.__name__: grid for grid in (figure3, figure4, table22, fits)
}
