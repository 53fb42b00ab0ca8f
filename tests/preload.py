"""Libraries and a warmed-up model, preloaded for the processes that fork from the server in `processes.py`.

This module imports nothing from the repository, because a process may use a copy of it. It does not run a
backward pass, because autograd's threads do not survive a fork.
"""

import io
from pathlib import Path

import pytest  # noqa: F401
import rich.progress  # noqa: F401
import sklearn.metrics  # noqa: F401
import tokenizers.trainers  # noqa: F401
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = Path(__file__).resolve().parents[1] / "benchmarks/models/weights/nano-opt"


@torch.no_grad()
def _run() -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModelForCausalLM.from_pretrained(MODEL)
    model(**tokenizer("a film", return_tensors="pt"))
    LambdaLR(torch.optim.SGD(model.parameters()), lambda step: 1.0)
    torch.save(model.state_dict(), file := io.BytesIO())
    file.seek(0)
    torch.load(file, weights_only=True)


_run()
