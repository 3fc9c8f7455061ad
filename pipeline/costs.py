"""What a trained model costs: arithmetic of one answer, and memory of its training."""

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
"""What Linux wants to be told to start its record of the largest resident set anew (man 5 proc)."""


@torch.no_grad()
def flops_of(model: Classifier, dataset: EventDataset) -> int:
    """Return the floating-point operations of one forward pass over the sequence of median length.

    Counted are matrix products and convolutions, a multiplication and an addition as two; elementwise work is not.
    """
    middle_1 = dataset.lengths.cpu().argsort(stable=True)[len(dataset) // 2][None]
    batch = dataset.to(torch.device("cpu")).batch(middle_1)
    plain_model = deepcopy(model).cpu().eval()
    if isinstance(plain_model, RecurrentClassifier):
        plain_model.compiled = False
    # A fused recurrent layer hides its products from the counter, so the plain one runs, on the processor.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")
        plain, products = torch.backends.mkldnn.flags(enabled=False), _Products()
        with plain, products:
            plain_model(batch.times, batch.features, batch.lengths)
    return products.flops


class _Products(TorchDispatchMode):
    """Counts the operations of matrix products and convolutions by torch's formulas.

    It is `torch.utils.flop_counter.FlopCounterMode` without the wrapper that keeps torch's compiler away, which imports that
    compiler: seconds and 70 MB in each process.
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
            with self:  # what is made of products counts as they do
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **given)
        if formula is not None:
            self.flops += int(formula(*args, **given, out_val=result))
        return result


class PeakMemory:
    """The most memory that is used from now on, over what is used now: of the device, or of this process on a CPU."""

    def __init__(self, device: torch.device, earlier: float = 0) -> None:
        """Start measuring; `earlier` is the most bytes that a part of the same work used before."""
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
        """Return `peak_memory_bytes`; nothing where the system does not tell."""
        if self.before is None:
            return {}
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _status("VmHWM")
        return {"peak_memory_bytes": max(peak - self.before, self.earlier)}


def peak_resident() -> int | None:
    """Return the largest resident set in bytes that this process has had; None where the system does not tell."""
    return _status("VmHWM") if STATUS.exists() else None


def _return_freed() -> None:
    """Give back memory that is kept for later, which would else hide what is allocated next; the C library's where it can."""
    workspace.release()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _status(name: str) -> int:
    """Return a size of this process in bytes, as Linux reports it in kibibytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None  # noqa: S101  Linux has had the line since 2.6
    return 1024 * int(found[1])
