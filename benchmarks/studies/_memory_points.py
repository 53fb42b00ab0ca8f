"""The points of the papers' memory figures: the model, method, and batches of each point."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.config import labels
from benchmarks.config.methods import BATCH_ALONE, BATCH_OF_BOTH, method_class
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.models import _published

# L_T of Addax in tokens, the maximum length of first-order examples: our choice, as in the README's example.
L_T = 170
RANK = 8
K0, K1 = BATCH_OF_BOTH["zo_batch_size"], BATCH_OF_BOTH["fo_batch_size"]
OPT = tuple(name for name in _published.names() if name.startswith("facebook/opt-"))
OPT_13B = "facebook/opt-13b"
FIGURE_3 = {"length": 300, "batch_sizes": (1, 2, 4, 8, 16, 24, 32)}
FIGURE_4 = {"batch_size": 8, "lengths": (100, 200, 300, 400, 600, 800, 1000)}
# Average length of MultiRC in tokens, in Table 22 and Figure 4 of the MeZO paper.
LENGTH_OF_MULTIRC = 400


@dataclass(frozen=True)
class Point:
    """One point of one figure or table.

    Attributes:
        what: name of the figure or table.
        model: name of the model on the hub.
        method: name of the method.
        zo, fo: batch size in examples and their length in tokens; None if the method has no such batch.
        batch_size, length: the position on the axes.
        gradient_checkpointing: whether the first-order part uses gradient checkpointing.
        adapters: whether only LoRA adapters are trained.
        dtype: dtype of the model.
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
        """The point without its figure and position; points with equal steps need one prediction."""
        return dataclasses.replace(self, what="", batch_size=None, length=0)

    @property
    def spec(self) -> RunSpec:
        """The spec of a run that takes this step; each candidate has one token, so a loss is one forward."""
        settings = {f"{part}_batch_size": b[0] for part, b in (("zo", self.zo), ("fo", self.fo)) if b}
        if self.method == "addax":
            settings["length_threshold"] = L_T
        return from_dict(
            {
                "method": self.method,
                "model": self.model,
                "task": "multirc",
                "steps": 1,
                "lr": 1e-6,
                "dtype": self.dtype,
                "gradient_checkpointing": self.gradient_checkpointing,
                **settings,
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
    """Return the batches of a method that has a single batch, at a position on the axes."""
    losses = method_class(method).closures
    return {part: (size, length) if f"{part}_loss" in losses else None for part in ("zo", "fo")}


def _addax(size: int, length: int, k1: int = K1) -> dict:
    """Return the batches of Addax, whose first-order examples have at most `L_T` tokens."""
    return {"zo": (size, length), "fo": (k1, min(length, L_T))}


def _with_backward(**fields) -> list[Point]:
    """Return a point without and with gradient checkpointing."""
    return [Point(**fields, gradient_checkpointing=on) for on in (False, True)]


def figure3() -> list[Point]:
    """Return points at several batch sizes, for MeZO, IP-SGD, and the zeroth-order batch of Addax."""
    length, points = FIGURE_3["length"], []
    for size in FIGURE_3["batch_sizes"]:
        at = {"what": "figure3", "model": OPT_13B, "batch_size": size, "length": length}
        points.append(Point(**at, method="mezo", **_of("mezo", size, length)))
        points += _with_backward(**at, method="ip-sgd", **_of("ip-sgd", size, length))
        points += _with_backward(**at, method="addax", **_addax(size, length))
    return points


def figure4() -> list[Point]:
    """Return points at several lengths, for MeZO, SGD, IP-SGD, LoRA, and the zeroth-order batch of Addax."""
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
    """Return points with one example of MultiRC's length, for MeZO and for Adam in two dtypes.

    The models are OPT-1.3B and larger.
    """
    points = []
    for model in (name for name in OPT if name.endswith("b")):
        at = {"what": "table22", "model": model, "batch_size": 1, "length": LENGTH_OF_MULTIRC}
        for method, dtype in (("mezo", "bfloat16"), ("adam", "float32"), ("adam", "bfloat16")):
            points.append(Point(**at, method=method, dtype=dtype, **_of(method, 1, LENGTH_OF_MULTIRC)))
    return points


def fits() -> list[Point]:
    """Return points of every method on every OPT, with one example and with training batches of MultiRC."""
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
