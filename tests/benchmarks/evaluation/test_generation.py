"""Tests that generation is exactly greedy, whatever the model's own generation settings are."""

import dataclasses

import pytest
import torch
from transformers import GenerationConfig

from benchmarks import tasks
from benchmarks.evaluation import evaluate
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import encode, log_probs, nano, rows_of

SETTINGS = {
    "none": {},
    "repetition": {"repetition_penalty": 3.0, "no_repeat_ngram_size": 1, "encoder_repetition_penalty": 2.0},
    "length": {"min_new_tokens": 8, "min_length": 400, "max_length": 3, "max_time": 1e-9},
    "forced": {"forced_bos_token_id": 9, "forced_eos_token_id": 9, "begin_suppress_tokens": [*range(5, 99)]},
    "suppressed": {"suppress_tokens": [*range(5, 200)], "bad_words_ids": [[i] for i in range(200, 300)]},
    "sampled": {"do_sample": True, "temperature": 9.0, "top_k": 3, "num_return_sequences": 2},
    "beams": {"num_beams": 3, "length_penalty": -5.0, "early_stopping": True},
    "stops": {"eos_token_id": [*range(5, 300)], "stop_strings": ["e"], "pad_token_id": 7},
    "cache": {"cache_implementation": "static", "use_cache": False},
    "penalized": {"penalty_alpha": 0.6, "top_k": 4, "sequence_bias": [[[9], 50.0]], "guidance_scale": 3.0},
}


def greedy(loaded, prompt, count):
    """Return the text of an argmax loop over unpadded forward passes."""
    tokenizer = loaded.tokenizer
    stops = {tokenizer.convert_tokens_to_ids("\n"), tokenizer.eos_token_id}
    tokens, new = tokenizer(prompt)["input_ids"], []
    while len(new) < count and not stops & set(new):
        new.append(int(log_probs(loaded, tokens + new)[-1].argmax()))
    return tokenizer.decode(new, skip_special_tokens=True).split("\n")[0]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_models_generation_settings_have_no_effect(settings, monkeypatch):
    loaded = nano("nano-opt")
    task = dataclasses.replace(tasks.load("squad"), max_new_tokens=6)
    rows = rows_of(task, 4)
    expected = [greedy(loaded, task.prompt(row), 6) for row in rows]
    own = GenerationConfig(**SETTINGS[settings])
    monkeypatch.setattr(loaded.model, "generation_config", own)
    found = evaluate.generate(Scorer(loaded, task), encode(rows, task, loaded, "lm"))
    assert found == expected
    assert loaded.model.generation_config is own


GENERATING = ("bart", "bloom", "falcon", "gemma", "gpt2", "gpt_neox", "lfm2", "mamba2", "mistral", "phi")
GENERATING += ("phi3", "qwen3", "recurrent_gemma")


@pytest.mark.parametrize("name", GENERATING)
def test_every_architecture_generates_like_an_argmax_loop(name):
    """Batches of BART's decoder and Bloom are not padded on the left, but grouped by length."""
    loaded = small(name, "causal")
    task = dataclasses.replace(
        tasks.load("squad"), max_new_tokens=5, prompt=lambda row: row["question"] + "\nAnswer :"
    )
    rows = rows_of(task, 4)
    rows[2]["question"] = "who is it"
    batch = encode(rows, task, loaded, "lm")
    assert len({len(e.prompt) for e in batch}) > 1
    found = evaluate.generate(Scorer(loaded, task), batch)
    assert found == [greedy(loaded, task.prompt(row), 5) for row in rows]


def test_nothing_after_the_end_token_is_part_of_an_answer(monkeypatch):
    """A tokenizer without a padding token pads finished rows with an ordinary word."""
    loaded = nano("nano-opt")
    scorer = Scorer(loaded, tasks.load("squad"))
    word, end = loaded.tokenizer.convert_tokens_to_ids("red"), loaded.tokenizer.eos_token_id

    def finished(input_ids, **_):
        return torch.cat([input_ids, torch.tensor([[word, end, word, word]])], 1)

    monkeypatch.setattr(loaded.model, "generate", finished)
    batch = encode(rows_of(tasks.load("squad"), 1), tasks.load("squad"), loaded, "lm")
    assert evaluate.generate(scorer, batch) == ["red"]
