"""The nano models' tokenizer: one token per word, punctuation mark, or newline of the built-in language."""

from collections.abc import Iterable
from typing import Any

from benchmarks.models import Family

SEPARATE = r"\n|\w+|[^\w\s]"


def tokenizer(family: Family, words: Iterable[str], max_length: int) -> Any:
    """Build a word-level tokenizer with the special tokens of a family's architecture.

    Decoding joins tokens with spaces. A sequence starts with "</s>" for OPT and with "<s>" for Llama. For
    RoBERTa it starts with "<s>" and ends with "</s>".

    Args:
        family: determines the special tokens and their positions.
        words: the vocabulary, without special tokens; all other words become "<unk>".
        max_length: maximum length of a sequence, in tokens.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    single, pair = "<s> $A", "<s> $A $B"
    if family.masked:
        special.append("<mask>")
        # As in RoBERTa, the mask absorbs the space before it.
        names["mask_token"] = AddedToken("<mask>", lstrip=True, special=True)
        names |= {"cls_token": "<s>", "sep_token": "</s>"}
        single, pair = "<s> $A </s>", "<s> $A </s> </s> $B </s>"
    elif "opt" in family.model_types:
        names["bos_token"] = "</s>"
        single, pair = "</s> $A", "</s> $A $B"
    else:
        # Llama's tokenizers have no padding token.
        special.remove("<pad>")
        del names["pad_token"]
    ids = {token: i for i, token in enumerate([*special, *words])}
    inner = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(SEPARATE), behavior="removed", invert=True)
    inner.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(t, ids[t]) for t in ("<s>", "</s>")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=max_length, **names)
