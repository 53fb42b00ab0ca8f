"""Tests that examples/finetune_jsonl.py handles the tokenizers and the files that users have."""

import importlib.util
import json
import os
import re

import pytest

from benchmarks.registry import ROOT
from tests import processes

SCRIPT = ROOT / "examples" / "finetune_jsonl.py"
VOCABULARY, WIDTH, POSITIONS = 300, 16, 32
TEXTS = [f"{'good' if i % 2 else 'bad'} film number {i} was" for i in range(24)]
ROWS = [{"prompt": text, "answer": " great" if "good" in text else " awful"} for text in TEXTS]


def gpt2_folder(folder):
    """Save a GPT-2 with a byte-level BPE tokenizer, which has one special token and no padding token."""
    from tokenizers import pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    symbols = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    start = GPT2Tokenizer(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[])
    tokenizer = start.train_new_from_iterator(TEXTS, VOCABULARY, show_progress=False)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=1, n_head=2, n_positions=POSITIONS, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return save(folder, tokenizer, GPT2LMHeadModel, config)


def llama_folder(folder):
    """Save a Llama with a tokenizer like SentencePiece's BPE: it adds <s>, and has no padding token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

    trained = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False)
    )
    file = json.loads(trained.to_str())["model"]
    tokenizer = LlamaTokenizer(vocab=file["vocab"], merges=[tuple(m) for m in file["merges"]])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A", special_tokens=[("<s>", 1)]
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=POSITIONS,
    )  # fmt: skip
    return save(folder, tokenizer, LlamaForCausalLM, config)


def save(folder, tokenizer, model_class, config):
    import torch

    assert tokenizer.pad_token is None
    torch.manual_seed(0)
    tokenizer.save_pretrained(folder)
    model_class(config).save_pretrained(folder)
    return folder


FOLDERS = {"gpt2": gpt2_folder, "llama": llama_folder}


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request, tmp_path_factory):
    return FOLDERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return gpt2_folder(tmp_path_factory.mktemp("gpt2"))


def script():
    """Import the script without running it."""
    spec = importlib.util.spec_from_file_location("finetune_jsonl", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return processes.python(SCRIPT, *words, cwd=ROOT, env=environment)


def write(folder, rows, name="data.jsonl"):
    file = folder / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.process
def test_a_tokenizer_without_a_padding_token_trains_and_its_model_loads(folder, tmp_path):
    """Texts have 5 to 60 tokens. The longer ones are cut to the positions of the model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    long = {"prompt": "x y " * POSITIONS + "bad film was", "answer": " awful"}
    file = write(tmp_path, [*ROWS, long])
    words = ["--steps", 30, "--lr", 0.2, "--length-threshold", "q0.5"]
    done = run(folder, file, tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    assert f"1 of {len(ROWS) + 1} examples are longer than {POSITIONS} tokens and were cut" in done.stdout
    losses = [float(x) for x in re.findall(r"'loss': '?([\d.e-]+)", done.stdout)]
    assert losses[-1] < 0.8 * losses[0]
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.pad_token == tokenizer.eos_token


def test_the_labels_are_the_tokens_of_the_answer(folder):
    """The answer decodes from the labels, and everything before it is ignored, also the added <s>."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    examples = script().tokenize([(1, "bad film", " was")], "f", tokenizer, 99, 400)
    labels = [label for label in examples[0]["labels"] if label != -100]
    assert tokenizer.decode(labels).strip() == "was"
    assert examples[0]["labels"][-len(labels) :] == labels
    assert examples[0]["input_ids"] == tokenizer("bad film was")["input_ids"]


class Words:
    """A tokenizer of characters that adds 1 at the start and 2 at the end, and merges the letters "ab"."""

    bos_token_id = 1

    def __call__(self, text):
        ids = [3 if c == "\0" else ord(c) for c in text.replace("ab", "\0")]
        return {"input_ids": [1, *ids, 2]}


@pytest.mark.parametrize(
    ("prompt", "answer", "limit", "ids", "labels"),
    [
        ("xyz", "uv", 99, [1, *b"xyz", *b"uv", 2], [*b"uv", 2]),
        ("xya", "bv", 99, [1, *b"xy", 3, *b"v", 2], [3, *b"v", 2]),
        ("xyz", "uv", 6, [1, *b"yz", *b"uv", 2], [*b"uv", 2]),
        ("xyz", "uv", 5, [1, *b"z", *b"uv", 2], [*b"uv", 2]),
        ("xyz", "uv", 3, [1, *b"z", *b"u"], [*b"u"]),
    ],
    ids=["end token", "merged", "cut once", "cut to one token", "answer cut"],
)  # fmt: skip
def test_long_texts_lose_the_beginning_of_the_prompt_first(capsys, prompt, answer, limit, ids, labels):
    examples = script().tokenize([(1, prompt, answer)], "f", Words(), limit, 400)
    assert examples == [{"input_ids": ids, "labels": [-100] * (len(ids) - len(labels)) + labels}]
    assert ("longer than" in capsys.readouterr().out) == (limit < 7)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_lines_end_only_at_newlines(tmp_path, mark, end):
    """Line separators inside strings do not end a line, and blank lines are counted but skipped."""
    texts = ["a\u2028b", "c\u2029d\x85e", "f\x0bg\x0ch", "\x1ci"]
    lines = [json.dumps({"prompt": t, "answer": t, "id": 1}, ensure_ascii=False).encode() for t in texts]
    file = tmp_path / "data.jsonl"
    file.write_bytes(mark + end.join([lines[0], b"  ", *lines[1:], b""]))
    assert script().read_rows(file) == [(n, t, t) for n, t in zip([1, 3, 4, 5], texts, strict=True)]


GOOD = b'{"prompt": "a", "answer": "b"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b"\n" + b'{"prompt": "a", \n', r"line 3: not valid JSON .*: write one object per line"),
        (GOOD + b'["a", "b"]', "line 2: expected an object with prompt and answer, not list"),
        (b'"text"', "line 1: expected an object .* not str"),
        (b"null", "line 1: expected an object .* not NoneType"),
        (GOOD + b'{"prompt": "a"}', "line 2: no field 'answer': the fields are 'prompt'"),
        (b"{}", "line 1: no field 'prompt': the fields are none"),
        (b'{"prompt": "a", "answer": 3}', "line 1: 'answer' must be a string, not int"),
        (b'{"prompt": null, "answer": "b"}', "line 1: 'prompt' must be a string, not NoneType"),
        (b'{"prompt": ["a"], "answer": "b"}', "line 1: 'prompt' must be a string, not list"),
        (GOOD + b'{"prompt": "\xff"}', "line 2: byte 13 is not UTF-8: save the file as UTF-8"),
        ('{"prompt": "a", "answer": "b"}'.encode("utf-16"), "line 1: byte 1 is not UTF-8"),
        (b'{"prompt": "\\ud83d", "answer": "b"}', "line 1: 'prompt' contains half of a surrogate pair"),
        (b"[" * 100_000, "line 1: not valid JSON"),
        (b"\n \n", "data.jsonl has no examples: write an object with prompt and answer per line"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:30],
)
def test_a_bad_line_is_named(tmp_path, content, message):
    file = tmp_path / "data.jsonl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        script().read_rows(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("prompt", "answer", "vocabulary", "message"),
    [
        ("xyz", "", 400, "f, line 7: no token of the answer follows another token"),
        ("xyz", "u", 50, "f, line 7: token 122 is not one of the model's 50: use the tokenizer of the model"),
    ],
)
def test_an_example_that_cannot_be_trained_is_named(prompt, answer, vocabulary, message):
    tokenizer = Words() if answer else (lambda text: {"input_ids": [*text.encode()]})
    with pytest.raises(ValueError, match=message):
        script().tokenize([(7, prompt, answer)], "f", tokenizer, 99, vocabulary)


BAD_ARGUMENTS = {
    "threshold": (["{model}", "{data}", "{out}", "--length-threshold", "q2"], "must be in tokens"),
    "empty part": (["{model}", "{data}", "{out}", "--length-threshold", "99"], "D0 is empty"),
    "lr": (["{model}", "{data}", "{out}", "--lr", "-1"], "lr must be in"),
    "steps": (["{model}", "{data}", "{out}", "--steps", "0"], "--steps: must be at least 1, not 0"),
    "no data": (["{model}", "{out}", "{out}"], "No such file"),
    "no model": (["{out}", "{data}", "{out}"], "is not a folder: pass a folder with a model"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_end_with_one_line(gpt2, tmp_path, capsys, case):
    words, message = BAD_ARGUMENTS[case]
    places = {"model": gpt2, "data": write(tmp_path, ROWS), "out": tmp_path / "out"}
    with pytest.raises(SystemExit) as error:
        script().main([word.format(**places) for word in words])
    assert error.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error:" in last
    assert message in last


@pytest.mark.process
def test_a_bad_line_ends_the_command_without_a_traceback(gpt2, tmp_path):
    done = run(gpt2, write(tmp_path, [*ROWS, {"prompt": "a"}]), tmp_path / "out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().endswith(f"line {len(ROWS) + 1}: no field 'answer': the fields are 'prompt'")
