"""Tokenization of examples. A prompt and its candidate are tokenized together.

A tokenizer may put special tokens before and after a text. A prompt keeps those before it. Nothing separates
a prompt from its candidate, and nothing follows the candidate: a score covers its own tokens only.
Masked LMs and classification heads get all special tokens and token types, as in pretraining.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from benchmarks.data.example import Example
from benchmarks.errors import UserError
from benchmarks.models import LoadedModel
from benchmarks.models._transformers import vocabulary_size
from benchmarks.tasks import Gold, Task


@dataclass(frozen=True)
class Encoded:
    """An example encoded for a model.

    Attributes:
        prompt: tokens that all candidates share. They include the mask for a masked LM, and are the whole
            input for a classification head.
        candidates: the tokens of each candidate after the prompt; () for generation and for a head.
        answer: the tokens that teacher forcing trains on; () if candidates are compared.
        gold: index of the correct candidate, indices of all correct ones, or answer strings.
        length: length in tokens of the longest sequence that a training step may run; compared with L_T.
        types: the token type (segment) of each prompt token, if an encoder's tokenizer returns types.
    """

    prompt: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]
    answer: tuple[int, ...]
    gold: Gold
    length: int
    types: tuple[int, ...] = ()

    @property
    def one_token(self) -> bool:
        """Whether one forward pass of the prompt scores all candidates."""
        return bool(self.candidates) and all(len(c) == 1 for c in self.candidates)


def encode(examples: Sequence[Example], task: Task, loaded: LoadedModel, head: str) -> list[Encoded]:
    """Encode examples, truncated to the model's maximum length.

    Truncation removes the leftmost tokens of a prompt, or those farthest from its mask.

    Args:
        examples: examples of the task.
        task: the task.
        loaded: model and tokenizer.
        head: "lm", or "classification" for the plain inputs without a prompt.

    Raises:
        UserError: the model cannot score the task, a masked LM gets a candidate of several tokens, a
            candidate has no token of its own, two candidates have the same tokens, an answer leaves no room
            for its prompt, or the tokenizer belongs to another model and gives tokens that this model does
            not have.
    """
    if head == "classification":
        encoded = _encode_inputs(examples, loaded)
    elif loaded.family.masked:
        encoded = _encode_masked(examples, task, loaded)
    else:
        encoded = _encode_causal(examples, task, loaded)
    if loaded.model is not None:
        _refuse_unknown_tokens(encoded, loaded)
    return encoded


def _refuse_unknown_tokens(encoded: Sequence[Encoded], loaded: LoadedModel) -> None:
    checks = []
    if (embeddings := vocabulary_size(loaded.model)) is not None:
        tokens = chain.from_iterable((*e.prompt, *e.answer, *chain(*e.candidates)) for e in encoded)
        checks.append(("token", max(tokens, default=0), embeddings))
    # DeBERTa has no token types, and ignores them.
    if known_types := getattr(loaded.model.config, "type_vocab_size", 0):
        types = chain.from_iterable(e.types for e in encoded)
        checks.append(("token type", max(types, default=0), known_types))
    for kind, last, known in checks:
        if last >= known:
            raise UserError(
                f"model {loaded.name}: its tokenizer produces {kind} {last}, but it has only {known} "
                f"{kind} embeddings: the tokenizer belongs to another model"
            )


def new_tokens(task: Task, loaded: LoadedModel) -> int:
    """Return the maximum number of generated tokens, at most half of the model's maximum length."""
    return min(task.max_new_tokens, loaded.max_length // 2)


def own_ids(loaded: LoadedModel, texts: list[str]) -> list[list[int]]:
    """Return the tokens of texts, without the special tokens that the tokenizer adds."""
    return loaded.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []


def added(loaded: LoadedModel) -> tuple[list[int], list[int]]:
    """Return the special tokens that the tokenizer puts before and after a single text.

    They are read off a tokenized text, because tokenizers add them in many ways: a template, the settings
    `add_bos_token` and `add_eos_token`, or code.
    """
    tokenizer = loaded.tokenizer
    special = set(tokenizer.all_special_ids)
    # Vocabularies may have gaps.
    for token in sorted(tokenizer.get_vocab().values()):
        text = tokenizer.decode([token])
        (own,) = own_ids(loaded, [text])
        if own and special.isdisjoint(own):
            whole = tokenizer(text, verbose=False)["input_ids"]
            for start in range(len(whole) - len(own) + 1):
                if whole[start : start + len(own)] == own:
                    return whole[:start], whole[start + len(own) :]
            break
    raise UserError(f"model {loaded.name}: its tokenizer changes a text's tokens when it adds special tokens")


def _start(loaded: LoadedModel) -> list[int]:
    """Return the token that stands for an empty prompt, since the first candidate token needs a context."""
    for token in (loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id):
        if token is not None:
            return [token]
    raise UserError(
        f"model {loaded.name}: a prompt is empty, and the tokenizer has neither a BOS nor an EOS token to "
        "replace it: begin every prompt with a word"
    )


def _encode_causal(examples: Sequence[Example], task: Task, loaded: LoadedModel) -> list[Encoded]:
    with_answer = task.loss == "teacher_forcing"
    continuations = [[*e.candidates, *([e.answer] if with_answer else [])] for e in examples]
    # Tokenize all texts in one call: tokenizers are fast on one long list and slow on many short ones.
    flat = own_ids(loaded, [e.prompt + c for e, cs in zip(examples, continuations, strict=True) for c in cs])
    alone = own_ids(loaded, [e.prompt for e in examples])
    leading, _ = added(loaded)
    encoded, start = [], 0
    for example, prompt, texts in zip(examples, alone, continuations, strict=True):
        joint, start = flat[start : start + len(texts)], start + len(texts)
        _refuse_empty(task, texts, [tokens == prompt for tokens in joint], loaded)
        shared = min((_common(prompt, tokens) for tokens in joint), default=len(prompt))
        tails = [tuple(tokens[shared:]) for tokens in joint]
        longest = max((len(t) for t in tails), default=0)
        before = leading if leading or shared else _start(loaded)
        room = loaded.max_length - max(longest, new_tokens(task, loaded) if task.generative else 0)
        own_room = room - len(before)
        if own_room < min(1, shared):
            raise UserError(
                f"task {task.title}: an answer of {longest} tokens leaves no room for its prompt: "
                f"{loaded.name} takes at most {loaded.max_length} tokens"
            )
        context = (*before, *prompt[max(0, shared - own_room) : shared])
        target = tails.pop() if with_answer else ()
        if task.loss == "classification":
            _refuse_equal_candidates(task, texts, tails, loaded)
        encoded.append(Encoded(context, tuple(tails), target, example.gold, len(context) + longest))
    return encoded


def _refuse_empty(task: Task, texts: Sequence[str], empty: Sequence[bool], loaded: LoadedModel) -> None:
    """Raise a `UserError` if a candidate adds no token to its prompt, so that nothing could be scored."""
    if any(empty):
        raise UserError(
            f"task {task.title}: candidate {texts[empty.index(True)]!r} has no token of its own in "
            f"{loaded.name}: change it, or use another model"
        )


def _refuse_equal_candidates(
    task: Task, texts: Sequence[str], tokens: Sequence[tuple[int, ...]], loaded: LoadedModel
) -> None:
    """Raise a `UserError` if two candidates have the same tokens, as two unknown words can."""
    text_of: dict[tuple[int, ...], str] = {}
    for text, ids in zip(texts, tokens, strict=True):
        other = text_of.setdefault(ids, text)
        if other != text:
            raise UserError(
                f"task {task.title}: candidates {other.strip()!r} and {text.strip()!r} have the same tokens "
                f"in {loaded.name}; change one of them, or use another model"
            )


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _encode_masked(examples: Sequence[Example], task: Task, loaded: LoadedModel) -> list[Encoded]:
    tokenizer = loaded.tokenizer
    if task.generative or task.loss == "teacher_forcing":
        raise UserError(f"task {task.title} needs a causal model: {loaded.name} is a masked LM")
    words = {text for example in examples for text in example.candidates}
    # The mask replaces a word after a space, however the candidate for causal models begins.
    plain = {text: _single_token(" " + text.strip(), task, loaded) for text in words}
    mask, mask_id = tokenizer.mask_token, tokenizer.mask_token_id
    texts = [example.cloze(mask) for example in examples]
    leading, trailing = (len(tokens) for tokens in added(loaded))
    batch = tokenizer(texts, verbose=False) if texts else {"input_ids": []}
    encoded = []
    for i, (example, tokens) in enumerate(zip(examples, batch["input_ids"], strict=True)):
        if tokens.count(mask_id) != 1:
            raise UserError(
                f"task {task.title}: the cloze must have one mask, not {tokens.count(mask_id)}: "
                f"{texts[i]!r:.80}"
            )
        kept = _around(tokens.index(mask_id), len(tokens), leading, trailing, loaded)
        candidates = tuple((plain[text],) for text in example.candidates)
        _refuse_equal_candidates(task, example.candidates, candidates, loaded)
        types = batch["token_type_ids"][i] if "token_type_ids" in batch else ()
        encoded.append(Encoded(kept(tokens), candidates, (), example.gold, len(kept(tokens)), kept(types)))
    return encoded


def _around(
    at: int, length: int, leading: int, trailing: int, loaded: LoadedModel
) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """Return a function that truncates a sequence to the model's maximum length.

    It removes entries from the end that is farther from index `at`, but neither the first `leading` nor the
    last `trailing` entries, which belong to special tokens.
    """
    before, behind = at - leading, length - 1 - at - trailing
    room = loaded.max_length - 1 - leading - trailing
    if room < 0:
        raise UserError(f"model {loaded.name}: {loaded.max_length} tokens are too few for a cloze")
    if before + behind <= room:
        return tuple
    left = min(before, max(room - behind, room // 2))
    right = room - left

    def kept(values: Sequence[int]) -> tuple[int, ...]:
        return (
            *values[:leading],
            *values[at - left : at + 1 + right],
            *values[len(values) - trailing :],
        )

    return kept


def _single_token(text: str, task: Task, loaded: LoadedModel) -> int:
    tokens = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(tokens) != 1 or tokens[0] == loaded.tokenizer.unk_token_id:
        raise UserError(
            f"task {task.title}: candidate {text.strip()!r} is not one token of {loaded.name}, "
            "but a masked LM fills in exactly one"
        )
    return tokens[0]


def _encode_inputs(examples: Sequence[Example], loaded: LoadedModel) -> list[Encoded]:
    fields = [example.inputs for example in examples]
    if not examples:
        return []
    firsts = [f[0] for f in fields]
    seconds = [f[1] for f in fields] if len(fields[0]) == 2 else None
    batch = loaded.tokenizer(firsts, seconds, truncation=True, max_length=loaded.max_length)
    # Decoders such as GPT-2 have a parameter of this name, but they were pretrained without it.
    has_types = loaded.family.masked and "token_type_ids" in batch
    types = batch["token_type_ids"] if has_types else [()] * len(examples)
    return [
        Encoded(tuple(tokens), (), (), example.gold, len(tokens), tuple(kinds))
        for example, tokens, kinds in zip(examples, batch["input_ids"], types, strict=True)
    ]
