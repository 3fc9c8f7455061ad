"""The Mamba block with event-driven step sizes, and the selective scan inside it.

Source: Gu and Dao 2023, "Mamba", arXiv 2312.00752, algorithm 2; parameter names are those of `mamba_ssm.Mamba`, so its
weights load. The event-driven step size is that of KAN-MAMMOTE (repository MichaelScodaeng/kan-mammote).
Differs from it: sequences are concatenated in one flat array instead of being padded, so no step is spent on padding.

- There are three implementations of the same function: `reference_scan` (plain PyTorch, any device and dtype), compiled CPU
  kernels (`models/scan_kernels.py`, float32), and mamba_ssm's fused kernel on CUDA if it is installed.
- None of them uses a cumulative product or a division by one, because these underflow on long sequences.

Letters: N events of all sequences, concatenated, B sequences, L events of the longest, R rows of a table that events index,
M width of the model, I inner width (expand x M), S width of the state, K rank of the step size.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

EXPAND = 2
CONV_WIDTH = 4
STEP_MIN, STEP_MAX = 1e-3, 1e-1
"""Range of the initial step sizes, which are log-uniform and set by the bias."""
NORM_EPSILON = 1e-5
PADDED_DIMENSIONS = 3


@dataclass(frozen=True)
class Ragged:
    """Positions of the sequences in a flat array of all events; sequences without events take no space."""

    starts: Tensor
    """(B + 1,): first event of each sequence, and last the number of events."""
    rows: Tensor
    """(N,): the sequence of each event."""
    columns: Tensor
    """(N,): the place of each event in its sequence, from 0."""

    @classmethod
    def of(cls, lengths: Tensor) -> Self:
        """Return the positions of concatenated sequences with `lengths` (B,)."""
        starts = nn.functional.pad(lengths.to(torch.long).cumsum(0), (1, 0))
        row_N = torch.repeat_interleave(lengths)
        return cls(starts, row_N, torch.arange(len(row_N), device=lengths.device) - starts[row_N])

    def pad(self, flat: Tensor) -> Tensor:
        """Return the padded form (B, L, ...) of flat (N, ...), zero on padding."""
        shape = (len(self.starts) - 1, int(self.starts.diff().max()), *flat.shape[1:])
        return flat.new_zeros(shape).index_put((self.rows, self.columns), flat)

    def flatten(self, padded: Tensor) -> Tensor:
        """Return the events (N, ...) of padded (B, L, ...)."""
        return padded[self.rows, self.columns]

    def places(self, width: int) -> Tensor:
        """Return the place (B, `width`) of each event in the flat array, which must not be empty; any valid place on padding."""
        index_BL = self.starts[:-1, None] + torch.arange(width, device=self.starts.device)
        return index_BL.clamp_max(len(self.rows) - 1)

    def change(self, flat: Tensor) -> Tensor:
        """Return the difference (N, I) of each event of flat (N, I) from the previous one; zero for the first event of a sequence."""
        return flat.diff(dim=0, prepend=flat[:1]) * (self.columns > 0).unsqueeze(1)


class ScanInputs(NamedTuple):
    """The inputs of a selective scan; the first axes are (N,) in a flat scan and (B, L) in a padded one."""

    x: Tensor
    """(..., I) input."""
    pre: Tensor
    """(..., I) step size, before the bias and the softplus."""
    a: Tensor
    """(I, S) A, negative."""
    b: Tensor
    """(..., S) B."""
    c: Tensor
    """(..., S) C."""
    d: Tensor
    """(I,) D, the skip connection."""
    z: Tensor
    """(..., I) gate."""
    bias: Tensor
    """(I,) bias of the step size."""


@dataclass(frozen=True)
class Drive:
    """The drive of the step sizes: rows that events index, or, with `as_change`, their change from event to event."""

    rows: Tensor
    """(R, D)."""
    index: Tensor
    """(N,): the row of each event."""
    gain: float
    as_change: bool


class MambaBlock(nn.Module):
    """h -> W_out(scan(SiLU(conv(x))) * SiLU(z)) with [x, z] = W_in RMSNorm(h)."""

    def __init__(self, *, dim: int, state_dim: int, drive_dim: int | None) -> None:
        """Build a block of model width `dim`; `drive_dim` is the width of the drive of the step size, None without a drive."""
        super().__init__()
        inner, self.rank = EXPAND * dim, math.ceil(dim / 16)
        self.norm = nn.RMSNorm(dim, eps=NORM_EPSILON)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, CONV_WIDTH, groups=inner, padding=CONV_WIDTH - 1)
        self.x_proj = nn.Linear(inner, self.rank + 2 * state_dim, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, state_dim + 1).float().log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.delta_proj = None if drive_dim is None else nn.Linear(drive_dim, inner, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        step_I = torch.empty(inner).uniform_(math.log(STEP_MIN), math.log(STEP_MAX)).exp()
        with torch.no_grad():
            self.dt_proj.bias.copy_(step_I + (-(-step_I).expm1()).log())  # the inverse of softplus

    def forward(self, rows_RM: Tensor, index_N: Tensor, drive: Drive | None, events: Ragged) -> Tensor:
        """Return outputs (N, M) for events that index (N,) a table of rows (R, M)."""
        x_RI, z_RI = self.in_proj(self.norm(rows_RM)).chunk(2, dim=-1)
        x_NI = causal_convolution(x_RI, index_N, self.conv1d, events)
        r_NK, b_NS, c_NS = self.x_proj(x_NI).tensor_split([self.rank, self.rank + self.A_log.shape[1]], dim=-1)
        pre_NI = r_NK @ self.dt_proj.weight.T
        if drive is not None and self.delta_proj is not None:
            # The matrix is applied before the gather, because there are fewer rows than events.
            push_NI = nn.functional.embedding(drive.index, drive.gain * self.delta_proj(drive.rows))
            pre_NI = pre_NI + (events.change(push_NI) if drive.as_change else push_NI)
        z_NI = nn.functional.embedding(index_N, z_RI)
        inputs = ScanInputs(x_NI, pre_NI, -self.A_log.exp(), b_NS, c_NS, self.D, z_NI, self.dt_proj.bias)
        out_NM: Tensor = self.out_proj(selective_scan(inputs, events))
        return out_NM


def causal_convolution(table_RI: Tensor, index_N: Tensor, conv: nn.Conv1d, events: Ragged) -> Tensor:
    """Return SiLU(conv) (N, I): a depthwise convolution over each event and the events before it in its sequence.

    Event k has the row `index_N[k]` of the table (R, I).
    """
    if _has_kernels(table_RI):
        from models.scan_kernels import convolution  # noqa: PLC0415 - numba takes half a second to import

        weight_WI = conv.weight[:, 0].T.contiguous()
        return convolution(events.starts, index_N, table_RI.contiguous(), weight_WI, conv.bias)
    x_BIL = events.pad(nn.functional.embedding(index_N, table_RI)).transpose(1, 2)
    x_BLI = conv(x_BIL)[..., : x_BIL.shape[-1]].transpose(1, 2)
    return nn.functional.silu(events.flatten(x_BLI))


def selective_scan(inputs: ScanInputs, events: Ragged) -> Tensor:
    """Return y (N, I) of flat inputs by the fastest implementation for the device; see `reference_scan`."""
    if inputs.x.is_cuda and inputs.x.dtype == torch.float32 and _fused_kernel_installed():
        return _fused_scan(inputs, events)
    if _has_kernels(inputs.x):
        return _compiled_scan(inputs, events)
    return events.flatten(reference_scan(_padded(inputs, events))[0])


def reference_scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y (B, L, I) and the last state (B, I, S) of padded inputs, computed event by event.

    Delta_k = softplus(pre_k + bias); S_k = exp(Delta_k A) S_{k-1} + Delta_k x_k B_k^T; y_k = (S_k C_k + D x_k) SiLU(z_k).
    """
    x_BLI, pre_BLI, a_IS, b_BLS, c_BLS, d_I, z_BLI, bias_I = inputs
    step_BLI = nn.functional.softplus(pre_BLI + bias_I)
    state_BIS = x_BLI.new_zeros(x_BLI.shape[0], *a_IS.shape)
    outputs = []
    for k in range(x_BLI.shape[1]):
        decay_BIS = (step_BLI[:, k, :, None] * a_IS).exp()
        state_BIS = decay_BIS * state_BIS + (step_BLI[:, k] * x_BLI[:, k])[..., None] * b_BLS[:, k, None]
        outputs.append((state_BIS * c_BLS[:, k, None]).sum(-1))
    return (torch.stack(outputs, dim=1) + d_I * x_BLI) * nn.functional.silu(z_BLI), state_BIS


def _padded(inputs: ScanInputs, events: Ragged) -> ScanInputs:
    x, pre, a, b, c, d, z, bias = inputs
    return ScanInputs(events.pad(x), events.pad(pre), a, events.pad(b), events.pad(c), d, events.pad(z), bias)


def _has_kernels(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def _compiled_scan(inputs: ScanInputs, events: Ragged) -> Tensor:
    from models.scan_kernels import scan  # noqa: PLC0415 - numba takes half a second to import

    x, pre, a, b, c, d, z, bias = inputs
    flat = [x, nn.functional.softplus(pre + bias), a.T, b, c, d, z]
    return scan(events.starts, *(tensor.contiguous() for tensor in flat))


@cache
def _fused_kernel_installed() -> bool:
    return importlib.util.find_spec("mamba_ssm") is not None


def _fused_scan(inputs: ScanInputs, events: Ragged) -> Tensor:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # noqa: PLC0415 - exists on CUDA machines only

    x, pre, a, b, c, d, z, bias = (
        field.transpose(1, 2).contiguous() if field.ndim == PADDED_DIMENSIONS else field
        for field in _padded(inputs, events)
    )
    y_BIL: Tensor = selective_scan_fn(x, pre, a, b, c, d, z, delta_bias=bias, delta_softplus=True)
    return events.flatten(y_BIL.transpose(1, 2))
