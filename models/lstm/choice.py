"""The choice between the compiled LSTM and `nn.LSTM`."""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

INSTRUCTIONS = ("avx2", "fma")
"""Required features of the processor: without fused multiply-adds in hardware, the product would be slower than torch's."""
INSTRUCTIONS_OF_BF16, MATRIX_UNITS = "avx512bf16", "amx-bf16"
"""For products in bf16, the feature that the processor must also have, because they would be slower than in fp32 without it, and
the one that it must not have: torch's LSTM uses such matrix units, and the compiled LSTM does not."""


def runs_compiled(inputs: Tensor) -> bool:
    """Return whether an LSTM runs compiled on these inputs; under autocast, this depends on the processor's support of bf16."""
    rounds = torch.is_autocast_enabled("cpu")
    return compiles_for(inputs.device, inputs.dtype, rounds=rounds)


def compiles_for(device: torch.device, dtype: torch.dtype, *, rounds: bool = False) -> bool:
    """Return whether the compiled LSTM supports this device and dtype; with `rounds`, its products are in bf16."""
    types = {torch.float32} if rounds else {torch.float32, torch.float64}
    return device.type == "cpu" and dtype in types and can_compile(rounds=rounds)


@cache
def can_compile(*, rounds: bool = False) -> bool:
    """Return whether this machine has numba and a processor with the required features, with `rounds` those for bf16."""
    if find_spec("numba") is None:
        return False
    # A failing import is an error: otherwise a run of a study would be trained with other arithmetic than the others, unnoticed.
    import numba  # noqa: F401, PLC0415 - it takes half a second to import
    from llvmlite import binding  # noqa: PLC0415 - imported by numba

    features = binding.get_host_cpu_features()
    has_products = features.get(INSTRUCTIONS_OF_BF16, False) and not features.get(MATRIX_UNITS, False)
    return all(features.get(instruction, False) for instruction in INSTRUCTIONS) and (not rounds or has_products)
