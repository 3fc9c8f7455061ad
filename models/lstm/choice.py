"""Where the compiled LSTM runs, and where `nn.LSTM` does."""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

INSTRUCTIONS = ("avx2", "fma")
"""What a processor must have: without fused multiply-adds in hardware the product would be slower than torch's."""
INSTRUCTIONS_OF_BF16, MATRIX_UNITS = "avx512bf16", "amx-bf16"
"""What it must have besides for products of bf16, which would be slower than those of fp32 without, and what it must not
have: torch's LSTM uses such units, and the compiled one does not."""


def runs_compiled(inputs: Tensor) -> bool:
    """Say whether an LSTM runs compiled on these inputs: on a processor that can, also under autocast to bf16."""
    rounds = torch.is_autocast_enabled("cpu")
    return compiles_for(inputs.device, inputs.dtype, rounds=rounds)


def compiles_for(device: torch.device, dtype: torch.dtype, *, rounds: bool = False) -> bool:
    """Say whether the compiled LSTM computes on this device, in this type; `rounds`: with products of bf16."""
    types = {torch.float32} if rounds else {torch.float32, torch.float64}
    return device.type == "cpu" and dtype in types and can_compile(rounds=rounds)


@cache
def can_compile(*, rounds: bool = False) -> bool:
    """Say whether this machine has numba and a processor that the compiled LSTM, or its products of bf16, are made for."""
    if find_spec("numba") is None:
        return False
    # An import that fails is an error: it would train one run of a study by other arithmetic than the others, unnoticed.
    import numba  # noqa: F401, PLC0415 - it takes half a second to import
    from llvmlite import binding  # noqa: PLC0415 - of numba

    features = binding.get_host_cpu_features()
    has_products = features.get(INSTRUCTIONS_OF_BF16, False) and not features.get(MATRIX_UNITS, False)
    return all(features.get(instruction, False) for instruction in INSTRUCTIONS) and (not rounds or has_products)
