"""Times MeZO steps of any checkout of this repository on a model of many tiny tensors.

    python benchmarks/studies/_host_steps.py CHECKOUT DTYPE DEVICE [DIRECTION]

Every line on stdin is a number of steps to take. The answer is one JSON line: for two bare forward passes and
for a step, the medians of their seconds on the clocks "cpu" (of this process) and "wall". This file imports
`addax` and `baselines` from the checkout, and nothing else of the repository, because the packages of older
checkouts have other names.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from transformers import OPTConfig, OPTForCausalLM

LAYERS, WIDTH, VOCABULARY = 24, 16, 64
BATCH, LENGTH = 1, 8
LR = 1e-30


def tiny_tensors(dtype: torch.dtype, device: str) -> nn.Module:
    """Return an OPT whose 388 tensors are so small that a step is overhead only."""
    config = OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        dropout=0.0,
    )
    torch.manual_seed(0)
    return OPTForCausalLM(config).to(device=device, dtype=dtype)


def seconds(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Return the CPU seconds of this process until the work is queued, and the seconds until it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu = time.process_time() - cpu
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return cpu, time.perf_counter() - wall


def main(dtype: str, device: str, direction: str | None = None) -> None:
    """Answer the lines of stdin until it ends."""
    from baselines.mezo import MeZO

    torch.set_num_threads(1)
    model = tiny_tensors(getattr(torch, dtype), device)
    options = {} if direction is None else {"direction": direction}
    method, place = MeZO(model, lr=LR, **options), torch.device(device)
    ids = torch.arange(LENGTH, device=device).repeat(BATCH, 1)

    def loss() -> torch.Tensor:
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())

    @torch.no_grad()
    def bare() -> None:
        loss()
        loss()

    def step() -> None:
        method.step(zo_loss=loss)

    # The first steps check the model, and load kernels.
    for _ in range(2):
        bare()
        step()
    for line in sys.stdin:
        times = {"bare": [], "step": []}
        for _ in range(int(line)):
            times["bare"].append(seconds(bare, place))
            times["step"].append(seconds(step, place))
        answer = {
            name: dict(zip(("cpu", "wall"), map(median, zip(*found, strict=True)), strict=True))
            for name, found in times.items()
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Instead of this file's folder.
    sys.path[0] = sys.argv[1]
    main(*sys.argv[2:])
