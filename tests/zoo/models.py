"""Tiny models of every architecture in transformers' mappings, and their inputs."""

import torch
import transformers
from torch import Tensor, nn
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from tests.numerics.oracle import generator
from tests.zoo.checks import roughen
from tests.zoo.special_cases import FEATURES, FLOAT32
from tests.zoo.tiny import END, FIRST_TOKEN, VOCABULARY, tiny_config

AUTO = {
    "CAUSAL_LM": transformers.AutoModelForCausalLM,
    "MASKED_LM": transformers.AutoModelForMaskedLM,
    "SEQUENCE_CLASSIFICATION": transformers.AutoModelForSequenceClassification,
    "SEQ_TO_SEQ_CAUSAL_LM": transformers.AutoModelForSeq2SeqLM,
    "IMAGE_CLASSIFICATION": transformers.AutoModelForImageClassification,
    "AUDIO_CLASSIFICATION": transformers.AutoModelForAudioClassification,
}
#: Larger models would take too long.
MAX_PARAMETERS = 2_000_000


def mapping(task: str) -> dict[str, str | tuple[str, ...]]:
    """Return transformers' mapping of a task from model types to names of classes."""
    return getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES")


def build(task: str, model_type: str, *, experts: str = "eager") -> nn.Module:
    """Build a tiny random model of an architecture in training mode, in float64 if it can compute in it.

    Args:
        task: a key of `AUTO`.
        model_type: a key of the task's mapping.
        experts: implementation of mixtures of experts. The default of transformers does not support float64.
    """
    config = tiny_config(CONFIG_MAPPING[model_type])
    if model_type == "reformer":
        config.is_decoder = task == "CAUSAL_LM"
    names = mapping(task)[model_type]
    if not isinstance(names, str):
        config.architectures = names[:1]
    with torch.device("meta"):
        sizes = [
            p.numel() for p in AUTO[task].from_config(config, experts_implementation=experts).parameters()
        ]
    assert sum(sizes) <= MAX_PARAMETERS, f"{model_type} has {sum(sizes)} parameters: add it to SETTINGS"
    torch.manual_seed(0)
    model = AUTO[task].from_config(config, experts_implementation=experts)
    is_float32 = model_type in FLOAT32 or experts != "eager"
    return roughen(model.to(torch.float32 if is_float32 else torch.float64)).train()


def logits(model: nn.Module, **inputs: Tensor) -> Tensor:
    """Return a model's logits for two examples: texts of twelve tokens, images, or sounds.

    Args:
        model: the model.
        **inputs: further inputs.
    """
    rng, config, name = generator(2), model.config, model.main_input_name
    if name in ("input_ids", "inputs"):
        ids = torch.randint(FIRST_TOKEN, VOCABULARY, (2, 12), generator=rng)
        ids[:, -1] = END
        inputs[name] = ids
        if config.is_encoder_decoder:
            inputs["decoder_input_ids"] = ids.flip(1)
    else:
        shape = (3, 64, 64) if name == "pixel_values" else FEATURES.get(config.model_type, (6400,))
        inputs[name] = torch.randn(2, *shape, generator=rng, dtype=model.dtype)
    output = model(**inputs)
    return output.logits if "logits" in output else output[0]
