"""The compiled LSTM as a differentiable function of tensors.

Letters: N events, B sequences, A sequences with events, J layers, H width of the state, I width of the inputs, R rows of
the table, T steps, G width of four gates in whole panels.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.lstm.cell import Dropout
from models.lstm.product import PANEL, pack, padded
from models.lstm.recurrence import EVENTS_AT_ONCE, Gradients, Panels, States, Steps, Waiting, backward, forward
from models.lstm.workspace import take

Array = NDArray[Any]

LARGEST_BITS = 2**32


def last_states(
    layers: Sequence[nn.LSTM],
    rows_RD: Tensor,
    row_of_BL: Tensor,
    lengths: Sequence[int],
    dropout: float,
    *,
    shared: bool = True,
    rounds: bool = False,
) -> Tensor:
    """Return the top layer's state (B, H) after the last event of each sequence.

    Event k of sequence b reads the row `row_of_BL[b, k]` of `rows_RD` (R, I); `lengths` (B,) must descend, and a length of 0 gives
    the initial state, 0. `dropout` is the rate between the layers, drawn from torch's global generator. If rows are `shared` by
    events, each is projected once; otherwise the projection is part of the recurrence, which is faster. With `rounds`, hidden states
    and the weights that multiply them are in bf16, with sums in float32; the inputs of the first layer and their weights are not
    rounded in the forward pass, because neighbouring times would have the same code in bf16.
    """
    weights = [layer.all_weights[0] for layer in layers]
    width, counts = layers[0].hidden_size, _counts(lengths)
    states_BH = rows_RD.new_zeros(len(lengths), width)
    if len(counts) == 1:
        return states_BH
    alive = int(counts[0])
    steps_T1 = torch.arange(len(counts) - 1)[:, None]
    row_of_N = row_of_BL[:alive, : len(counts) - 1].T[steps_T1 < torch.tensor(lengths[:alive])]
    input_4HI: Tensor = weights[0][0]
    recurrent_J = torch.stack([recurrent for _, recurrent, *_ in weights])
    # The first layer has no layer below; its place is filled, so that all stacks have the same indices.
    between_J = torch.stack([recurrent_J[0].detach(), *(between for between, *_ in weights[1:])])
    bias_J = torch.stack([one + other for _, _, one, other in weights])
    masks = _draw_masks(len(layers), dropout, rows_RD.dtype)
    if shared:
        table_R4H = torch.addmm(bias_J[0], rows_RD, input_4HI.T)
        inputs_NI, input_4HI = rows_RD[:0].detach(), input_4HI.detach()
    else:
        table_R4H = rows_RD.new_empty(0, len(input_4HI))
        inputs_NI = nn.functional.embedding(row_of_N, rows_RD)
    finals_AH = lstm(counts, row_of_N, masks, rounds, table_R4H, inputs_NI, input_4HI, recurrent_J, between_J, bias_J)
    return torch.cat([finals_AH, states_BH[alive:]])


def _counts(lengths: Sequence[int]) -> Array:
    """Return (T + 1,): how many of the descending lengths are above 0, 1, ..., the longest."""
    ascending = np.asarray(lengths[::-1])
    return len(lengths) - np.searchsorted(ascending, np.arange(ascending[-1] + 1), side="right")


def _draw_masks(layers: int, rate: float, dtype: torch.dtype) -> Dropout:
    """Draw the keys of the masks from torch's global generator; nothing is drawn without dropout."""
    shape = (layers, 2)
    keys = torch.randint(LARGEST_BITS, shape) if rate and layers > 1 else torch.zeros(shape, dtype=torch.long)
    scale: Any = torch.tensor(1 / (1 - rate), dtype=dtype).numpy()[()]
    return Dropout(keys.numpy().astype(np.uint32), np.uint32(round(rate * LARGEST_BITS)), scale)


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch's protocol
        ctx: Any,  # noqa: ANN401
        counts: Array,
        row_of_N: Tensor,
        dropout: Dropout,
        rounds: bool,
        table_R4H: Tensor,
        inputs_NI: Tensor,
        input_4HI: Tensor,
        recurrent_J: Tensor,
        between_J: Tensor,
        bias_J: Tensor,
    ) -> Tensor:
        keeps = any(ctx.needs_input_grad)
        steps = _steps(counts, row_of_N, keeps)
        events, rows = len(row_of_N), len(row_of_N) if keeps else 2 * int(counts[0])
        memory = take(sum(_sizes(recurrent_J, events, rows, dropout, rounds)), recurrent_J.dtype)
        states = _states(memory, recurrent_J, inputs_NI, events, rows, dropout, rounds)
        finals_AH = recurrent_J.new_empty(int(counts[0]), recurrent_J.shape[2])
        panels = _panels(recurrent_J, between_J, input_4HI, transposed=True, rounds=rounds)
        forward(steps, _array(table_R4H), _array(bias_J), panels, states, dropout, finals_AH.numpy())
        if keeps:
            ctx.save_for_backward(recurrent_J, between_J, inputs_NI, input_4HI, memory)
            ctx.steps, ctx.dropout, ctx.rows, ctx.rounds = steps, dropout, len(table_R4H), rounds
        return finals_AH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_AH: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's protocol
        recurrent_J, between_J, inputs_NI, input_4HI, memory = ctx.saved_tensors
        events = len(ctx.steps.row_of_event)
        states = _states(memory, recurrent_J, inputs_NI, events, events, ctx.dropout, ctx.rounds)
        panels = _panels(recurrent_J, between_J, input_4HI, transposed=False, rounds=ctx.rounds)
        (layers, wide, width), (count, read) = recurrent_J.shape, inputs_NI.shape
        table_R4H, bias_J = (recurrent_J.new_zeros(shape) for shape in ((ctx.rows, wide), (layers, wide)))
        grad_NI = recurrent_J.new_empty(count, padded(read))
        grad_J = [recurrent_J.new_zeros(layers, wide, padded(width)) for _ in range(2)]
        projection = recurrent_J.new_zeros(1, wide, padded(read))
        gradients = Gradients(*(part.numpy() for part in (table_R4H, grad_NI, bias_J, *grad_J, projection)))
        waiting = _waiting(recurrent_J, read, EVENTS_AT_ONCE + len(grad_AH), ctx.rounds)
        backward(ctx.steps, panels, states, ctx.dropout, _array(grad_AH), waiting, gradients)
        first = (table_R4H, grad_NI[:, :read], projection[0, :, :read])
        return None, None, None, None, *first, *(part[..., :width] for part in grad_J), bias_J


lstm = cast("Callable[..., Tensor]", _LSTM.apply)


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().contiguous().numpy()
    return array


def _steps(counts: Array, row_of_N: Tensor, keeps: bool) -> Steps:
    """Return the layout of the steps of `counts` (T + 1,); with `keeps`, the states of all steps are stored, otherwise of two."""
    starts = counts[:-1].cumsum() - counts[:-1]
    places = starts if keeps else np.arange(len(starts)) % 2 * counts[0]
    return Steps(counts, starts, places, row_of_N.numpy())


def _sizes(weights_J: Tensor, events: int, rows: int, dropout: Dropout, rounds: bool) -> list[int]:
    """Return the size of each of the states, in numbers of the weights' type."""
    layers, wide, width = weights_J.shape
    hidden = [layers * events * (-(-width // 2) if rounds else width)] * (2 if dropout.threshold else 1)
    return [layers * rows * padded(wide), layers * rows * width, layers * rows * width, *hidden]


def _states(  # noqa: PLR0917 - the shapes of a batch
    memory: Tensor, weights_J: Tensor, inputs_NI: Tensor, events: int, rows: int, dropout: Dropout, rounds: bool
) -> States:
    """Divide memory into the states of layers with weights (J, 4 H, H); gates and cells have `rows` rows."""
    layers = len(weights_J)
    parts = memory.split(_sizes(weights_J, events, rows, dropout, rounds))
    gates, cell, cell_tangent = (part.view(layers, rows, -1).numpy() for part in parts[:3])
    kept = [part.numpy().view(np.uint16) if rounds else part.numpy() for part in parts[3:]]
    hidden, *passed = (part.reshape(layers, events, -1) for part in kept)
    return States(gates, cell, cell_tangent, hidden, passed[0] if passed else hidden, _array(inputs_NI))


def _panels(recurrent_J: Tensor, between_J: Tensor, input_4HI: Tensor, *, transposed: bool, rounds: bool) -> Panels:
    """Pack the weights for a pass; the weights of the inputs are not rounded in the forward pass."""
    return Panels(
        _packed(recurrent_J, transposed=transposed, rounds=rounds),
        _packed(between_J, transposed=transposed, rounds=rounds),
        _packed(input_4HI[None], transposed=transposed, rounds=rounds and not transposed)[0],
    )


def _packed(weights_J: Tensor, *, transposed: bool, rounds: bool) -> Array:
    """Pack weights (J, 4 H, H or I), or their transposes, as right factors of products."""
    (layers, high, wide), array = weights_J.shape, _array(weights_J)
    depth, width = (wide, high) if transposed else (high, wide)
    row_stride, column_stride = (1, wide) if transposed else (wide, 1)
    panels = _empty(array.dtype, rounds, layers, padded(width) // PANEL, depth, PANEL)
    for layer in range(layers):
        pack(array[layer].reshape(-1), row_stride, column_stride, depth, width, panels[layer])
    return panels


def _waiting(weights_J: Tensor, read: int, events: int, rounds: bool) -> Waiting:
    """Allocate the buffers of `events` events for the gradients of weights (J, 4 H, H) and (4 H, `read`)."""
    _, wide, width = weights_J.shape
    dtype, stride = _array(weights_J).dtype, wide + PANEL
    sums = np.empty((1 if rounds else events, stride), dtype)
    rows, turned = (
        (np.empty((events, stride), np.uint16), _empty(dtype, rounds, events, stride)) if rounds else (sums, sums)
    )
    parts = [_empty(dtype, rounds, padded(size) // PANEL, events, PANEL) for size in (width, width, read)]
    for part in parts:
        part[:] = 0
    return Waiting(np.zeros(1, np.int64), sums, rows, turned, *parts)


def _empty(dtype: np.dtype[Any], rounds: bool, *shape: int) -> Array:
    """Allocate a factor; in bf16, numbers are paired along the last dimension but one."""
    *outer, depth, width = shape
    return np.empty((*outer, -(-depth // 2), width), np.uint32) if rounds else np.empty(shape, dtype)
