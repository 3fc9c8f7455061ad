"""The costs of a model: floating-point operations of one prediction, and the memory of its training."""

import ctypes
import re
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from models.classifier import Classifier, RecurrentClassifier
from models.lstm import workspace
from pipeline.data import EventDataset

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to `clear_refs`, this makes Linux reset its record of the largest resident set (man 5 proc)."""


@torch.no_grad()
def flops_of(model: Classifier, dataset: EventDataset) -> int:
    """Return the floating-point operations of one forward pass over the sequence of median length.

    Matrix products and convolutions count, a multiplication and an addition as two operations; elementwise work does not.
    """
    middle_1 = dataset.lengths.cpu().argsort(stable=True)[len(dataset) // 2][None]
    batch = dataset.to(torch.device("cpu")).batch(middle_1)
    plain_model = deepcopy(model).cpu().eval()
    if isinstance(plain_model, RecurrentClassifier):
        plain_model.compiled = False
    # A fused recurrent layer hides its products from the counter, so torch's plain layer runs instead, on the CPU.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")
        plain, products = torch.backends.mkldnn.flags(enabled=False), _Products()
        with plain, products:
            plain_model(batch.times, batch.features, batch.lengths)
    return products.flops


class _Products(TorchDispatchMode):
    """Counts the operations of matrix products and convolutions by torch's formulas.

    It is `torch.utils.flop_counter.FlopCounterMode` without the wrapper that excludes it from compilation: the wrapper imports
    torch's compiler, which takes seconds and 70 MB in each process.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's
        del types
        given = dict(kwargs or {})
        formula: Callable[..., int] | None = flop_registry.get(func.overloadpacket)
        if formula is None:
            with self:  # an operation that consists of products counts as the sum of them
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **given)
        if formula is not None:
            self.flops += int(formula(*args, **given, out_val=result))
        return result


class PeakMemory:
    """The peak memory from now on, above what is used now: of the GPU, or of this process on a CPU."""

    def __init__(self, device: torch.device, earlier: float = 0) -> None:
        """Start measuring; `earlier` is the peak in bytes of an earlier part of the same work."""
        self.device, self.earlier = device, earlier
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before: int | None = torch.cuda.memory_allocated(device)
        elif CLEAR.exists():
            _return_freed()
            CLEAR.write_text(RESET_PEAK)
            self.before = _status("VmRSS")
        else:
            self.before = None

    def metrics(self) -> dict[str, float]:
        """Return `peak_memory_bytes`; empty if the system does not report it."""
        if self.before is None:
            return {}
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _status("VmHWM")
        return {"peak_memory_bytes": max(peak - self.before, self.earlier)}


def peak_resident() -> int | None:
    """Return the largest resident set of this process, in bytes; None if the system does not report it."""
    return _status("VmHWM") if STATUS.exists() else None


def _return_freed() -> None:
    """Return freed memory to the system: memory that is kept for reuse would hide the next allocations from the measurement."""
    workspace.release()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _status(name: str) -> int:
    """Return a size of this process in bytes, from the kibibytes that Linux reports."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None  # noqa: S101  Linux has had the line since 2.6
    return 1024 * int(found[1])
