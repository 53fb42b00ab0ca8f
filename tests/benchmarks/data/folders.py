"""Helpers: data folders with rows of SST-2, and splits that are drawn without caches."""

import gzip
import json

import pytest

from benchmarks.data import sources, splits
from benchmarks.errors import UserError


def fresh_splits(*args, **kwargs):
    """Draw splits after clearing the caches of this process."""
    splits._load.cache_clear()
    clear_files()
    return splits.load_splits(*args, **kwargs)


def clear_files():
    """Forget the data files that this process has read."""
    sources._rows_of_file.cache_clear()
    sources._divided.cache_clear()


def keys(examples):
    return [example.key for example in examples]


def reviews(count, start=0):
    return [{"sentence": f"film number {i} ", "label": i % 2} for i in range(start, start + count)]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def error_of(folder, name="sst2"):
    """Draw splits from an invalid folder, and return the one-line error."""
    with pytest.raises(UserError) as caught:
        fresh_splits(name, str(folder), train=10, validation=5, test=5, seed=0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_reviews(folder):
    """Write both files of SST-2 to a folder, one of them compressed, and return the folder."""
    write(folder / "sst2" / "train.jsonl", reviews(2000))
    write(folder / "sst2" / "validation.jsonl.gz", reviews(300, start=5000))
    return folder
