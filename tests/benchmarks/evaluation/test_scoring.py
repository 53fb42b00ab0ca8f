"""Scores, losses and generation against one row at a time, unpadded, in plain Python."""

import dataclasses
import math
import re
from functools import cache
from random import Random
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import decoders as bpe_decoders
from tokenizers import models as bpe_models
from transformers import OPTConfig, PreTrainedTokenizerFast

from benchmarks import models, registry, tasks
from benchmarks.data import tokenize
from benchmarks.data.example import Example
from benchmarks.data.tokenize import Encoded, new_tokens
from benchmarks.errors import UserError
from benchmarks.evaluation import evaluate
from benchmarks.evaluation.scoring import Scorer
from benchmarks.synthetic import nano_tokenizer as _nano

CAUSAL = ("nano-opt", "nano-llama")
MASKED = ("nano-roberta",)
TASKS = tuple(name for name in registry.files("task") if tasks.load(name).generate)
# Words that the causal nano models do not have are one token to them.
UNKNOWN = ("trec",)
CHOICE = tuple(name for name in TASKS if tasks.load(name).loss == "classification")


def close(name, dtype):
    """Llama's norm and rotary positions compute in float32 whatever its weights are."""
    return 1e-10 if dtype == torch.float64 and name != "nano-llama" else 1e-5


@cache
def nano(name, dtype=torch.float64, head="lm", labels=None):
    return models.load(name, dtype=dtype, device="cpu", head=head, num_labels=labels)


def rows_of(task, n=5):
    rng = Random("scoring")
    return [task.generate(rng) for _ in range(n)]


def encode(rows, task, loaded, head):
    return tokenize.encode([Example(task, row) for row in rows], task, loaded, head)


def log_probs(loaded, tokens):
    """One unpadded sequence through the whole model: lists of float64 log-probabilities."""
    with torch.no_grad():
        return loaded.model(input_ids=torch.tensor([tokens])).logits[0].double().log_softmax(-1)


def naive_score(loaded, prompt, continuation):
    """Mean log-likelihood of the tokens that the continuation adds to the prompt's."""
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


PAIRS = [(m, t) for m in CAUSAL for t in TASKS if t not in UNKNOWN]
PAIRS += [(m, t) for m in MASKED for t in CHOICE]
# One token, several tokens, several right answers, and a generated answer; each for one model.
REPRESENTATIVES = [
    f"{model}-{task}-{scoring}"
    for model, task in (
        ("nano-opt", "sst2"), ("nano-llama", "rte"), ("nano-opt", "record"), ("nano-opt", "squad"),
        ("nano-roberta", "sst2"),
    )
    for scoring in ("shared", "per_candidate")
]  # fmt: skip


@pytest.mark.slow_except(*REPRESENTATIVES)
@pytest.mark.parametrize("scoring", ["shared", "per_candidate"])
@pytest.mark.parametrize(("name", "task_name"), PAIRS)
def test_losses_and_scores_are_the_naive_ones(name, task_name, scoring):
    task = tasks.load(task_name)
    rows = rows_of(task)
    for dtype in (torch.float32, torch.float64):
        loaded = nano(name, dtype)
        examples = encode(rows, task, loaded, "lm")
        assert len({e.length for e in examples}) > 1
        scorer = Scorer(loaded, task, "lm", scoring)
        loss = scorer.loss(examples)
        assert loss.dtype == dtype
        assert loss.requires_grad
        assert loss.item() == pytest.approx(naive_loss(loaded, task, rows), abs=close(name, dtype))
        if task.generative:
            continue
        for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
            assert scores.tolist() == pytest.approx(naive_scores(loaded, task, row), abs=close(name, dtype))


@pytest.mark.parametrize("name", CAUSAL)
def test_longer_candidates_of_unequal_length_share_the_prompt(name):
    task = dataclasses.replace(
        tasks.load("sst2"), candidates=lambda row: [" terrible", " great and good .", " not great"]
    )
    rows, loaded = rows_of(task, 9), nano(name)
    examples = encode(rows, task, loaded, "lm")
    assert [len(c) for c in examples[0].candidates] == [1, 4, 2]
    for scoring in ("shared", "per_candidate"):
        scorer = Scorer(loaded, task, "lm", scoring)
        got = scorer.candidate_scores(examples)
        for row, scores in zip(rows, got, strict=True):
            assert scores.tolist() == pytest.approx(
                naive_scores(loaded, task, row), abs=close(name, torch.float64)
            )
        assert scorer.loss(examples).item() == pytest.approx(
            naive_loss(loaded, task, rows), abs=close(name, torch.float64)
        )


def test_losses_have_the_gradient_of_the_released_way():
    task = tasks.load("cb")
    loaded = nano("nano-opt")
    examples = encode(rows_of(task, 3), task, loaded, "lm")
    found = []
    for scoring in ("shared", "per_candidate"):
        loss = Scorer(loaded, task, "lm", scoring).loss(examples)
        found.append(torch.autograd.grad(loss, list(loaded.model.parameters())))
    for ours, released in zip(*found, strict=True):
        torch.testing.assert_close(ours, released, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CAUSAL + MASKED)
@pytest.mark.parametrize("task_name", ["sst2", "rte", "cb"])
def test_classification_head_sees_plain_inputs_without_padding(name, task_name):
    task = tasks.load(task_name)
    rows = rows_of(task)
    loaded = nano(name, head="classification", labels=len(task.candidates(rows[0])))
    scorer = Scorer(loaded, task, "classification")
    examples = encode(rows, task, loaded, "classification")
    loss = 0.0
    for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
        tokens = torch.tensor([loaded.tokenizer(*task.inputs(row))["input_ids"]])
        with torch.no_grad():
            alone = loaded.model(input_ids=tokens).logits[0].log_softmax(-1)
        assert scores.tolist() == pytest.approx(alone.tolist(), abs=close(name, torch.float64))
        loss -= float(alone[task.gold(row)]) / len(rows)
    assert scorer.loss(examples).item() == pytest.approx(loss, abs=close(name, torch.float64))


@pytest.mark.parametrize("name", CAUSAL + MASKED)
def test_truncation_keeps_the_first_special_token_and_the_end(name):
    task = tasks.load("boolq")
    loaded = dataclasses.replace(nano(name), max_length=16)
    rows = rows_of(task)
    for row, example in zip(rows, encode(rows, task, loaded, "lm"), strict=True):
        text = task.prompt(row) + (f" {loaded.tokenizer.mask_token}" if loaded.family.masked else "")
        whole = loaded.tokenizer(text)["input_ids"]
        room = 16 if loaded.family.masked else 15
        assert len(whole) > 16
        assert list(example.prompt) == [whole[0], *whole[-(room - 1) :]]
        assert example.length == 16
    scorer = Scorer(loaded, task)
    examples = encode(rows, task, loaded, "lm")
    for example, scores in zip(examples, scorer.candidate_scores(examples), strict=True):
        place = -1
        if loaded.family.masked:
            place = example.prompt.index(loaded.tokenizer.mask_token_id)
        alone = log_probs(loaded, list(example.prompt))[place]
        assert scores.tolist() == pytest.approx(
            [float(alone[c[0]]) for c in example.candidates], abs=close(name, torch.float64)
        )


WORDY = [{"premise": "one two three four five six seven eight nine ten", "label": 0}]


@pytest.mark.parametrize(
    ("cloze", "room", "kept"),
    [
        # The mask last, first, and between two sides, of which the longer one is cut first, far from it.
        ("{premise} It was {mask}.", 8, "<s> nine ten It was <mask> . </s>"),
        ("{mask} : {premise}", 8, "<s> <mask> : one two three four </s>"),
        ("{premise} ? {mask} , {premise}", 9, "<s> nine ten ? <mask> , one two </s>"),
        ("{premise} ? {mask} , no", 9, "<s> eight nine ten ? <mask> , no </s>"),
        ("no ? {mask} , {premise}", 9, "<s> no ? <mask> , one two three </s>"),
        ("{premise} It was {mask}.", 3, "<s> <mask> </s>"),
        ("{premise} {mask}", 14, "<s> one two three four five six seven eight nine ten <mask> </s>"),
    ],
)
def test_what_is_cut_of_a_cloze_is_never_the_mask(cloze, room, kept):
    task = dataclasses.replace(
        tasks.load("rte-cloze"), cloze=lambda row, mask: cloze.format(mask=mask, premise=row["premise"])
    )
    words = sorted({*WORDY[0]["premise"].split(), "It", "was", "no", "Yes", "No", ".", "?", ",", ":"})
    roberta = models.families()["roberta"]
    loaded = models.LoadedModel(None, _nano.tokenizer(roberta, words, 99), roberta, "tiny", room)
    (example,) = encode(WORDY, task, loaded, "lm")
    assert loaded.tokenizer.convert_ids_to_tokens(example.prompt) == kept.split()
    assert example.length == len(example.prompt)


def test_masks_at_different_places_of_one_batch_are_each_read_at_their_own():
    """As the second sentences of NLI, and the questions of TREC, are of many lengths."""
    loaded = nano("nano-roberta")
    for name in ("rte-cloze", "trec"):
        task = tasks.load(name)
        rows = rows_of(task, 7)
        rows[0] = {key: v if key == "label" else " ".join(v.split()[:3]) for key, v in rows[0].items()}
        examples = encode(rows, task, loaded, "lm")
        mask = loaded.tokenizer.mask_token_id
        assert len({len(e.prompt) - e.prompt.index(mask) for e in examples}) > 1
        scorer = Scorer(loaded, task)
        assert scorer.loss(examples).item() == pytest.approx(naive_loss(loaded, task, rows), abs=1e-10)
        for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
            assert scores.tolist() == pytest.approx(naive_scores(loaded, task, row), abs=1e-10)


@pytest.mark.parametrize(
    ("cloze", "said"),
    [("{text} It was.", "0 masks, not one, in 'a film It was.'"), ("{mask} or {mask}", "2 masks, not one")],
)
def test_a_cloze_without_its_one_mask_is_refused(cloze, said):
    task = dataclasses.replace(
        tasks.load("sst2-cloze"), cloze=lambda row, mask: cloze.format(text=row["sentence"], mask=mask)
    )
    with pytest.raises(UserError, match=f"task SST-2: {re.escape(said)}"):
        encode([{"sentence": "a film", "label": 1}], task, nano("nano-roberta"), "lm")


def test_a_causal_model_refuses_label_words_that_it_cannot_tell_apart():
    task = tasks.load("trec")
    with pytest.raises(UserError, match="'Description' and 'Entity' are the same tokens of nano-opt"):
        encode(rows_of(task, 1), task, nano("nano-opt"), "lm")


def test_generation_leaves_room_for_its_answer():
    task = tasks.load("squad")
    loaded = dataclasses.replace(nano("nano-opt"), max_length=100)
    for example in encode(rows_of(task, 20), task, loaded, "lm"):
        assert len(example.prompt) <= 100 - task.max_new_tokens
        assert example.prompt[0] == loaded.tokenizer.bos_token_id
        assert example.length == len(example.prompt) + len(example.answer)


def test_a_short_model_leaves_half_its_room_to_the_prompt_of_a_long_answer():
    task = tasks.load("gsm8k")
    loaded = dataclasses.replace(nano("nano-opt"), max_length=60)
    assert task.max_new_tokens == 200
    assert new_tokens(task, loaded) == 30
    assert new_tokens(task, dataclasses.replace(loaded, max_length=2048)) == 200
    row = rows_of(task, 1)[0]
    (example,) = encode([row | {"question": "it was long. " * 30}], task, loaded, "lm")
    assert len(example.prompt) == 30
    texts = evaluate.generate(Scorer(loaded, task), [example])
    assert len(loaded.tokenizer(texts[0], add_special_tokens=False)["input_ids"]) <= 30
    long = row | {"answer": "so it is " * 20 + row["answer"]}
    with pytest.raises(
        UserError, match=r"task GSM8K: an answer of \d+ tokens leaves no room .* the 60 that nano-opt"
    ):
        encode([long], task, loaded, "lm")


def merging_bpe():
    """A byte-level BPE in which "a" + "t" is one token, so that "wa" + "t" is not its two parts."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate(["</s>", *letters, "at", "Ġw"])}
    inner = Tokenizer(bpe_models.BPE(ids, [("a", "t"), ("Ġ", "w")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = bpe_decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="</s>")


def test_candidates_that_merge_with_the_prompt_are_tokenised_with_it():
    tokenizer = merging_bpe()
    task = dataclasses.replace(
        tasks.load("sst2"), prompt=lambda row: row["sentence"], candidates=lambda row: ["t", "n", "te"]
    )
    config = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=16, word_embed_proj_dim=16, ffn_dim=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64, dropout=0.0, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = models.build(config, dtype=torch.float64)
    loaded = models.LoadedModel(model, tokenizer, models.families()["opt"], "tiny", 64)
    rows = [{"sentence": s, "label": 0} for s in ("he wa", "and then again she wa")]
    names = tokenizer.convert_ids_to_tokens
    examples = encode(rows, task, loaded, "lm")
    assert names(list(examples[0].prompt)) == ["h", "e", "Ġw"]
    assert [names(list(c)) for c in examples[0].candidates] == [["at"], ["a", "n"], ["at", "e"]]
    for scoring in ("shared", "per_candidate"):
        got = Scorer(loaded, task, "lm", scoring).candidate_scores(examples)
        for row, scores in zip(rows, got, strict=True):
            common = len(tokenizer(row["sentence"])["input_ids"]) - 1
            for candidate, score in zip(("t", "n", "te"), scores.tolist(), strict=True):
                tokens = tokenizer(row["sentence"] + candidate)["input_ids"]
                table = log_probs(loaded, tokens)
                each = [float(table[i - 1][tokens[i]]) for i in range(common, len(tokens))]
                assert score == pytest.approx(sum(each) / len(each), abs=1e-10)


def test_a_masked_model_refuses_a_candidate_of_two_tokens_and_generation():
    loaded = nano("nano-roberta")
    task = dataclasses.replace(tasks.load("sst2"), candidates=lambda row: [" great", " not great"])
    with pytest.raises(UserError, match=r"'not great' is not one token of nano-roberta") as error:
        encode(rows_of(task, 1), task, loaded, "lm")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="SQuAD needs a causal model"):
        encode(rows_of(tasks.load("squad"), 1), tasks.load("squad"), loaded, "lm")


@pytest.mark.parametrize("name", CAUSAL)
def test_generation_is_a_naive_argmax_loop(name):
    task = dataclasses.replace(tasks.load("squad"), max_new_tokens=6)
    loaded = nano(name)
    rows = rows_of(task)
    got = evaluate.generate(Scorer(loaded, task), encode(rows, task, loaded, "lm"))
    stops = {loaded.tokenizer.convert_tokens_to_ids("\n"), loaded.tokenizer.eos_token_id}
    for row, text in zip(rows, got, strict=True):
        tokens = loaded.tokenizer(task.prompt(row))["input_ids"]
        new = []
        while len(new) < 6 and not stops & set(new):
            new.append(int(log_probs(loaded, tokens + new)[-1].argmax()))
        decoded = loaded.tokenizer.decode(new, skip_special_tokens=True)
        assert text == decoded.split("\n")[0]


def test_generation_stops_at_a_newline_and_at_its_limit():
    """The model is made to follow a chain of words, so that what it learned plays no part."""
    task = dataclasses.replace(tasks.load("squad"), max_new_tokens=5)
    loaded = nano("nano-opt")
    vocabulary = loaded.tokenizer.get_vocab()
    a, b, c = sorted(word for word in vocabulary if word.isalpha())[:3]
    rows = rows_of(task, 3)
    batch = encode(rows, task, loaded, "lm")
    colon = loaded.tokenizer.convert_ids_to_tokens(batch[0].prompt[-1])
    for chain, expected in (([colon, a, b, "\n", c], f"{a} {b}"), ([colon, a], " ".join([a] * 5))):
        following = {
            vocabulary[x]: vocabulary[y] for x, y in zip(chain, [*chain[1:], chain[-1]], strict=True)
        }

        def force(module, args, kwargs, output, following=following):
            for row, token in enumerate(kwargs["input_ids"][:, -1].tolist()):
                output.logits[row, -1, following[token]] += 1e4

        handle = loaded.model.register_forward_hook(force, with_kwargs=True)
        try:
            texts = evaluate.generate(Scorer(loaded, task), batch)
        finally:
            handle.remove()
        assert [text.strip() for text in texts] == [expected] * 3


def fake(task, scores):
    """A scorer that gives the i-th example its i-th scores."""
    model = torch.nn.Linear(1, 1)
    return SimpleNamespace(
        model=model,
        task=SimpleNamespace(**({"loss": "classification", "generative": False} | task)),
        candidate_scores=lambda batch: [torch.tensor(scores[e.prompt[0]]) for e in batch],
        loss=lambda batch: torch.tensor(float(len(batch))),
    )


def labelled(golds):
    # Lengths fall, so that evaluation reorders the examples.
    return [Encoded((i,), ((1,), (2,)), (), g, 100 - i) for i, g in enumerate(golds)]


def test_accuracy_counts_any_of_several_right_answers_and_loss_takes_the_best():
    scores = [[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0], [-5.0, -1.0, -1.5]]
    golds = [[0, 2], [1, 2], [2, 1]]
    found = evaluate.evaluate(fake({"loss": "teacher_forcing"}, scores), labelled(golds), 2)
    assert found.score == pytest.approx(2 / 3)
    assert found.loss == pytest.approx((1 + 2 + 1) / 3)
    assert (found.auc, found.n) == (None, 3)


def test_auc_is_the_share_of_pairs_in_order():
    rng = Random(0)
    golds = [int(rng.random() < 0.4) for _ in range(30)]
    # Rounded, so that there are ties, which count a half.
    scores = [[0.0, round(rng.gauss(g, 1), 1)] for g in golds]
    found = evaluate.evaluate(fake({}, scores), labelled(golds), 7)
    margins = [s[1] for s in scores]
    both = list(zip(margins, golds, strict=True))
    pairs = [(a, b) for a, g in both if g == 1 for b, h in both if h == 0]
    assert found.auc == pytest.approx(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
    assert found.score == pytest.approx(sum((m > 0) == g for m, g in both) / 30)
    losses = [math.log(1 + math.exp(m if g == 0 else -m)) for m, g in both]
    assert found.loss == pytest.approx(sum(losses) / 30, abs=1e-6)


@pytest.mark.parametrize(
    ("golds", "scores"),
    [
        ([1, 1], [[0.0, 1.0], [0.0, 2.0]]),
        ([0, 1], [[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]]),
        ([0, 1], [[0.0, 1.0], [0.0, 1.0, 2.0]]),
        ([0, 1], [[0.0, float("nan")], [0.0, 1.0]]),
    ],
)
def test_auc_is_none_where_it_is_undefined(golds, scores):
    assert evaluate.evaluate(fake({}, scores), labelled(golds), 4).auc is None


def test_token_f1_is_the_best_over_the_answers(monkeypatch):
    texts = {0: "The red box", 1: "nothing like it", 2: "Anna"}
    monkeypatch.setattr(evaluate, "generate", lambda scorer, batch: [texts[e.prompt[0]] for e in batch])
    golds = [["blue thing", "red box of wood"], ["cup"], ["anna", "a"]]
    found = evaluate.evaluate(fake({"generative": True, "metric": "f1"}, []), labelled(golds), 2)
    assert found.score == pytest.approx((2 * 2 / (2 + 4) + 0 + 1) / 3)
    # Batches of 2 and 1 whose mean losses are 2 and 1.
    assert found.loss == pytest.approx((2 * 2 + 1) / 3)


def test_exact_match_is_the_share_of_right_final_numbers(monkeypatch):
    texts = {0: "2 + 1 = 3. #### 3.0", 1: "it is 1,200 #### $1,200.", 2: "#### 5", 3: "so it is 6"}
    monkeypatch.setattr(evaluate, "generate", lambda scorer, batch: [texts[e.prompt[0]] for e in batch])
    golds = [["3"], ["1200"], ["50"], ["6"]]
    found = evaluate.evaluate(fake({"generative": True, "metric": "exact_match"}, []), labelled(golds), 2)
    assert found.score == 0.5


def test_evaluation_does_not_depend_on_batches_and_leaves_the_mode():
    task = tasks.load("cb")
    loaded = nano("nano-opt")
    examples = encode(rows_of(task, 11), task, loaded, "lm")
    scorer = Scorer(loaded, task)
    alone, together = (evaluate.evaluate(scorer, examples, size) for size in (1, 8))
    assert alone.score == together.score
    assert alone.loss == pytest.approx(together.loss, abs=1e-10)
    assert loaded.model.training
    loaded.model.eval()
    evaluate.evaluate(scorer, examples[:2], 2)
    assert not loaded.model.training
    loaded.model.train()
