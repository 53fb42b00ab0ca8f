"""Families of models without a family file, derived from their configurations and transformers' mappings.

The harness trains models that read and predict one text: causal LMs, masked LMs, and sequence classifiers.
Every other configuration is rejected with the reason and a choice that works.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import models
from benchmarks.errors import UserError, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CAUSAL, MASKED, CLASSIFIER = "ForCausalLM", "ForMaskedLM", "ForSequenceClassification"
# Fields with the longest sequence, by preference.
LIMITS = ("max_position_embeddings", "max_seq_len", "n_positions", "max_sequence_length", "seq_length")
# Fields with the number of layers. Configurations of transformers map theirs to the first.
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Parts of the names of nested configurations that read something else than text.
OTHER_INPUTS = ("vision", "audio", "vq")
SUGGESTION = "use a decoder such as facebook/opt-125m or an encoder such as FacebookAI/roberta-base"


def family(
    config: "PreTrainedConfig | Mapping[str, Any]", where: str, trust_remote_code: bool = False
) -> models.Family:
    """Return the family of a configuration that no family file serves.

    Args:
        config: the configuration, or the content of a `config.json`.
        where: the source of the configuration, for the error message.
        trust_remote_code: whether the model's own code may run.

    Raises:
        UserError: the model type is unknown, needs its own code, or is of a kind that the harness does not
            train (an encoder-decoder, a model of images or sounds).
    """
    from transformers import CONFIG_MAPPING

    values = config if isinstance(config, Mapping) else config.to_dict()
    model_type = values["model_type"]
    if has_code(config, trust_remote_code):
        name, available = str(model_type), {key.removeprefix("AutoModel") for key in values["auto_map"]}
        encoder = None
    elif model_type not in CONFIG_MAPPING:
        if values.get("auto_map"):
            raise needs_code(where)
        known = {key for names in mappings().values() for key in names}
        raise UserError(f"{where}: {unknown('model_type', str(model_type), known)}")
    else:
        kind = CONFIG_MAPPING[model_type]
        _refuse_other_inputs(kind, model_type, where)
        name, encoder = kind.__name__.removesuffix("Config"), getattr(kind, "is_encoder_decoder", False)
        available = {head for head, names in mappings().items() if model_type in names}
    if values.get("is_encoder_decoder", encoder):
        raise UserError(
            f"{where}: model_type {model_type!r} ({name}) is an encoder-decoder, which reads two texts and "
            f"takes no prompt; {SUGGESTION}"
        )
    heads = (("lm",) if {CAUSAL, MASKED} & available else ()) + (
        ("classification",) if CLASSIFIER in available else ()
    )
    if not heads:
        raise UserError(
            f"{where}: model_type {model_type!r} ({name}) has no causal, masked, or sequence-classification "
            f"model; {SUGGESTION}"
        )
    masked = _is_masked(values, available)
    return models.Family(name, masked, (model_type,), (), positions=positions, heads=heads)


def mappings() -> dict[str, Mapping[str, str]]:
    """Return transformers' mappings from model types to classes, by the kind of class."""
    from transformers.models.auto import modeling_auto

    return {
        CAUSAL: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MASKED: modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        CLASSIFIER: modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    }


def has_code(config: "PreTrainedConfig | Mapping[str, Any]", trust_remote_code: bool = False) -> bool:
    """Return whether a model runs its own code: its configuration names it, and the user trusts it.

    A configuration that is already loaded tells itself whether its class is the model's own.
    """
    if isinstance(config, Mapping):
        return trust_remote_code and "AutoConfig" in (config.get("auto_map") or {})
    return type(config).__module__.startswith("transformers_modules.")


def needs_code(where: str) -> UserError:
    """Return the error for a model whose own code must run but is not trusted."""
    return UserError(
        f"{where}: the model needs Python code from its repository; read the code, and pass "
        "--trust-remote-code if you trust it"
    )


def code_files(config: "PreTrainedConfig") -> list[Path]:
    """Return the files of a hub model's own code, downloaded if necessary; none without such code."""
    from transformers import dynamic_module_utils as modules

    if not has_code(config):
        return []
    folders = set()
    for reference in sorted(set(_references(config.auto_map.values()))):
        repository, _, dotted = reference.rpartition("--")
        file = f"{dotted.rpartition('.')[0].replace('.', '/')}.py"
        revision = None if repository else getattr(config, "_commit_hash", None)
        found = modules.get_cached_module_file(repository or config.name_or_path, file, revision=revision)
        folders.add((Path(modules.HF_MODULES_CACHE) / found).parent)
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def _references(values: Iterable[Any]) -> Iterable[str]:
    """Yield the class references of an `auto_map`. A tokenizer has two, either of which may be missing."""
    for value in values:
        yield from [value] if isinstance(value, str) else filter(None, value)


def check_head(family: models.Family, head: str, where: str) -> None:
    """Reject a head that the architecture does not have.

    Raises:
        UserError: the message names the head to use instead.
    """
    if head not in family.heads:
        names = {"lm": "language-model", "classification": "classification"}
        raise UserError(
            f"{where}: {family.name} has no {names[head]} head; use head={family.heads[0]}, or another model"
        )


def _refuse_other_inputs(kind: type, model_type: str, where: str) -> None:
    parts = kind.sub_configs
    if "text_config" not in parts and not any(known in part for part in parts for known in OTHER_INPUTS):
        return
    text = getattr(parts.get("text_config"), "model_type", None)
    choice = f"use a model of type {text!r}" if text in mappings()[CAUSAL] else SUGGESTION
    raise UserError(
        f"{where}: model_type {model_type!r} ({kind.__name__.removesuffix('Config')}) combines several "
        f"models ({', '.join(parts)}), and only models of text can be trained; {choice}"
    )


def _is_masked(values: Mapping[str, Any], available: set[str]) -> bool:
    """Return whether a model predicts masks or, as a classifier, is an encoder."""
    for architecture in values.get("architectures") or ():
        for ending in (CAUSAL, MASKED):
            if architecture.endswith(ending) and ending in available:
                return ending == MASKED
    if {CAUSAL, MASKED} <= available:
        # Encoders that can be built as decoders say so in one of these fields.
        return not (values.get("is_decoder") or values.get("causal"))
    if {CAUSAL, MASKED} & available:
        return MASKED in available
    return not _classifies_last_token(values["model_type"])


def _classifies_last_token(model_type: str) -> bool:
    """Return whether a model with a classification head only is a decoder."""
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification
    from transformers.modeling_layers import GenericForSequenceClassification

    if model_type not in CONFIG_MAPPING:
        return False
    classes = AutoModelForSequenceClassification._model_mapping[CONFIG_MAPPING[model_type]]
    return issubclass(classes, GenericForSequenceClassification)


def positions(config: "PreTrainedConfig") -> int:
    """Return the longest sequence: some tables of positions reserve those up to the padding token's index."""
    import torch
    from transformers import AutoModel

    counts = (getattr(config, name, None) for name in LIMITS)
    limit = next((n for n in counts if isinstance(n, int) and n > 0), models.MAX_LENGTH)
    if has_code(config) and "AutoModel" not in config.auto_map:
        return limit
    with torch.device("meta"):
        model = AutoModel.from_config(config, trust_remote_code=has_code(config))
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    reserved = [m.padding_idx + 1 for m in tables if getattr(m, "padding_idx", None) is not None]
    return limit - max(reserved, default=0)


def depth_field(config: "PreTrainedConfig") -> str | None:
    """Return the name of the field with the number of layers; None if there is none."""
    return next((name for name in DEPTHS if isinstance(getattr(config, name, None), int)), None)
