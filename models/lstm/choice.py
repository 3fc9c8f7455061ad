"""Where the compiled LSTM runs, and where `nn.LSTM` does."""

from functools import cache

import torch
from torch import Tensor

INSTRUCTIONS = ("avx2", "fma")
"""What a processor must have: without fused multiply-adds in hardware the product would be slower than torch's."""


def runs_compiled(inputs: Tensor) -> bool:
    """Say whether an LSTM runs compiled on these inputs: on a processor that can, outside autocast."""
    return compiles_for(inputs.device, inputs.dtype) and not torch.is_autocast_enabled("cpu")


def compiles_for(device: torch.device, dtype: torch.dtype) -> bool:
    """Say whether the compiled LSTM computes on this device, in this type."""
    return device.type == "cpu" and dtype in {torch.float32, torch.float64} and can_compile()


@cache
def can_compile() -> bool:
    """Say whether this machine has numba and a processor that the compiled LSTM is made for."""
    try:
        import numba  # noqa: F401, PLC0415 - it takes half a second to import
        from llvmlite import binding  # noqa: PLC0415 - of numba
    except ImportError:
        return False
    features = binding.get_host_cpu_features()
    return all(features.get(instruction, False) for instruction in INSTRUCTIONS)
