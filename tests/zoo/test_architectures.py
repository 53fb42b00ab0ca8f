"""Every architecture of transformers' mappings for text: MeZO and IP-SGD equal a dense oracle in float64.

Models are tiny, random, and in training mode without dropout. The architectures come from the mappings
themselves. `special_cases.py` lists those that cannot be built, and the reason.
"""

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from tests.numerics.oracle import generator
from tests.zoo.checks import check_ip_sgd, check_mezo, cross_entropy, roughen
from tests.zoo.special_cases import FEATURES, FLOAT32, NO_BACKWARD, NOT_BUILT
from tests.zoo.tiny import END, FIRST_TOKEN, VOCABULARY, tiny_config

AUTO = {
    "CAUSAL_LM": transformers.AutoModelForCausalLM,
    "MASKED_LM": transformers.AutoModelForMaskedLM,
    "SEQUENCE_CLASSIFICATION": transformers.AutoModelForSequenceClassification,
    "SEQ_TO_SEQ_CAUSAL_LM": transformers.AutoModelForSeq2SeqLM,
    "IMAGE_CLASSIFICATION": transformers.AutoModelForImageClassification,
    "AUDIO_CLASSIFICATION": transformers.AutoModelForAudioClassification,
}
#: More parameters would take too long.
LARGEST = 2_000_000
CASES = [
    pytest.param(task, model_type, id=f"{task.lower()}-{model_type}")
    for task in AUTO
    for model_type in getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES")
    if (task, model_type) not in NOT_BUILT
]


def build(task: str, model_type: str) -> nn.Module:
    """Build a tiny random model of an architecture in training mode, in float64 if it can."""
    torch.manual_seed(0)
    config = tiny_config(CONFIG_MAPPING[model_type])
    if model_type == 'reformer':
        config.is_decoder = task == 'CAUSAL_LM'
    # The default implementation of experts (grouped_mm) does not support float64.
    names = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES")[model_type]
    if not isinstance(names, str):
        config.architectures = names[:1]
    options = {"experts_implementation": "eager"}
    with torch.device("meta"):
        size = sum(p.numel() for p in AUTO[task].from_config(config, **options).parameters())
    assert size < LARGEST, f"{model_type} has {size} parameters: shrink it in special_cases.py"
    model = AUTO[task].from_config(config, **options)
    return roughen(model.to(torch.float32 if model_type in FLOAT32 else torch.float64)).train()


def logits(model: nn.Module, **inputs: Tensor) -> Tensor:
    """Return a model's logits for two examples: texts of twelve tokens, images, or sounds."""
    rng, config, name = generator(2), model.config, model.main_input_name
    if name == "input_ids":
        ids = torch.randint(FIRST_TOKEN, VOCABULARY, (2, 12), generator=rng)
        ids[:, -1] = END
        inputs["input_ids"] = ids
        if config.is_encoder_decoder:
            inputs["decoder_input_ids"] = ids.flip(1)
    else:
        shape = FEATURES.get(config.model_type, (6400,)) if name != "pixel_values" else (3, 64, 64)
        inputs[name] = torch.randn(2, *shape, generator=rng, dtype=model.dtype)
    output = model(**inputs)
    return output.logits if "logits" in output else output[0]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "model_type"), CASES)
def test_mezo_and_ip_sgd_equal_the_oracle(task, model_type):
    model = build(task, model_type)
    check_mezo(model, cross_entropy(logits))
    if model_type not in NO_BACKWARD:
        check_ip_sgd(model, cross_entropy(logits))
