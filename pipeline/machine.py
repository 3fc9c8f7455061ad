"""The machine that a run is on: its devices, their precision, and its description in the run."""

import platform
import re
from importlib import metadata
from pathlib import Path

import torch

from models.lstm.choice import compiles_for
from pipeline.errors import UsageError


def resolve_device(device: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:N` means here; `UsageError` if the machine lacks it."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and re.fullmatch("[0-9]{1,4}", index))):
        raise UsageError(f"--device: must be auto, cpu, cuda or cuda:N, got {device}. Choose one of them.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(
            f"--device: must be a device of this machine, got {device} with {count} of CUDA. Use --device cpu."
        )
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return fp32 or bf16: `auto` is fp32 on CPUs, and bf16 on GPUs that have it (`docs/decisions/0002-precision.md`).

    `UsageError` if bf16 is requested and the device has no instructions for it.
    """
    if precision == "bf16" and not has_bf16(device):
        raise UsageError(
            f"train.precision: must be auto or fp32 on a {device.type.upper()} without bf16 instructions, got bf16. "
            "Leave it at auto."
        )
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and has_bf16(device) else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Return whether the recurrent layers can run in bf16 on a device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - torch has no public test


def resolve_kernel(precision: str, device: torch.device) -> str:
    """Return the kernel of an LSTM: `compiled`, that of `models/lstm/`, or `torch`; their results differ in the last bits."""
    return "compiled" if compiles_for(device, torch.float32, rounds=precision == "bf16") else "torch"


def ways(device: str) -> dict[str, str]:
    """Return the default precision and LSTM kernel of this machine, which must be the same on all machines that share a study."""
    resolved = resolve_device(device)
    precision = resolve_precision("auto", resolved)
    return {"default precision": precision, "kernel of the LSTM": resolve_kernel(precision, resolved)}


def environment() -> dict[str, str]:
    """Return the machine and the versions of the libraries with which the numbers are computed."""
    packages = ("torch", "numpy", "numba", "pykan", "mlflow", "pandas", "scipy")
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
        **{package: metadata.version(package) for package in packages},
    }


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
