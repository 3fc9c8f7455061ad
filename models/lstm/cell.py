"""The elementwise part of an LSTM for one event, forward and backward, and the dropout mask.

Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, gates in torch's order i, f, g, o:
c' = f c + i g, h = o tanh(c'). The mask is the finaliser of MurmurHash3 (Appleby), applied twice, each time with a key.

There are several short loops over few arrays instead of a single loop, because the compiler must prove that arrays do not overlap
before it vectorises, and gives up if there are many.

Letters: J layers, H width of the state.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compilation import ONE, ZERO, compiled, hyperbolic_tangent, sigmoid
from models.lstm.numbers import get, put

Array = NDArray[Any]

MIX_1, MIX_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
SHIFT_1, SHIFT_2 = np.uint32(16), np.uint32(13)


class Dropout(NamedTuple):
    """The dropout masks between layers: functions of the position of a number, so that they need not be stored."""

    keys: Array
    """(J, 2) uint32: two keys for the mask above each layer; the mask above the last layer is not used."""
    threshold: np.uint32
    """A number is dropped if its hash is below this; 0 drops none."""
    scale: np.floating[Any]
    """1 / (1 - rate)."""


@compiled
def add(total: Array, part: Array) -> None:
    """Add an array to the beginning of another one in place."""
    for j in range(part.shape[0]):
        total[j] += part[j]


@compiled
def activate(  # noqa: PLR0917 - a kernel's buffers
    gates: Array, source: Array, cell_before: Array, cell: Array, cell_tangent: Array, hidden: Array
) -> None:
    """Add the source (4 H,) to the sums (4 H,), turn them into gates in place, and write cell, tanh(cell) and hidden state (H,).

    A hidden state in bf16 may be one number longer, which is 0.
    """
    width = cell.shape[0]
    i, f, g, o = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    add(gates, source)
    for j in range(2 * width):
        gates[j] = sigmoid(gates[j])
    for j in range(width):
        g[j] = hyperbolic_tangent(g[j])
    for j in range(width):
        o[j] = sigmoid(o[j])
    for j in range(width):
        cell[j] = f[j] * cell_before[j] + i[j] * g[j]
    for j in range(width):
        tangent = hyperbolic_tangent(cell[j])
        cell_tangent[j] = tangent
        put(hidden, j, o[j] * tangent)
    for j in range(width, hidden.shape[0]):
        put(hidden, j, ZERO)


@compiled
def read_state(gates: Array, cell_tangent: Array, state: Array) -> None:
    """Write the hidden state (H,) of gates (4 H,) and tanh(cell) (H,), unrounded."""
    width = cell_tangent.shape[0]
    o = gates[3 * width : 4 * width]
    for j in range(width):
        state[j] = o[j] * cell_tangent[j]


@compiled
def differentiate(  # noqa: PLR0917 - a kernel's buffers
    gates: Array, cell_before: Array, cell_tangent: Array, grad_hidden: Array, grad_cell: Array, grad_sums: Array
) -> None:
    """Write the gradients of the sums (4 H,), and turn the gradient of the cell (H,) into that of the previous cell."""
    width = cell_before.shape[0]
    i, f, g, o = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    d_i, d_f = grad_sums[:width], grad_sums[width : 2 * width]
    d_g, d_o = grad_sums[2 * width : 3 * width], grad_sums[3 * width : 4 * width]
    for j in range(width):
        grad_cell[j] += grad_hidden[j] * o[j] * (ONE - cell_tangent[j] * cell_tangent[j])
    for j in range(width):
        d_o[j] = grad_hidden[j] * cell_tangent[j] * o[j] * (ONE - o[j])
    for j in range(width):
        d_i[j] = grad_cell[j] * g[j] * i[j] * (ONE - i[j])
    for j in range(width):
        d_g[j] = grad_cell[j] * i[j] * (ONE - g[j] * g[j])
    for j in range(width):
        d_f[j] = grad_cell[j] * cell_before[j] * f[j] * (ONE - f[j])
    for j in range(width):
        grad_cell[j] *= f[j]


@compiled
def _mixed(bits: np.uint32) -> np.uint32:
    bits = np.uint32((bits ^ (bits >> SHIFT_1)) * MIX_1)
    bits = np.uint32((bits ^ (bits >> SHIFT_2)) * MIX_2)
    return np.uint32(bits ^ (bits >> SHIFT_1))


@compiled
def _kept(place: int, first: np.uint32, second: np.uint32, dropout: Dropout) -> Any:  # noqa: ANN401
    """Return the factor of the number at a place: 0 if it is dropped."""
    # numba widens operations on 32-bit numbers to 64 bits: without the casts, a loop does not vectorise.
    bits = _mixed(np.uint32(_mixed(np.uint32(np.uint32(place) ^ first)) ^ second))
    return dropout.scale if bits >= dropout.threshold else ZERO


@compiled
def add_kept(total: Array, part: Array, place: int, layer: int, dropout: Dropout) -> None:
    """Add numbers (H,), masked and scaled by the dropout above a layer; the first number has the place `place`."""
    first, second = dropout.keys[layer]
    for j in range(total.shape[0]):
        total[j] += part[j] * _kept(place + j, first, second, dropout)


@compiled
def write_kept(passed: Array, hidden: Array, place: int, layer: int, dropout: Dropout) -> None:
    """Write a hidden state (H,), masked and scaled by the dropout above a layer, with the same mask as `add_kept`."""
    first, second = dropout.keys[layer]
    for j in range(passed.shape[0]):
        put(passed, j, get(hidden, j) * _kept(place + j, first, second, dropout))
