"""Tests of pretraining: reproducible weights, a folder that loads, the corpus, masks, and losses."""

from random import Random

import pytest
import torch

from benchmarks import models
from benchmarks.synthetic import corpus as _corpus
from benchmarks.synthetic import nano_tokenizer as _nano
from benchmarks.synthetic import pretrain
from benchmarks.synthetic.corpus import IGNORED, encode
from benchmarks.tasks import _language

NANO = [name for name in models.builtin() if name.startswith("nano-")]
# A masked model takes two causal steps, the second with masked answers, then two steps that turn it
# into a bidirectional model.
SHORT = pretrain.Recipe(steps=5, batch_tokens=600, warmup=1, left_to_right=2, masked_after=1, turning=2)


def quiet(line: str) -> None:
    """Ignore a progress line."""


@pytest.mark.parametrize("name", NANO)
def test_the_same_name_gives_the_same_weights(name, tmp_path):
    state = torch.get_rng_state()
    first, tokenizer = pretrain.pretrain(name, SHORT, report=quiet)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again, _ = pretrain.pretrain(name, SHORT, report=quiet)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)
    weights = first.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in again.state_dict().items())

    untrained, _ = pretrain.pretrain(name, pretrain.Recipe(steps=0), report=quiet)
    assert any(not torch.equal(weights[key], value) for key, value in untrained.state_dict().items())

    pretrain.save(first, tokenizer, tmp_path / name)
    loaded = models.load(str(tmp_path / name), dtype=torch.float32, device="cpu", head="lm")
    assert all(torch.equal(weights[key], value) for key, value in loaded.model.state_dict().items())
    assert sorted(f.name for f in (tmp_path / name).iterdir()) == sorted(
        f.name for f in (models.WEIGHTS / name).iterdir()
    )


def test_the_corpus_uses_exactly_the_nine_tasks(monkeypatch):
    """A new task file must not enter the corpus, since it would change the committed weights."""
    requested = []
    load = _corpus.load
    monkeypatch.setattr(_corpus, "load", lambda name: requested.append(name) or load(name))
    tokenizer = models.load_tokenizer("nano-opt").tokenizer
    next(_corpus.batches(tokenizer, False, pretrain.Recipe(lessons=0, later_lessons=0), 5))
    nine = ["boolq", "cb", "multirc", "record", "rte", "squad", "sst2", "wic", "wsc"]
    assert requested[:9] == nine
    assert set(requested) == set(nine)
    # The committed weights depend on the size of the vocabulary.
    assert len(_language.vocabulary()) == 349


def test_label_words_are_added_to_a_masked_model_and_change_nothing_else():
    family = models.builtin()["nano-roberta"]
    committed = models.load("nano-roberta", dtype=torch.float32, device="cpu", head="lm")
    plain = _nano.tokenizer(family, _language.vocabulary(), pretrain.POSITIONS)
    known = len(plain)
    before = models.build(family.nano(plain), dtype=torch.float32)
    state = {
        key: value[:known] if len(value) == len(committed.tokenizer) else value
        for key, value in committed.model.state_dict().items()
    }
    before.load_state_dict(state)
    torch.manual_seed(5)
    generator = torch.get_rng_state()
    tokenizer = pretrain.with_label_words(before, family)
    assert torch.equal(torch.get_rng_state(), generator)
    # The committed weights result from training without the label words, followed by this step.
    wanted = committed.model.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in before.state_dict().items())
    assert tokenizer.get_vocab() == committed.tokenizer.get_vocab()
    assert {word: i for word, i in tokenizer.get_vocab().items() if i < known} == plain.get_vocab()
    assert tokenizer.convert_ids_to_tokens(list(range(known, known + 7))) == list(pretrain.LABEL_WORDS)
    rows = before.get_input_embeddings().weight
    assert before.get_output_embeddings().weight is rows
    assert rows[known:].std().item() == pytest.approx(rows[:known].std().item(), rel=0.15)
    assert len(set(rows[known:, 0].tolist())) == 7


def test_left_to_right_losses_do_not_depend_on_later_tokens():
    loaded = models.load("nano-roberta", dtype=torch.float32, device="cpu", head="lm")
    line = (list(range(10, 20)), [False] * 10)
    batch = encode([line, (line[0][:6], line[1][:6])], loaded.tokenizer)
    batch.text_labels[:, 5:] = IGNORED
    found = {}
    for last in (19, 30):
        batch.input_ids[0, -1] = last
        for left_to_right in (True, False):
            options = {"answers_ahead": True, "text_ahead": True, "left_to_right": left_to_right}
            loss = pretrain.losses(loaded.model, batch, **options)[1]
            found.setdefault(left_to_right, []).append(loss.item())
    assert found[True][0] == found[True][1]
    assert found[False][0] != found[False][1]


def test_a_masked_line_masks_either_answers_or_text():
    tokenizer = models.load("nano-roberta", dtype=torch.float32, device="cpu", head="lm").tokenizer
    ids, follows = list(range(10, 40)), [i % 6 == 5 for i in range(30)]
    recipe = pretrain.Recipe(answer_mask_rate=0.5, mask_rate=0.3)
    batch = encode([(ids, follows)] * 40, tokenizer, masks=(Random(0), recipe))
    answers, text = batch.answer_labels != IGNORED, batch.text_labels != IGNORED
    hidden = batch.input_ids == tokenizer.mask_token_id
    assert torch.equal(hidden, answers | text)
    assert 10 <= answers.any(1).sum() <= 30
    for line in range(40):
        assert answers[line].tolist() in (follows, [False] * 30)
        assert not (answers[line].any() and text[line].any())
    assert not text[:, [0, -1]].any()
    original = torch.tensor(ids).expand(40, -1)
    assert torch.equal(batch.input_ids[~hidden], original[~hidden])


@pytest.mark.parametrize("name", NANO)
def test_committed_weights_are_small(name):
    assert (models.WEIGHTS / name / "model.safetensors").stat().st_size <= 1.5e6


def test_a_line_with_masked_answers_masks_nothing_else():
    tokenizer = models.load("nano-roberta", dtype=torch.float32, device="cpu", head="lm").tokenizer
    ids, follows = list(range(10, 40)), [i % 6 == 5 for i in range(30)]
    batch = encode([(ids, follows)], tokenizer, mask_answers=True)
    assert (batch.input_ids == tokenizer.mask_token_id).tolist() == [follows]
    assert (batch.answer_labels != IGNORED).tolist() == [follows]
    assert (batch.text_labels != IGNORED).tolist() == [[i > 0 and not f for i, f in enumerate(follows)]]


def test_causal_losses_use_the_position_before_a_label():
    class FixedPredictions(torch.nn.Module):
        """A model that predicts token 7 at position 2, token 9 at position 4, and uniformly elsewhere."""

        def forward(self, input_ids, attention_mask):
            logits = torch.zeros(*input_ids.shape, 12)
            logits[0, 2, 7] = logits[0, 4, 9] = 50.0
            return type("Output", (), {"logits": logits})

    batch = encode([([1] * 6, [False] * 6)], type("Tokenizer", (), {"mask_token_id": 0, "pad_token_id": 0}))
    batch.answer_labels[:], batch.text_labels[:] = IGNORED, IGNORED
    batch.answer_labels[0, 2], batch.text_labels[0, 5] = 7, 9
    right = {"answers_ahead": False, "text_ahead": True, "left_to_right": False}
    assert [loss.item() for loss in pretrain.losses(FixedPredictions(), batch, **right)] == [0.0, 0.0]
    wrong = {"answers_ahead": True, "text_ahead": False, "left_to_right": False}
    assert all(loss > 2 for loss in pretrain.losses(FixedPredictions(), batch, **wrong))
