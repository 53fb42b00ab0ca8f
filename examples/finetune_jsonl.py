"""Fine-tune a local causal language model with Addax on JSON lines {"prompt": ..., "answer": ...}.

The loss covers the tokens of the answer only. Blank lines are skipped, and other fields are ignored. If a
text has more tokens than the model accepts, the beginning of its prompt is cut and, if that is not enough,
the end of its answer.
"""

import argparse
import json
from itertools import takewhile
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, TrainingArguments

from addax.hf_trainer import AddaxTrainer

FIELDS = ("prompt", "answer")


def read_rows(file):
    """Return (line number, prompt, answer) of every row. Raise `ValueError` naming the file and the line."""
    rows = []
    # Only \n ends a line of JSON, whereas `str.splitlines` would also cut texts at U+2028.
    for number, line in enumerate(file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            try:
                rows.append((number, *texts(line)))
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
    if not rows:
        raise ValueError(f"{file} has no examples: write an object with {' and '.join(FIELDS)} per line")
    return rows


def texts(line):
    """Return the prompt and the answer of one line."""
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8: save the file as UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not valid JSON ({error}): write one object per line") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with {' and '.join(FIELDS)}, not {type(row).__name__}")
    for field in FIELDS:
        if field not in row:
            raise ValueError(f"no field {field!r}: the fields are {', '.join(map(repr, row)) or 'none'}")
        if not isinstance(row[field], str):
            raise ValueError(f"{field!r} must be a string, not {type(row[field]).__name__}")
        if any("\ud800" <= character <= "\udfff" for character in row[field]):
            raise ValueError(f"{field!r} contains half of a surrogate pair: write the character as UTF-8")
    return row["prompt"], row["answer"]


def tokenize(rows, file, tokenizer, limit, vocabulary):
    """Return the examples, cut to `limit` tokens, and print how many were cut."""
    examples, cut = [], 0
    for number, prompt, answer in rows:
        before, ids = (tokenizer(text)["input_ids"] for text in (prompt, prompt + answer))
        # The answer starts at the first token that the prompt alone does not have. The last token of the
        # prompt may differ, because it is merged with the answer or is an end token.
        start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, ids, strict=False)))
        labels = [-100] * start + ids[start:]
        if len(ids) > limit:
            cut += 1
            first = int(ids[0] == tokenizer.bos_token_id)
            drop = slice(first, max(first, min(start - 1, first + len(ids) - limit)))
            del ids[drop], labels[drop]
            del ids[limit:], labels[limit:]
        if all(label == -100 for label in labels[1:]):
            raise ValueError(f"{file}, line {number}: no token of the answer follows another token: add text")
        if max(ids) >= vocabulary:
            raise ValueError(
                f"{file}, line {number}: token {max(ids)} is not one of the model's {vocabulary}: use the "
                "tokenizer of the model"
            )
        examples.append({"input_ids": ids, "labels": labels})
    if cut:
        print(f"{cut} of {len(examples)} examples are longer than {limit} tokens and were cut")
    return examples


def build_trainer(args):
    """Load the model and the data. Raise `OSError` or `ValueError` if something is wrong with them."""
    rows = read_rows(args.data)
    if not Path(args.model).is_dir():
        raise ValueError(f"{args.model} is not a folder: pass a folder with a model and its tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model)
    if tokenizer.pad_token is None:
        # GPT-2 and Llama have no padding token. The value does not matter, because padding is masked.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ValueError(f"the tokenizer in {args.model} has no special token to pad with: add a pad token")
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = min(n for n in (args.max_tokens, tokenizer.model_max_length, positions) if n is not None)
    vocabulary = model.get_input_embeddings().num_embeddings
    return AddaxTrainer(
        model=model,
        args=TrainingArguments(
            args.output, max_steps=args.steps, learning_rate=args.lr, logging_steps=10, max_grad_norm=0
        ),
        train_dataset=tokenize(rows, args.data, tokenizer, limit, vocabulary),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        length_threshold=args.length_threshold,
    )


def at_least(low):
    """Return a converter of words to integers from `low`."""

    def convert(word):
        if int(word) < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}, not {word}")
        return int(word)

    return convert


def main(words=None):
    """Parse the command line, train, and save the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", help="folder that contains the model and its tokenizer")
    add("data", type=Path, help="JSON lines file with the training examples")
    add("output", help="folder for checkpoints and the fine-tuned model")
    threshold = 'in tokens, or as a quantile of the lengths ("q0.7"); longer examples get no backward pass'
    add("--length-threshold", help=threshold)
    add("--max-tokens", type=at_least(2), help="cut longer examples (default: what the model accepts)")
    add("--lr", type=float, default=1e-3, help="learning rate (default: %(default)s)")
    add("--steps", type=at_least(1), default=1000, help="number of steps (default: %(default)s)")
    args = parser.parse_args(words)
    try:
        trainer = build_trainer(args)
    except (OSError, ValueError) as error:
        parser.error(" ".join(str(error).split()))
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main()
