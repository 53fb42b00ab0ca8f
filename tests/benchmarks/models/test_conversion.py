"""A test that loading an old checkpoint from the hub starts no conversion in the background."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import modeling_utils
from transformers.utils import hub

from benchmarks import models
from benchmarks.models import _loading
from tests.benchmarks.models.nano_models import nano


@pytest.fixture
def old_hub(tmp_path, monkeypatch):
    """Simulate a hub whose model has a `.bin` checkpoint only; return the threads that it starts."""
    loaded, started = models.load_tokenizer("nano-opt"), []
    config = models.load_config("nano-opt")
    folder = tmp_path / "old"
    shutil.copytree(models.WEIGHTS / "nano-opt", folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    def cached_files(path_or_repo_id, filenames, _raise_exceptions_for_missing_entries=True, **_):
        if (folder / filenames[0]).is_file():
            return [str(folder / filenames[0])]
        if _raise_exceptions_for_missing_entries:
            raise OSError(f"no such file: {filenames}")
        return None

    class Thread:
        def __init__(self, name, **_):
            self.name = name

        def start(self):
            started.append(self.name)

    monkeypatch.setattr(models, "source", lambda name, *_, **__: name)
    monkeypatch.setattr(models, "load_config", lambda *_: config)
    monkeypatch.setattr(_loading, "_with_tokenizer", lambda *_: loaded)
    monkeypatch.setattr(modeling_utils, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub, "cached_files", cached_files)
    monkeypatch.setattr(modeling_utils, "has_file", lambda *_, **__: False)
    monkeypatch.setattr(modeling_utils, "Thread", Thread)
    return started


@pytest.mark.parametrize("given", [None, "0"])
def test_a_bin_checkpoint_loads_without_a_conversion(old_hub, monkeypatch, given):
    monkeypatch.delenv("DISABLE_SAFETENSORS_CONVERSION", raising=False)
    if given is not None:
        monkeypatch.setenv("DISABLE_SAFETENSORS_CONVERSION", given)
    model = nano("someone/old").model
    assert old_hub == []
    # The simulated hub does start one without the setting.
    type(model).from_pretrained("someone/old", config=model.config, dtype=torch.float32)
    assert old_hub == ["Thread-auto_conversion"]
