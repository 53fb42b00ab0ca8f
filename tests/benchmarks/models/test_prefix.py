"""Tests of prefix tuning against the unchanged model, whose cache gets the same keys and values by hand."""

import copy
import gc
import weakref

import pytest
import torch
from transformers import DynamicCache

from addax import noise
from baselines.adam import Adam
from baselines.mezo import MeZO
from benchmarks import models, tasks
from benchmarks.config import labels
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.evaluation.evaluate import generate
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _prefix, _trainable, _transformers
from benchmarks.training import run as train
from tests.benchmarks.evaluation import naive_scores
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import CAUSAL, close, naive_loss, nano, rows_of
from tests.benchmarks.training.resumable_runs import checkpoints_of, numbers, spec_of, stop_after

COUNT = 5
NAMES = pytest.mark.parametrize("name", CAUSAL)


def original_of(name):
    """Return a copy of a nano model, which other tests share, without dropout."""
    return copy.deepcopy(nano(name).model).eval()


def prefixed(name, dtype=torch.float64, count=COUNT):
    """Return a loaded model with a prefix of random values, unlike those that the tokens give."""
    found = models.load(name, dtype=dtype, device="cpu", head="lm")
    _trainable.select(found.model, f"prefix:{count}")
    drawn = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in trained(found.model).values():
            p.add_(torch.randn(p.shape, generator=drawn, dtype=torch.float64))
    return found


def trained(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def states(model):
    """Return the keys and values of each layer's prefix."""
    parts = list(trained(model).values())
    return list(zip(parts[::2], parts[1::2], strict=True))


def logits_by_hand(original, prefix, tokens):
    """Return the logits of one sequence after a prefix: the model sees it as its cache.

    Args:
        original: a model without a prefix.
        prefix: keys and values of each layer, shape (heads, count, width).
        tokens: the sequence, whose positions count from 0.
    """
    cache = DynamicCache()
    for i, (keys, values) in enumerate(prefix):
        cache.update(keys[None], values[None], i)
    ids = torch.tensor([tokens])
    ones = torch.ones(1, prefix[0][0].shape[1] + len(tokens), dtype=torch.long)
    return original(
        input_ids=ids,
        attention_mask=ones,
        position_ids=torch.arange(len(tokens))[None],
        past_key_values=cache,
    ).logits[0]


@NAMES
def test_logits_equal_those_of_the_original_model_with_the_prefix_in_its_cache(name):
    model, original = prefixed(name).model.eval(), original_of(name)
    rows = [[5, 6, 7, 8, 9, 10, 11], [20, 21, 22, 23]]
    pad = nano(name).tokenizer.pad_token_id
    padded = torch.tensor([rows[0], [pad] * 3 + rows[1]])
    with torch.no_grad():
        expected = [logits_by_hand(original, states(model), row) for row in rows]
        plain = original(torch.tensor([rows[0]])).logits[0]
        alone = model(torch.tensor([rows[0]])).logits[0]
        together = model(
            padded,
            attention_mask=(padded != pad).long(),
            position_ids=torch.tensor([range(7), [0, 0, 0, *range(4)]]),
        ).logits
    assert (expected[0] - plain).abs().max() > 0.01
    torch.testing.assert_close(alone, expected[0], rtol=0, atol=close(name, torch.float64))
    torch.testing.assert_close(together[0], expected[0], rtol=0, atol=close(name, torch.float64))
    torch.testing.assert_close(together[1, 3:], expected[1], rtol=0, atol=close(name, torch.float64))


@pytest.mark.medium
@NAMES
@pytest.mark.parametrize("scoring", ["shared", "per_candidate"])
@pytest.mark.parametrize("task_name", ["sst2", "record", "copa", "squad"])
def test_losses_and_scores_equal_those_of_rows_scored_by_hand(name, task_name, scoring, monkeypatch):
    """The scorer pads, shares prompts, and continues caches; the reference runs one row at a time."""
    loaded, task = prefixed(name), tasks.load(task_name)
    original = original_of(name)

    def by_hand(found, tokens):
        with torch.no_grad():
            return logits_by_hand(original, states(found.model), tokens).double().log_softmax(-1)

    monkeypatch.setattr(naive_scores, "log_probs", by_hand)
    rows = rows_of(task, 4)
    examples = naive_scores.encode(rows, task, loaded, "lm")
    scorer = Scorer(loaded, task, "lm", scoring)
    expected = naive_loss(loaded, task, rows)
    assert scorer.loss(examples).item() == pytest.approx(expected, abs=close(name, torch.float64))
    if not task.generative:
        for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
            wanted = naive_scores.naive_scores(loaded, task, row)
            assert scores.tolist() == pytest.approx(wanted, abs=close(name, torch.float64))
        return
    loaded.model.eval()
    for example, text in zip(examples, generate(scorer, examples), strict=True):
        new, decode = [], loaded.tokenizer.decode
        while len(new) < task.max_new_tokens and "\n" not in decode(new):
            new.append(int(by_hand(loaded, [*example.prompt, *new])[-1].argmax()))
            if new[-1] == loaded.tokenizer.eos_token_id:
                break
        assert text == decode(new, skip_special_tokens=True).split("\n")[0]


@NAMES
def test_gradients_equal_those_through_the_original_model(name):
    loaded, task = prefixed(name), tasks.load("sst2")
    original = original_of(name)
    (example,) = naive_scores.encode(rows_of(task, 1), task, loaded, "lm")
    leaves = [tuple(p.detach().clone().requires_grad_() for p in pair) for pair in states(loaded.model)]
    scores = logits_by_hand(original, leaves, list(example.prompt))[-1].log_softmax(-1)
    candidates = torch.tensor([c[0] for c in example.candidates])
    (-scores[candidates].log_softmax(-1)[example.gold]).backward()
    for checkpointing in (False, True):
        if checkpointing:
            _transformers.enable_checkpointing(loaded.model)
        loaded.model.train().zero_grad()
        Scorer(loaded, task).loss([example]).backward()
        for own, by_hand in zip(states(loaded.model), leaves, strict=True):
            for p, q in zip(own, by_hand, strict=True):
                assert q.grad.abs().max() > 1e-6
                torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=close(name, torch.float64))


@NAMES
def test_a_new_prefix_holds_the_activations_of_the_same_random_tokens_each_time(name):
    """Given later positions, the tokens after the prefix get the logits that they get after its tokens."""
    state = torch.get_rng_state()
    first, again = (models.load(name, dtype=torch.float64, device="cpu", head="lm").model for _ in range(2))
    for model in (first, again):
        _trainable.select(model, f"prefix:{COUNT}")
    assert torch.equal(torch.get_rng_state(), state)
    assert first.training
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert len(trained(first)) == 2 * 3
    assert all(".prefix." in n for n in trained(first))
    words = nano(name).model.get_input_embeddings().num_embeddings
    drawn = torch.Generator().manual_seed(models.HEAD_SEED)
    tokens = torch.randint(words, (1, COUNT + _prefix.PROBE), generator=drawn)[:, :COUNT]
    with torch.no_grad():
        cache = original_of(name)(tokens, use_cache=True).past_key_values
    for (keys, values), layer in zip(states(first), cache.layers, strict=True):
        torch.testing.assert_close(keys, layer.keys[0], rtol=0, atol=close(name, torch.float64))
        torch.testing.assert_close(values, layer.values[0], rtol=0, atol=close(name, torch.float64))


def test_a_prefix_has_at_least_32_bits():
    model = prefixed("nano-opt", torch.bfloat16).model
    assert {p.dtype for p in trained(model).values()} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert model(torch.tensor([[5, 6, 7]])).logits.dtype == torch.bfloat16


@NAMES
def test_a_mezo_step_moves_the_prefix_along_its_noise(name):
    """The step equals -lr g0 z, where g0 comes from two perturbed copies of the whole model."""
    loaded, task = prefixed(name), tasks.load("copa")
    examples = naive_scores.encode(rows_of(task, 4), task, loaded, "lm")
    eps, lr = 1e-1, 1e-2
    opt = MeZO(loaded.model, lr=lr, eps=eps, seed=5)
    before = {n: p.detach().clone() for n, p in loaded.model.named_parameters()}
    dense = copy.deepcopy(loaded)
    indices = {n: i for i, (n, p) in enumerate(loaded.model.named_parameters()) if p.requires_grad}
    z = {
        n: noise.draw(opt.step_seed(), i, before[n].shape, torch.device("cpu")).double()
        for n, i in indices.items()
    }
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            for n, p in trained(dense.model).items():
                p.copy_(before[n] + sign * eps * z[n])
            losses.append(Scorer(dense, task).loss(examples).item())
    scorer = Scorer(loaded, task)
    stats = opt.step(zo_loss=lambda: scorer.loss(examples))
    g0 = (losses[0] - losses[1]) / (2 * eps)
    assert float(stats.projected_grad) == pytest.approx(g0, rel=1e-6)
    for n, p in loaded.model.named_parameters():
        moved = p.detach() - before[n]
        expected = -lr * g0 * z[n] if n in z else torch.zeros_like(moved)
        torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.medium
@NAMES
def test_adam_lowers_the_loss_by_training_the_prefix_only(name):
    loaded, task = models.load(name, dtype=torch.float32, device="cpu", head="lm"), tasks.load("sst2")
    _trainable.select(loaded.model, f"prefix:{COUNT}")
    examples = naive_scores.encode(rows_of(task, 8), task, loaded, "lm")
    frozen = {n: p.detach().clone() for n, p in loaded.model.named_parameters() if not p.requires_grad}
    scorer, opt = Scorer(loaded, task), Adam(loaded.model, lr=3e-2)
    losses = [float(opt.step(fo_loss=lambda: scorer.loss(examples)).loss) for _ in range(30)]
    assert losses[-1] < 0.75 * losses[0]
    assert all(torch.equal(p, frozen[n]) for n, p in loaded.model.named_parameters() if n in frozen)


@pytest.mark.slow_except("adam-nano-llama")
@pytest.mark.parametrize(("method", "name"), [("mezo", "nano-opt"), ("adam", "nano-llama")])
def test_a_resumed_run_is_bit_identical(method, name, tmp_path, monkeypatch):
    spec = spec_of(method, name, trainable=f"prefix:{COUNT}", steps=6, evaluations=3)
    splits = train.load(spec, None)
    whole = train.run(spec, splits, suite="s")
    stop_after(monkeypatch, spec, splits, tmp_path, 3)
    again = checkpoints_of(spec, splits)
    assert again.open() == 3
    assert numbers(train.run(spec, splits, suite="s", checkpoints=again)) == numbers(whole)


def test_layers_share_one_mask_which_lives_as_long_as_theirs():
    masks = _prefix._Masks(2)
    mask = torch.tensor([[[[True, False], [True, True]]]])
    found = masks.extended(mask)
    assert found.tolist() == [[[[True, True, True, False], [True, True, True, True]]]]
    assert masks.extended(mask) is found
    additive = torch.tensor([[[[0.0, -9.0]]]])
    assert masks.extended(additive).tolist() == [[[[0, 0, 0, -9]]]]
    alive = weakref.ref(masks.extended(mask))
    del mask, found
    gc.collect()
    assert alive() is None
    # Two queries at the end of three tokens.
    assert masks.causal(2, 3, torch.device("cpu")).int().tolist() == [[[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]]]


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neox", "gptj", "qwen3", "gemma", "phi"])
def test_decoders_of_other_families_take_a_prefix(model_type):
    """`insert` compares the model with a prefix to the same model after the prefix's tokens."""
    model = copy.deepcopy(small(model_type, "causal").model)
    _trainable.select(model, "prefix:3")
    assert len(trained(model)) == 2 * model.config.num_hidden_layers


@pytest.mark.parametrize("model_type", ["gemma3_text", "bloom", "mpt", "mamba2", "lfm2"])
def test_models_whose_layers_cannot_use_a_prefix_are_rejected(model_type):
    """They have windows, biases by distance, or no attention."""
    model = copy.deepcopy(small(model_type, "causal").model)
    with pytest.raises(UserError, match=r"trainable=prefix:3: .* use trainable=lora:R"):
        _trainable.select(model, "prefix:3")


def test_a_prefix_needs_a_causal_model_with_its_own_head():
    common = {"method": "mezo", "task": "sst2", "lr": 1e-3, "steps": 1, "trainable": "prefix:5"}
    for changes in ({"model": "nano-roberta"}, {"model": "nano-opt", "head": "classification"}):
        with pytest.raises(UserError, match="trainable=prefix:5 needs a causal model and head=lm"):
            from_dict(common | changes)
    # The kind of a hub model is known only when it is loaded.
    with pytest.raises(UserError, match="ForMaskedLM is not a causal LM: use trainable=lora:R"):
        _trainable.select(copy.deepcopy(nano("nano-roberta").model), "prefix:5")


def test_a_prefix_longer_than_the_model_is_rejected():
    most = nano("nano-opt").model.config.max_position_embeddings
    with pytest.raises(UserError, match=f"takes at most {most} tokens: use at most {most - 5} as a prefix"):
        prefixed("nano-opt", count=most)


def test_labels_name_the_prefix():
    common = {"method": "mezo", "model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 1}
    found = [labels.label(from_dict(common | {"trainable": f"prefix:{n}"})) for n in (5, 7)]
    assert found == ["MeZO (prefix)", "MeZO (prefix 7)"]
