"""Names of models: what a name stands for, and where its files are, without reading weights."""

import json
from pathlib import Path

from benchmarks import models
from benchmarks.errors import UserError, unknown
from benchmarks.hub import names as hub_names
from benchmarks.models import Family, _adapters


def check(name: str, trust_remote_code: bool = False) -> None:
    """Reject an invalid model name before any work starts, without reading weights or using the network.

    Raises:
        UserError: the name is not built in, is not a folder whose config.json describes a model that can be
            trained, and does not have the form owner/name or owner/name@REVISION (hub names are not looked
            up).
    """
    if name in models.builtin():
        return
    folder = Path(name).expanduser()
    if _adapters.folder_of(name) is not None:
        _adapters.check(name)
        try:
            models.check(_adapters.base_of(name), trust_remote_code)
        except UserError as error:
            raise UserError(f"adapter folder {name}: its base model cannot be found: {error}") from None
    elif folder.is_dir():
        _family_in(folder, trust_remote_code)
    elif name.startswith(("/", ".", "~")) or name.partition("@")[0].count("/") > 1:
        raise UserError(f"model folder {name}: no such folder")
    elif hub_names.parse(name) is None:
        hint = "; write a hub model as owner/name or owner/name@REVISION, and a folder as a path"
        raise UserError(f"{unknown('model', name, models.builtin())}{hint}")


def _family_in(folder: Path, trust_remote_code: bool) -> Family:
    """Return the family of a model folder, from its configuration file alone."""
    file = folder / "config.json"
    if not file.is_file():
        raise UserError(f"model folder {folder}: it has no config.json (is it a transformers folder?)")
    try:
        values = json.loads(file.read_text())
        model_type = values["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a transformers configuration ({error!r})") from None
    return models.family_of(model_type, str(file), values, trust_remote_code)


def known_family(name: str, trust_remote_code: bool = False) -> Family | None:
    """Return a model's family; None for a hub name, whose configuration is not loaded yet."""
    name = _adapters.base_of(name) or name
    if name in models.builtin():
        return models.builtin()[name]
    folder = Path(name).expanduser()
    return _family_in(folder, trust_remote_code) if folder.is_dir() else None


def may_have_code(name: str) -> bool:
    """Return whether a model may have code of its own, as hub models and folders with Python files may."""
    name = _adapters.base_of(name) or name
    folder = Path(name).expanduser()
    return name not in models.builtin() and (not folder.is_dir() or any(folder.rglob("*.py")))


def has_head(name: str) -> bool | None:
    """Return whether a model has a stored classification head; None for a hub name, as in `known_family`."""
    if name in models.builtin():
        return False
    if (head := _adapters.has_head(name)) is not None:
        return head
    file = Path(name).expanduser() / "config.json"
    if not file.is_file():
        return None
    stored = json.loads(file.read_text()).get("architectures") or ()
    return any(architecture.endswith("ForSequenceClassification") for architecture in stored)


def source(name: str, trust_remote_code: bool = False, *, weights: bool = False) -> str:
    """Return the folder from which transformers loads a model; of an adapter, its base model.

    A built-in model that is neither in the repository nor in the cache is downloaded first, and so are the
    files of a hub model that its cache does not have.

    Args:
        name: built-in name, folder, or hub name.
        weights: whether a hub model's folder must have the weights, in addition to the configuration and the
            tokenizer.

    Raises:
        UserError: the name is invalid, or the model cannot be downloaded.
    """
    models.check(name, trust_remote_code)
    name = _adapters.base_of(name) or name
    if (repo := models.hub_model(name)) is not None:
        from benchmarks.hub import models as hub_models
        from benchmarks.models import _published

        return str(hub_models.folder(repo, weights=weights, known=_published.names()))
    if name not in models.builtin():
        return str(Path(name).expanduser())
    if (models.WEIGHTS / name).is_dir():
        return str(models.WEIGHTS / name)
    from benchmarks.models import _fetch

    return str(_fetch.fetch(name))


def hub_model(name: str) -> hub_names.Repo | None:
    """Return the repository that a model name stands for; None for a built-in name or a folder."""
    return None if name in models.builtin() or Path(name).expanduser().is_dir() else hub_names.parse(name)


def commit_of(name: str) -> str | None:
    """Return the commit of a hub model that `load` loads, from the cache.

    None for a built-in model, a folder, or a hub model that is not in the cache. That of an adapter folder is
    its base model's.
    """
    from benchmarks.hub import models as hub_models

    repo = models.hub_model(_adapters.base_of(name) or name)
    return None if repo is None else hub_models.commit_of(repo)
