"""Compiled CPU kernels, float32: the depthwise convolution and the selective scan of the Mamba block, with gradients.

Source: the equations of `models/selective_scan.py`.
Differs from it: instead of storing the states of all sequences, the backward pass recomputes those of one sequence at a time, which
fit into the cache; SiLU is fused into both kernels.

Letters: N events, I inner width, S width of the state, W width of the convolution, R rows of a table.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.compilation import ONE, compiled, exponential, sigmoid

Array = NDArray[Any]


class ScanArrays(NamedTuple):
    """The inputs of a scan, or their gradients."""

    x: Array
    """(N, I)."""
    step: Array
    """(N, I): step size Delta, after the softplus."""
    a: Array
    """(S, I): transposed, so that the inner loops access contiguous memory."""
    b: Array
    """(N, S)."""
    c: Array
    """(N, S)."""
    d: Array
    """(I,)."""
    z: Array
    """(N, I)."""


SUMMED = (ScanArrays._fields.index("a"), ScanArrays._fields.index("d"))
"""Positions of the inputs that all events share, whose gradients are sums over events."""


class Taps(NamedTuple):
    """The inputs of a convolution, or their gradients."""

    table: Array
    """(R, I)."""
    weight: Array
    """(W, I)."""
    bias: Array
    """(I,)."""


@compiled
def _scan_forward(inputs: ScanArrays, starts: Array, y: Array) -> None:
    x, step, a, b, c, d, z = inputs
    states, inner = a.shape
    state = np.empty((states, inner), np.float32)
    total = np.empty(inner, np.float32)
    drive = np.empty(inner, np.float32)
    for row in range(len(starts) - 1):
        state[:] = 0
        for k in range(starts[row], starts[row + 1]):
            for i in range(inner):
                total[i] = d[i] * x[k, i]
                drive[i] = step[k, i] * x[k, i]
            for s in range(states):
                b_s, c_s = b[k, s], c[k, s]
                for i in range(inner):
                    value = exponential(step[k, i] * a[s, i]) * state[s, i] + drive[i] * b_s
                    state[s, i] = value
                    total[i] += value * c_s
            for i in range(inner):
                y[k, i] = total[i] * z[k, i] * sigmoid(z[k, i])


@compiled
def _recompute(inputs: ScanArrays, start: int, end: int, decay: Array, state: Array) -> None:
    """Write the decay (L, S, I) of each event of a sequence, and the state after it, shifted by one place (L + 1, S, I)."""
    x, step, a, b = inputs[:4]
    states, inner = a.shape
    for k in range(start, end):
        j = k - start
        for s in range(states):
            b_s = b[k, s]
            for i in range(inner):
                decay[j, s, i] = exponential(step[k, i] * a[s, i])
                state[j + 1, s, i] = decay[j, s, i] * state[j, s, i] + step[k, i] * x[k, i] * b_s


@compiled
def _scan_backward(inputs: ScanArrays, starts: Array, grad_y: Array, grads: ScanArrays) -> None:
    longest = np.diff(starts).max()
    decay = np.empty((longest, *inputs.a.shape), np.float32)
    state = np.empty((longest + 1, *inputs.a.shape), np.float32)
    state[0] = 0
    for row in range(len(starts) - 1):
        _recompute(inputs, starts[row], starts[row + 1], decay, state)
        _reverse(inputs, starts[row], starts[row + 1], decay, state, grad_y, grads)


@compiled
def _reverse(  # noqa: PLR0917 - a kernel's buffers
    inputs: ScanArrays, start: int, end: int, decay: Array, state: Array, grad_y: Array, grads: ScanArrays
) -> None:
    """Write the gradients of a sequence, from its last event to its first."""
    x, step, a, b, c, d, z = inputs
    states, inner = a.shape
    grad_state = np.zeros((states, inner), np.float32)
    total = np.empty(inner, np.float32)
    grad_total = np.empty(inner, np.float32)
    grad_drive = np.empty(inner, np.float32)
    for k in range(end - 1, start - 1, -1):
        for i in range(inner):
            gate = sigmoid(z[k, i])
            grad_total[i] = grad_y[k, i] * z[k, i] * gate
            grads.z[k, i] = grad_y[k, i] * gate * (ONE + z[k, i] * (ONE - gate))
            total[i] = d[i] * x[k, i]
            grads.d[i] += grad_total[i] * x[k, i]
            grad_drive[i] = 0
            grads.step[k, i] = 0
        for s in range(states):
            b_s, c_s = b[k, s], c[k, s]
            sum_b, sum_c = np.float32(0), np.float32(0)
            for i in range(inner):
                after = state[k - start + 1, s, i]
                total[i] += after * c_s
                sum_c += grad_total[i] * after
                grad = grad_state[s, i] + grad_total[i] * c_s
                sum_b += grad * step[k, i] * x[k, i]
                grad_drive[i] += grad * b_s
                grad = grad * decay[k - start, s, i]
                grad_state[s, i] = grad
                grad = grad * state[k - start, s, i]
                grads.step[k, i] += grad * a[s, i]
                grads.a[s, i] += grad * step[k, i]
            grads.b[k, s] = sum_b
            grads.c[k, s] = sum_c
        for i in range(inner):
            grads.z[k, i] *= total[i]
            grads.x[k, i] = grad_total[i] * d[i] + grad_drive[i] * step[k, i]
            grads.step[k, i] += grad_drive[i] * x[k, i]


@compiled
def _convolve_event(taps: Taps, index: Array, first: int, k: int, out: Array) -> None:
    """Write the convolution at event k of a sequence that starts at event `first`, before the SiLU."""
    width, inner = taps.weight.shape
    for i in range(inner):
        out[i] = taps.bias[i]
    for back in range(min(width, k - first + 1)):
        row = index[k - back]
        for i in range(inner):
            out[i] += taps.weight[width - 1 - back, i] * taps.table[row, i]


@compiled
def _convolve_forward(taps: Taps, index: Array, starts: Array, out: Array) -> None:
    for sequence in range(len(starts) - 1):
        for k in range(starts[sequence], starts[sequence + 1]):
            _convolve_event(taps, index, starts[sequence], k, out[k])
            for i in range(out.shape[1]):
                out[k, i] *= sigmoid(out[k, i])


@compiled
def _convolve_backward(taps: Taps, index: Array, starts: Array, grad_out: Array, grads: Taps) -> None:
    width, inner = taps.weight.shape
    grad = np.empty(inner, np.float32)
    for sequence in range(len(starts) - 1):
        first = starts[sequence]
        for k in range(first, starts[sequence + 1]):
            _convolve_event(taps, index, first, k, grad)
            for i in range(inner):
                gate = sigmoid(grad[i])
                grad[i] = grad_out[k, i] * gate * (ONE + grad[i] * (ONE - gate))
                grads.bias[i] += grad[i]
            for back in range(min(width, k - first + 1)):
                row, tap = index[k - back], width - 1 - back
                for i in range(inner):
                    grads.weight[tap, i] += grad[i] * taps.table[row, i]
                    grads.table[row, i] += grad[i] * taps.weight[tap, i]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, starts: Tensor, *tensors: Tensor) -> Tensor:  # noqa: ANN401 - torch's protocol
        ctx.save_for_backward(starts, *tensors)
        y_NI = torch.empty_like(tensors[0])
        _scan_forward(ScanArrays(*_arrays(tensors)), starts.numpy(), y_NI.numpy())
        return y_NI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NI: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's protocol
        starts, *tensors = ctx.saved_tensors
        # The gradients of A and D are sums over all events; the others are overwritten.
        grads = [
            torch.zeros_like(tensor) if place in SUMMED else torch.empty_like(tensor)
            for place, tensor in enumerate(tensors)
        ]
        inputs = ScanArrays(*_arrays(tensors))
        _scan_backward(inputs, starts.numpy(), grad_NI.contiguous().numpy(), ScanArrays(*_arrays(grads)))
        return None, *grads


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, starts: Tensor, index: Tensor, *tensors: Tensor) -> Tensor:  # noqa: ANN401 - torch's protocol
        ctx.save_for_backward(starts, index, *tensors)
        out_NI = tensors[0].new_empty(len(index), tensors[0].shape[1])
        _convolve_forward(Taps(*_arrays(tensors)), index.numpy(), starts.numpy(), out_NI.numpy())
        return out_NI

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NI: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's protocol
        starts, index, *tensors = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in tensors]
        taps, grad_out = Taps(*_arrays(tensors)), grad_NI.contiguous().numpy()
        _convolve_backward(taps, index.numpy(), starts.numpy(), grad_out, Taps(*_arrays(grads)))
        return None, None, *grads


def _arrays(tensors: Sequence[Tensor]) -> list[Array]:
    return [tensor.detach().numpy() for tensor in tensors]


scan = cast("Callable[..., Tensor]", _Scan.apply)
"""y (N, I) of starts (B + 1,) and the fields of `ScanArrays`, contiguous; see `reference_scan`."""
convolution = cast("Callable[..., Tensor]", _Convolution.apply)
"""SiLU(conv) (N, I) of starts (B + 1,), index (N,) and the fields of `Taps`, contiguous."""
