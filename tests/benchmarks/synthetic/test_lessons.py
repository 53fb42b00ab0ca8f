"""Tests of the lessons in the pretraining corpus: they are true, short, and within the vocabulary."""

import re
from random import Random

import pytest

from benchmarks.synthetic import lessons as _lessons
from benchmarks.tasks import _language
from benchmarks.tasks._usage import FAMILIAR
from tests.benchmarks.tasks.task_rows import NINE, place, remarks, selected, taken

STORIES = ("boolq", "cb", "multirc", "record", "rte", "squad")


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", NINE)
def test_lessons_are_true_short_and_within_the_vocabulary(name, bare):
    rng, known, several = Random(6), set(_language.vocabulary()), 0
    for _ in range(200):
        pairs = _lessons.lesson(name, rng, FAMILIAR, bare)
        line = "".join(text + answer for text, answer in pairs)
        assert set(_language.tokens(line)) <= known
        if name not in STORIES:
            assert len(pairs) == 1
            assert pairs[0][1] in ("right", "wrong", " good", " bad")
            continue
        several += len(pairs) > 1
        assert len(pairs) == 1 or len(_language.tokens(line)) <= 128
        passage = pairs[0][0]
        assert len(remarks(passage) + taken(passage)) == 2
        if bare:
            # The passage has two sentences, and in ReCoRD also two highlights.
            assert len(re.findall(r"\w\.", passage.partition("\nI found")[0])) == (
                4 if name == "record" else 2
            )
        for text, answer in pairs:
            if name == "record":
                assert re.search(r" so it was (first|last)$", text)
                assert answer == f" {taken(passage)[place(text)][0]}"
            elif name == "squad":
                assert re.search(r"\nso it is( first| last)?$", text)
                assert answer == f" {taken(passage)[place(text)][1]}\n"
            else:
                kind = selected(passage, text)
                assert answer == {"praise": "right", "blame": "wrong", "color": "unclear"}[kind]
        # Later texts ask about the same passage without repeating it.
        assert all(not remarks(text) + taken(text) for text, _ in pairs[1:])
    assert several > 100 or name not in STORIES
