"""A warning about cuDNN's attention, whose gradients can be NaN on Hopper and Blackwell cards."""

import warnings
from collections.abc import Iterable

import torch
from torch import nn

# The major compute capabilities on which torch prefers cuDNN's attention, and the oldest cuDNN for which it
# does (`check_prefer_cudnn_attention` in its sdp_utils.cpp).
_MAJOR, _CUDNN = (9, 10), 91500


def warn_of_cudnn(model: nn.Module, devices: Iterable[torch.device]) -> None:
    """Warn if a backward pass through the model can use cuDNN's attention.

    Given a mask, its gradients can be NaN if the length of the batch is 64 modulo 128
    (pytorch/pytorch#196678). The choice of the kernel is a setting of the whole process, so the library does
    not change it. A call of `scaled_dot_product_attention` in other code than transformers' models and
    `nn.MultiheadAttention` is not found.

    Args:
        model: the model to differentiate.
        devices: the devices of its trainable parameters.
    """
    gpus = {device for device in devices if device.type == "cuda"}
    if not gpus or torch.version.hip or not torch.backends.cuda.cudnn_sdp_enabled():
        return
    if (torch.backends.cudnn.version() or 0) <= _CUDNN or not any(map(_uses_attention, model.modules())):
        return
    if any(torch.cuda.get_device_capability(gpu)[0] in _MAJOR for gpu in gpus):
        warnings.warn(
            "cuDNN's attention can return NaN gradients for padded batches on this GPU: "
            "call torch.backends.cuda.enable_cudnn_sdp(False) before training",
            stacklevel=2,
        )


def _uses_attention(module: nn.Module) -> bool:
    implementation = getattr(getattr(module, "config", None), "_attn_implementation", None)
    return implementation == "sdpa" or isinstance(module, nn.MultiheadAttention)
