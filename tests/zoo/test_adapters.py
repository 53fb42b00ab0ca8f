"""Every kind of adapter in peft: MeZO and IP-SGD equal a dense oracle in float64.

The kinds come from peft itself. Each is put on a tiny Llama, and variants of LoRA on models that they need.
"""

import peft
import pytest
import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType
from torch import nn

from tests.zoo.checks import check_ip_sgd, check_mezo, cross_entropy, roughen
from tests.zoo.models import build, logits
from tests.zoo.special_adapters import BY_TASK, LORA, SETTINGS

CASES = [
    *(
        pytest.param("llama", kind, SETTINGS.get(kind.value, {}), id=kind.value.lower())
        for kind in PEFT_TYPE_TO_CONFIG_MAPPING
    ),
    *(
        pytest.param(model_type, PeftType.LORA, settings, id=f"lora-{name}")
        for name, (model_type, settings) in LORA.items()
    ),
]


@pytest.fixture(scope="module")
def saved_loras(tmp_path_factory):
    """Return the folders of two LoRA adapters for the tiny Llama, which XLoRA mixes."""
    folders = {name: str(tmp_path_factory.mktemp("lora")) for name in "01"}
    config = peft.LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False)
    for name, folder in folders.items():
        base = build("CAUSAL_LM", "llama")
        torch.manual_seed(int(name))
        peft.get_peft_model(base, config).save_pretrained(folder)
    return folders


def adapted(model_type: str, kind: PeftType, settings: dict) -> nn.Module:
    """Return a tiny model with an adapter. Its trainable parameters are the adapter's."""
    base = build("CAUSAL_LM", model_type)
    # XLoRA requires this.
    base.config.use_cache = False
    if kind == PeftType.PSOFT:
        # PSOFT decomposes weights in float32 when it is built.
        base.float()
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind](task_type="CAUSAL_LM", **settings)
    return roughen(peft.get_peft_model(base, config).double()).train()


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "kind", "settings"), CASES)
def test_mezo_and_ip_sgd_equal_the_oracle_on_adapters(model_type, kind, settings, request):
    if kind == PeftType.XLORA:
        settings = settings | {"adapters": request.getfixturevalue("saved_loras")}
    model = adapted(model_type, kind, settings)
    assert any(p.requires_grad for p in model.parameters())
    inputs = {"task_ids": torch.tensor([0, 1])} if kind.value in BY_TASK else {}
    loss = cross_entropy(lambda model: logits(model, **inputs))
    # CPT moves its parameters into a ball in each forward.
    loss(model)
    check_mezo(model, loss)
    check_ip_sgd(model, loss)
