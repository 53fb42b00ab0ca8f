"""Tests that the scripts in examples/ run from the command line and improve the models that they train."""

import json
import os
import re
from random import Random
from statistics import fmean

import pytest

from benchmarks import tasks
from benchmarks.models import WEIGHTS
from benchmarks.registry import ROOT
from tests import processes

pytestmark = pytest.mark.process
EXAMPLES = ROOT / "examples"
STEPS = 80


def output(*words):
    """Return the output of an example; fail if it exits with an error."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = processes.python(*words, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_bare_loop_has_five_lines_and_its_loss_falls():
    """The five lines start with the construction of the optimizer; pages promise this number."""
    losses = [float(x) for x in re.findall(r"loss (\S+)", output(EXAMPLES / "bare_loop.py"))]
    assert len(losses) == 200
    assert fmean(losses[-20:]) < 0.1 * fmean(losses[:2])
    text = (EXAMPLES / "bare_loop.py").read_text(encoding="utf-8")
    assert len(text[text.index("opt = Addax(") :].splitlines()) == 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write a user's file: prompts of 5 to 35 tokens, each with a one-word answer."""
    task, file = tasks.load("sst2"), tmp_path_factory.mktemp("data") / "reviews.jsonl"
    rows = [task.generate(Random(i)) for i in range(64)]
    lines = [{"prompt": task.prompt(r), "answer": task.candidates(r)[r["label"]]} for r in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


@pytest.mark.parametrize("threshold", [[], ["--length-threshold", 12]], ids=["addax-wa", "addax"])
def test_fine_tuning_on_json_lines_improves_the_saved_model(data, tmp_path, threshold):
    """The saved model loads and predicts the answers better than the original model."""
    script = EXAMPLES / "finetune_jsonl.py"
    words = ["--lr", 1e-2, "--steps", STEPS, *threshold]
    out = output(script, WEIGHTS / "nano-opt", data, tmp_path / "out", *words)
    losses = [float(x) for x in re.findall(r"'loss': '?([\d.e-]+)", out)]
    assert len(losses) == STEPS // 10
    assert losses[-1] < 0.5 * losses[0]
    before, after = answer_loss(WEIGHTS / "nano-opt", data), answer_loss(tmp_path / "out", data)
    assert after < 0.5 * before


def answer_loss(folder, data):
    """Return the mean loss of a folder's model on the answer token, computed from the logits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    losses = []
    for line in data.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        ids = torch.tensor([tokenizer(row["prompt"] + row["answer"])["input_ids"]])
        with torch.no_grad():
            losses.append(-model(ids).logits[0, -2].log_softmax(-1)[ids[0, -1]].item())
    return fmean(losses)
