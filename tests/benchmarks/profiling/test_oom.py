"""Tests that out-of-memory errors are distinguished from other errors."""

import pytest
import torch

from benchmarks.profiling.oom import bytes_requested, is_out_of_memory


@pytest.mark.parametrize(
    ("error", "requested"),
    [
        (MemoryError(), None),
        (torch.OutOfMemoryError("Tried to allocate 20.00 MiB."), 20 * 2**20),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has"), 3 * 2**29),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."), 64),
        (torch.AcceleratorError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"), None),
        (RuntimeError("CUDA driver error: out of memory"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), None),
    ],
)
def test_an_allocator_error_is_out_of_memory_and_its_bytes_are_parsed(error, requested):
    assert is_out_of_memory(error)
    assert bytes_requested(error) == requested


@pytest.mark.parametrize(
    "error",
    [
        ValueError("DefaultCPUAllocator"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(handle)`"),
        RuntimeError("the memory of this module is out of date"),
    ],
)
def test_other_errors_are_not_out_of_memory(error):
    assert not is_out_of_memory(error)
