"""Tokenization of examples. A prompt and its candidate are tokenized together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from benchmarks.data.example import Example
from benchmarks.errors import UserError
from benchmarks.models import LoadedModel
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
    """

    prompt: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]
    answer: tuple[int, ...]
    gold: Gold
    length: int

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
        UserError: the model cannot score the task, a masked LM gets a candidate of several tokens, two
            candidates have the same tokens, an answer leaves no room for its prompt, or the tokenizer
            belongs to another model and gives tokens that this model does not have.
    """
    if head == "classification":
        encoded = _encode_inputs(examples, loaded)
    elif loaded.family.masked:
        encoded = _encode_masked(examples, task, loaded)
    else:
        encoded = _encode_causal(examples, task, loaded)
    if loaded.model is None:
        return encoded
    known = loaded.model.get_input_embeddings().num_embeddings
    last = max((max((*e.prompt, *e.answer, *chain(*e.candidates)), default=0) for e in encoded), default=0)
    if last >= known:
        raise UserError(
            f"model {loaded.name}: its tokenizer produces token {last}, but it has only {known} embeddings: "
            "the tokenizer belongs to another model"
        )
    return encoded


def new_tokens(task: Task, loaded: LoadedModel) -> int:
    """Return the maximum number of generated tokens, at most half of the model's maximum length."""
    return min(task.max_new_tokens, loaded.max_length // 2)


def _ids(loaded: LoadedModel, texts: list[str], pairs: list[str] | None = None) -> list[list[int]]:
    return loaded.tokenizer(texts, pairs, verbose=False)["input_ids"] if texts else []


def _cut(tokens: list[int], room: int, loaded: LoadedModel) -> list[int]:
    """Return at most `room` tokens: the last ones, preceded by the BOS token if there is one."""
    if len(tokens) <= room:
        return tokens
    bos = loaded.tokenizer.bos_token_id
    if tokens[0] == bos and bos is not None:
        return [bos, *tokens[len(tokens) - room + 1 :]]
    return tokens[len(tokens) - room :]


def _encode_causal(examples: Sequence[Example], task: Task, loaded: LoadedModel) -> list[Encoded]:
    with_answer = task.loss == "teacher_forcing"
    continuations = [[*e.candidates, *([e.answer] if with_answer else [])] for e in examples]
    # Tokenize all texts in one call: tokenizers are fast on one long list and slow on many short ones.
    flat = _ids(loaded, [e.prompt + c for e, cs in zip(examples, continuations, strict=True) for c in cs])
    alone = _ids(loaded, [e.prompt for e in examples])
    encoded, start = [], 0
    for example, prompt, texts in zip(examples, alone, continuations, strict=True):
        joint, start = flat[start : start + len(texts)], start + len(texts)
        shared = min((_common(prompt, tokens) for tokens in joint), default=len(prompt))
        tails = [tuple(tokens[shared:]) for tokens in joint]
        longest = max((len(t) for t in tails), default=0)
        room = loaded.max_length - max(longest, new_tokens(task, loaded) if task.generative else 0)
        if room < 1:
            raise UserError(
                f"task {task.title}: an answer of {longest} tokens leaves no room for its prompt: "
                f"{loaded.name} takes at most {loaded.max_length} tokens"
            )
        context = tuple(_cut(prompt[:shared], room, loaded))
        target = tails.pop() if with_answer else ()
        if task.loss == "classification":
            _refuse_equal_candidates(task, texts, tails, loaded)
        encoded.append(Encoded(context, tuple(tails), target, example.gold, len(context) + longest))
    return encoded


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
    encoded = []
    for example, text, tokens in zip(examples, texts, _ids(loaded, texts), strict=True):
        if tokens.count(mask_id) != 1:
            raise UserError(
                f"task {task.title}: the cloze must have one mask, not {tokens.count(mask_id)}: {text!r:.80}"
            )
        context = tuple(_cut_around(tokens, tokens.index(mask_id), loaded))
        candidates = tuple((plain[text],) for text in example.candidates)
        encoded.append(Encoded(context, candidates, (), example.gold, len(context)))
    return encoded


def _cut_around(tokens: list[int], at: int, loaded: LoadedModel) -> list[int]:
    """Truncate tokens to the model's maximum length, from the end that is farther from index `at`.

    Special tokens at either end remain.
    """
    ends = set(loaded.tokenizer.all_special_ids) - {tokens[at]}
    first, last = tokens[0] in ends, tokens[-1] in ends
    before, behind = at - first, len(tokens) - 1 - at - last
    room = loaded.max_length - 1 - first - last
    if before + behind <= room:
        return tokens
    left = min(before, max(room - behind, room // 2))
    right = room - left
    return [
        *tokens[:first],
        *tokens[at - left : at + 1 + right],
        *tokens[len(tokens) - last :],
    ]


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
    tokens = loaded.tokenizer(firsts, seconds, truncation=True, max_length=loaded.max_length)["input_ids"]
    return [Encoded(tuple(t), (), (), e.gold, len(t)) for e, t in zip(examples, tokens, strict=True)]
