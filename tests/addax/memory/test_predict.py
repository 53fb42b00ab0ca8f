"""Tests of predicted peaks of plain torch modules: known sizes, and the live bytes of a real step."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from addax import Addax
from addax.memory import KINDS, Prediction, TrainingStep, predict_peak, trace_steps
from addax.memory.tracer import OUTSIDE, PhasePeaks
from addax.memory.workspaces import cublas_workspaces
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from benchmarks.profiling.peak_memory import LiveBytes

METHODS = (Addax, MeZO, MeZOSVRG, IPSGD, SGD, Adam)
WIDTH, ROWS = 512, 64
THETA = 4 * (WIDTH * WIDTH + WIDTH + WIDTH + 1)


def build_on(device, method):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)).to(device)
    return model, method(model, lr=1e-3)


def closures_on(device, method):
    def closures_of(model):
        def loss():
            return model(torch.ones(ROWS, WIDTH, device=device)).square().mean()

        return dict.fromkeys(method.closures, loss)

    return closures_of


def predicted(method, device="cpu"):
    return predict_peak(lambda: build_on("meta", method), closures_on("meta", method), device=device)


@pytest.mark.parametrize("method", METHODS)
def test_a_predicted_peak_is_the_live_bytes_of_a_real_step(method):
    def work():
        model, optimizer = build_on("cpu", method)
        step = TrainingStep(model, optimizer, closures_on("cpu", method)(model))
        with LiveBytes(model.parameters()) as live:
            step.step()
            step.step_every_kind()
        return live.peak

    # Use a new thread, in which noise has no scratch memory yet.
    with ThreadPoolExecutor(1) as threads:
        live = threads.submit(work).result()
    # Losses and counters are scalars of a few bytes each.
    assert predicted(method).peak_bytes == pytest.approx(live, abs=200)


class ReadsChildren(nn.Module):
    """A module that reads the weights of two children, and has a large buffer, which a step copies."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, 1)
        self.register_buffer("running", torch.zeros(WIDTH, WIDTH))

    def forward(self, x):
        """Map `(batch, WIDTH)` to `(batch, 1)`."""
        return self.out(x @ self.first.weight @ self.second.weight + self.running[0])


@pytest.mark.parametrize("method", [Addax, MeZO, MeZOSVRG])
def test_the_scratch_of_a_module_that_reads_its_childrens_weights_is_predicted(method):
    """It is the children's weights together, until the module has run."""

    def build(device):
        model = ReadsChildren().to(device)
        return model, method(model, lr=1e-3)

    def work():
        model, optimizer = build("cpu")
        step = TrainingStep(model, optimizer, closures_on("cpu", method)(model))
        with LiveBytes([*model.parameters(), *model.buffers()]) as live:
            for _ in range(2):
                step.step_every_kind()
        return live.peak

    with ThreadPoolExecutor(1) as threads:
        live = threads.submit(work).result()
    found = predict_peak(lambda: build("meta"), closures_on("meta", method))
    on_a_cpu = predict_peak(lambda: build("meta"), closures_on("meta", method), device="cpu")
    # The two weights and the copy of the buffer. Fused kernels store no z.
    expected = 3 * 4 * WIDTH * WIDTH
    assert on_a_cpu.peak_bytes == pytest.approx(live, abs=1000)
    if method is MeZO:
        assert found.split["scratch"] - sum(cublas_workspaces(None)) == pytest.approx(expected, rel=0.1)


def test_the_split_has_the_sizes_of_parameters_gradients_and_state():
    adam, mezo, svrg = predicted(Adam).split, predicted(MeZO).split, predicted(MeZOSVRG).split
    assert tuple(adam) == KINDS
    assert adam["parameters"] == mezo["parameters"] == THETA
    assert (mezo["gradients"], mezo["optimizer_state"]) == (0, pytest.approx(0, abs=100))
    assert adam["optimizer_state"] == pytest.approx(2 * THETA, abs=100)
    assert svrg["optimizer_state"] == pytest.approx(THETA, abs=100)
    assert predicted(SGD).split["gradients"] == pytest.approx(THETA, abs=4 * WIDTH * 2)


def test_a_gpu_rounds_sizes_up_to_512_bytes():
    # Only the last bias, with 4 bytes, is not a multiple of 512 bytes.
    assert predicted(IPSGD, "cuda").split["parameters"] == THETA - 4 + 512


def test_a_prediction_does_not_start_cuda(monkeypatch):
    """Adam looks for a graph capture on the current stream, which would start CUDA."""

    def started(*_args):
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")

    without = predicted(Adam)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_stream", started)
    assert predicted(Adam) == without


def test_every_kind_of_step_is_traced():
    def build():
        model, _ = build_on("meta", MeZO)
        optimizer = MeZOSVRG(model, lr=1e-3, anchor_every=3, variant="released")
        return TrainingStep(model, optimizer, closures_on("meta", MeZOSVRG)(model))

    (peaks,) = trace_steps([build], "cpu")
    assert {closure for closure, stage, _ in peaks.bytes if stage != OUTSIDE} == {"zo", "full"}


def test_memory_of_a_closure_is_activations_and_memory_of_a_method_is_scratch():
    """The kind does not depend on the file that defines the code. This file defines both."""

    class Doubling(IPSGD):
        def step(self, *, fo_loss):
            self.doubled = [torch.cat([p.detach(), p.detach()]) for p in self.indices]
            return super().step(fo_loss=fo_loss)

    def closures_of(model):
        def loss():
            buffer = torch.zeros(1 << 20, device="meta")
            return model(torch.ones(ROWS, WIDTH, device="meta")).square().mean() + buffer.sum()

        return {"fo_loss": loss}

    found = predict_peak(lambda: build_on("meta", Doubling), closures_of, device="cpu")
    assert found.split["activations"] >= 4 << 20
    assert found.split["scratch"] >= 2 * THETA


def test_a_zeroth_order_closure_in_16_bit_allocates_activations():
    """Losses are computed in float32, and reads of weights are watched, by code of this library."""

    def build():
        model = ReadsChildren().to("meta", torch.bfloat16)
        return model, MeZO(model, lr=1e-3)

    def closures_of(model):
        def loss():
            x = torch.ones(1 << 12, WIDTH, device="meta", dtype=torch.bfloat16)
            return nn.functional.mse_loss(model(x), torch.zeros(1 << 12, 1, device="meta"))

        return {"zo_loss": loss}

    found = predict_peak(build, closures_of, device="cpu").split
    # The input in 16-bit and, above all, its product with the first weight, which is read outside its module.
    assert found["activations"] >= 2 * 2 * (1 << 12) * WIDTH
    # Two weights, a float32 z and a float32 sum, and the copy of the buffer.
    assert found["scratch"] < 22 * WIDTH * WIDTH


def test_the_peak_is_the_largest_phase():
    peaks = PhasePeaks({("fo", "forward", 0): (4, 0, 0, 9, 0), ("fo", "backward", 0): (4, 8, 0, 3, 0)})
    found = Prediction.of(peaks)
    assert (found.peak_bytes, found.phase) == (15, ("fo", "backward", 0))
    assert found.split == dict(zip(KINDS, (4, 8, 0, 3, 0), strict=True))


def test_a_prediction_leaves_torchs_generator_unchanged():
    state = torch.get_rng_state()
    predicted(Addax)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_layer_that_a_drawn_number_could_skip_is_traced():
    """LayerDrop reads a number that is not on the meta device; at probability 0 every layer runs."""

    class LayerDrop(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(100, 100)

        def forward(self, x):
            return x if torch.rand([]) < 0.0 else self.layer(x)

    def build():
        model = LayerDrop().to("meta")
        return model, IPSGD(model, lr=1e-3)

    def closures_of(model):
        x = torch.empty(50, 100, device="meta")
        return {"fo_loss": lambda: model(x).square().sum()}

    # At least the output of the layer, 50 x 100 float32 values, is saved for the backward pass.
    assert predict_peak(build, closures_of, device="cpu").split["activations"] >= 50 * 100 * 4
