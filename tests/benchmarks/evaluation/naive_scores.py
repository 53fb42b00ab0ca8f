"""Naive references: scores and losses of one unpadded row at a time, in plain Python."""

import math
from functools import cache
from random import Random

import torch

from benchmarks import models
from benchmarks.data import tokenize
from benchmarks.data.example import Example

CAUSAL = ("nano-opt", "nano-llama")
MASKED = ("nano-roberta",)


def close(name, dtype):
    """Return the tolerance; Llama's norm and rotary positions compute in float32 for every dtype."""
    return 1e-10 if dtype == torch.float64 and name != "nano-llama" else 2e-5


@cache
def nano(name, dtype=torch.float64, head="lm", labels=None):
    return models.load(name, dtype=dtype, device="cpu", head=head, num_labels=labels)


def rows_of(task, n=5):
    rng = Random("scoring")
    return [task.generate(rng) for _ in range(n)]


def encode(rows, task, loaded, head):
    return tokenize.encode([Example(task, row) for row in rows], task, loaded, head)


def log_probs(loaded, tokens):
    """Return float64 log-probabilities of one unpadded sequence: shape (tokens, vocabulary)."""
    with torch.no_grad():
        return loaded.model(input_ids=torch.tensor([tokens])).logits[0].double().log_softmax(-1)


def naive_score(loaded, prompt, continuation):
    """Return the mean log-likelihood of the tokens that the continuation adds to the prompt."""
    tokens = loaded.tokenizer(prompt + continuation)["input_ids"]
    begin = len(loaded.tokenizer(prompt)["input_ids"])
    table = log_probs(loaded, tokens)
    each = [float(table[i - 1][tokens[i]]) for i in range(begin, len(tokens))]
    return sum(each) / len(each)


def naive_mask_scores(loaded, text, candidates):
    tokens = loaded.tokenizer(text)["input_ids"]
    table = log_probs(loaded, tokens)[tokens.index(loaded.tokenizer.mask_token_id)]
    return [float(table[loaded.tokenizer.convert_tokens_to_ids(c.strip())]) for c in candidates]


def naive_scores(loaded, task, row):
    if loaded.family.masked:
        mask = loaded.tokenizer.mask_token
        text = task.cloze(row, mask) if task.cloze else f"{task.prompt(row)} {mask}"
        return naive_mask_scores(loaded, text, task.candidates(row))
    return [naive_score(loaded, task.prompt(row), c) for c in task.candidates(row)]


def naive_loss(loaded, task, rows):
    total = 0.0
    for row in rows:
        gold = task.gold(row)
        if task.loss == "teacher_forcing":
            first = gold if isinstance(gold, int) else gold[0]
            answer = task.answer(row) if task.answer else task.candidates(row)[first]
            total -= naive_score(loaded, task.prompt(row), answer)
        else:
            scores = naive_scores(loaded, task, row)
            total += math.log(sum(math.exp(s) for s in scores)) - scores[gold]
    return total / len(rows)
