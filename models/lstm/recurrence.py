"""The forward and backward passes of stacked LSTM layers over packed events.

Events are packed: first those of the first time step of all sequences, then those of the second, and so on. Sequences are sorted
by descending length, so a step is a block of rows, and the previous events of these rows are the first rows of the previous block.
The input of the first layer has one of two forms. If events share inputs, the inputs are already projected: the sums start from rows
of a table that events index. Otherwise each event has its own inputs, and the first layer multiplies them as the other layers
multiply the states of the layer below.

Letters: N events, T steps, B sequences, J layers, H width of the state, I width of the inputs, R rows of the table,
P panels, W width of a panel, G width of four gates in whole panels, D width of the state or of the inputs in whole panels.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compilation import compiled
from models.lstm.cell import Dropout, activate, add, add_kept, differentiate, read_state, write_kept
from models.lstm.numbers import factor, get, numbers_in, put, put_beside, variant_for
from models.lstm.product import PANEL, TILE_ROWS, multiply, multiply_tile

Array = NDArray[Any]

EVENTS_AT_ONCE = 128
"""Events per product for the gradient of weights: as many as fit into the first-level cache with a panel and a few columns."""


class Steps(NamedTuple):
    """The layout of the events."""

    counts: Array
    """(T + 1,): number of sequences that have a step, descending; the last is 0."""
    starts: Array
    """(T,): the first event of a step."""
    places: Array
    """(T,): the first row of a step in gates and cells: `starts`, or two alternating blocks if no gradient is needed."""
    row_of_event: Array
    """(N,): the row of the table that an event reads."""


class Panels(NamedTuple):
    """Packed weights (J, P, K, W), or pairs of them (J, P, K / 2, W) in bf16."""

    recurrent: Array
    """Weights from the previous state to the sums."""
    between: Array
    """Weights from the layer below to the sums; those of the first layer are not used."""
    inputs: Array
    """(P, K, W): weights of the first layer from the inputs to the sums; not used with a table."""


class States(NamedTuple):
    """Arrays that the forward pass writes and the backward pass reads."""

    gates: Array
    """(J, rows, G), at the places of the steps."""
    cell: Array
    """(J, rows, H), at the places of the steps."""
    cell_tangent: Array
    """(J, rows, H), at the places of the steps."""
    hidden: Array
    """(J, N, H); in bf16, H is rounded up to an even number, so that rows consist of pairs."""
    passed: Array
    """(J, N, H), with H as in `hidden`: the input of the next layer, which is the hidden state after dropout."""
    inputs: Array
    """(N, I): the inputs of the first layer; no rows with a table."""


class Gradients(NamedTuple):
    """Arrays that the backward pass writes."""

    table: Array
    """(R, 4 H)."""
    inputs: Array
    """(N, D): gradients of the first layer's inputs; no rows with a table."""
    bias: Array
    """(J, 4 H); the gradient of the first layer is in the table, if there is one."""
    recurrent: Array
    """(J, 4 H, D)."""
    between: Array
    """(J, 4 H, D); the part of the first layer is not used."""
    projection: Array
    """(1, 4 H, D): gradient of the first layer's weights of the inputs."""


class Waiting(NamedTuple):
    """Events of a layer whose contribution to the gradient of weights is still to be added: the factors of one product."""

    filled: Array
    """(1,): the number of these events."""
    sums: Array
    """(events, S): gradients of the sums; S is slightly more than 4 H, so that a column does not map to one part of the cache only.
    With bf16 factors (1, S), because each row is rounded immediately."""
    rows: Array
    """(events, S): the same as the left factor of products with weights: `sums` itself, or its numbers in bf16."""
    turned: Array
    """(events, S): the same as the transposed left factor of the weights' gradients: `sums` itself, or pairs of events
    (events / 2, S)."""
    before: Array
    """(P, events, W): the previous states, in panels; in bf16 pairs of events (P, events / 2, W), as in the fields below."""
    below: Array
    """(P, events, W): the outputs of the layer below, in panels."""
    inputs: Array
    """(P, events, W): the inputs of the first layer, in panels."""


@compiled
def forward(  # noqa: PLR0917 - a kernel's buffers
    steps: Steps, table: Array, bias: Array, panels: Panels, states: States, dropout: Dropout, finals: Array
) -> None:
    """Run the layers over all events; write the states, and the top layer's last hidden state of each sequence to finals (B, H)."""
    layers = bias.shape[0]
    for layer in range(layers):
        for step in range(len(steps.places)):
            _sums(steps, step, layer, panels, states)
            _cells(steps, step, layer, table, bias, states)
            if layer == layers - 1:
                _read_states(steps, step, states, finals)
            elif dropout.threshold:
                _drop(steps, step, layer, states, dropout)


@compiled
def _sums(steps: Steps, step: int, layer: int, panels: Panels, states: States) -> None:
    """Write the contributions of the previous state and the layer below to the gates of a step."""
    count, place = steps.counts[step], steps.places[step]
    gates, hidden, passed = states.gates, factor(states.hidden), factor(states.passed)
    events, width = hidden.shape[1], hidden.shape[2]
    result_at = (layer * gates.shape[1] + place) * gates.shape[2]
    if step:
        before_at = (layer * events + steps.starts[step - 1]) * width
        multiply(count, hidden, before_at, width, panels.recurrent[layer], gates, result_at, False)
    else:
        gates[layer, place : place + count] = 0
    if layer:
        below_at = ((layer - 1) * events + steps.starts[step]) * width
        multiply(count, passed, below_at, width, panels.between[layer], gates, result_at, True)
    elif len(states.inputs):
        read_at, read = steps.starts[step] * states.inputs.shape[1], states.inputs.shape[1]
        multiply(count, states.inputs, read_at, read, panels.inputs, gates, result_at, True)


@compiled
def _cells(  # noqa: PLR0917 - a kernel's buffers
    steps: Steps, step: int, layer: int, table: Array, bias: Array, states: States
) -> None:
    """Turn the sums of a step into gates, and compute the states."""
    place, start = steps.places[step], steps.starts[step]
    zero = np.zeros_like(states.cell[0, 0])
    for row in range(steps.counts[step]):
        here = place + row
        before = states.cell[layer, steps.places[step - 1] + row] if step else zero
        activate(
            states.gates[layer, here],
            bias[layer] if layer or len(states.inputs) else table[steps.row_of_event[start + row]],
            before,
            states.cell[layer, here],
            states.cell_tangent[layer, here],
            states.hidden[layer, start + row],
        )


@compiled
def _read_states(steps: Steps, step: int, states: States, finals: Array) -> None:
    """Write the top layer's states of the sequences that end with a step."""
    top = len(states.gates) - 1
    for row in range(steps.counts[step + 1], steps.counts[step]):
        here = steps.places[step] + row
        read_state(states.gates[top, here], states.cell_tangent[top, here], finals[row])


@compiled
def _drop(steps: Steps, step: int, layer: int, states: States, dropout: Dropout) -> None:
    """Write the output of a step to the next layer, after dropout."""
    width = states.cell.shape[2]
    for row in range(steps.counts[step]):
        event = steps.starts[step] + row
        write_kept(states.passed[layer, event], states.hidden[layer, event], event * width, layer, dropout)


def _keep_16(rows: Array, turned: Array, slot: int, sums: Array) -> None:
    for j in range(len(sums)):
        put(rows[slot], j, sums[j])
    for j in range(len(sums)):
        put_beside(turned, slot, j, sums[j])


@variant_for(np.uint16, _keep_16)
def _keep(rows: Array, turned: Array, slot: int, sums: Array) -> None:
    """Write sums as factors; nothing to do unless factors are in bf16."""


@compiled
def backward(  # noqa: PLR0917 - a kernel's buffers
    steps: Steps,
    panels: Panels,
    states: States,
    dropout: Dropout,
    grad_finals: Array,
    waiting: Waiting,
    gradients: Gradients,
) -> None:
    """Add all gradients, layer by layer from the top, each from the last step to the first; `panels` hold the weights for this pass."""
    layers, events, width = states.cell.shape
    sequences, wide = len(grad_finals), panels.recurrent.shape[1] * PANEL
    grad_passed = np.empty((events, wide), grad_finals.dtype)
    for layer in range(layers - 1, -1, -1):
        grad_hidden = np.zeros((sequences, wide), grad_finals.dtype)
        grad_cell = np.zeros((sequences, width), grad_finals.dtype)
        for step in range(len(steps.places) - 1, -1, -1):
            if layer == layers - 1:
                _read_finals(steps, step, grad_finals, grad_hidden)
            else:
                _read_passed(steps, step, layer, grad_passed, dropout, grad_hidden[:, :width])
            if waiting.filled[0] + steps.counts[step] > len(waiting.rows):
                _add_products(layer, waiting, gradients)
            _differentiate(steps, step, layer, states, grad_hidden, grad_cell, waiting, gradients)
            _go_back(steps, step, layer, panels, waiting, grad_hidden, grad_passed, gradients.inputs)
            _wait(steps, step, layer, states, waiting)
        _add_products(layer, waiting, gradients)


@compiled
def _read_finals(steps: Steps, step: int, grad_finals: Array, grad_hidden: Array) -> None:
    """Add the gradients of the final states of the sequences that end with a step."""
    for row in range(steps.counts[step + 1], steps.counts[step]):
        add(grad_hidden[row], grad_finals[row])


@compiled
def _read_passed(  # noqa: PLR0917 - a kernel's buffers
    steps: Steps, step: int, layer: int, grad_passed: Array, dropout: Dropout, grad_hidden: Array
) -> None:
    """Add the gradients of a layer's output to the next layer."""
    width = grad_hidden.shape[1]
    for row in range(steps.counts[step]):
        event = steps.starts[step] + row
        if dropout.threshold:
            add_kept(grad_hidden[row], grad_passed[event], event * width, layer, dropout)
        else:
            add(grad_hidden[row], grad_passed[event, :width])


@compiled
def _differentiate(  # noqa: PLR0917 - a kernel's buffers
    steps: Steps,
    step: int,
    layer: int,
    states: States,
    grad_hidden: Array,
    grad_cell: Array,
    waiting: Waiting,
    gradients: Gradients,
) -> None:
    """Append the gradients of the sums of a step to the waiting ones, and add them to the gradients of table and biases."""
    zero = np.zeros_like(states.cell[0, 0])
    width = 4 * len(zero)
    for row in range(steps.counts[step]):
        here, slot = steps.places[step] + row, waiting.filled[0] + row
        before = states.cell[layer, steps.places[step - 1] + row] if step else zero
        sums = waiting.sums[slot % len(waiting.sums)][:width]
        differentiate(
            states.gates[layer, here],
            before,
            states.cell_tangent[layer, here],
            grad_hidden[row],
            grad_cell[row],
            sums,
        )
        if layer or len(states.inputs):
            add(gradients.bias[layer], sums)
        else:
            add(gradients.table[steps.row_of_event[here]], sums)
        _keep(waiting.rows, waiting.turned, slot, sums)


@compiled
def _go_back(  # noqa: PLR0917 - a kernel's buffers
    steps: Steps,
    step: int,
    layer: int,
    panels: Panels,
    waiting: Waiting,
    grad_hidden: Array,
    grad_passed: Array,
    grad_inputs: Array,
) -> None:
    """Write the gradients of the states before a step, and of the layer's input from the layer below, or of the inputs."""
    count, rows = steps.counts[step], factor(waiting.rows)
    stride = rows.shape[1]
    rows_at = waiting.filled[0] * stride
    if step:
        multiply(count, rows, rows_at, stride, panels.recurrent[layer], grad_hidden, 0, False)
    if layer:
        result_at = steps.starts[step] * grad_passed.shape[1]
        multiply(count, rows, rows_at, stride, panels.between[layer], grad_passed, result_at, False)
    elif len(grad_inputs):
        result_at = steps.starts[step] * grad_inputs.shape[1]
        multiply(count, rows, rows_at, stride, panels.inputs, grad_inputs, result_at, False)


@compiled
def _wait(steps: Steps, step: int, layer: int, states: States, waiting: Waiting) -> None:
    """Append the inputs of the sums of a step to those that wait for the gradients of the weights."""
    zero = np.zeros_like(states.hidden[0, 0])
    for row in range(steps.counts[step]):
        here, slot = steps.places[step] + row, waiting.filled[0] + row
        _to_panels(states.hidden[layer, steps.places[step - 1] + row] if step else zero, slot, waiting.before)
        if layer:
            _to_panels(states.passed[layer - 1, here], slot, waiting.below)
        elif len(states.inputs):
            _to_panels(states.inputs[here], slot, waiting.inputs)
    waiting.filled[0] += steps.counts[step]


@compiled
def _to_panels(row: Array, slot: int, panels: Array) -> None:
    """Write a row to its place in panels (P, events, W)."""
    whole = len(row) // PANEL
    for panel in range(whole):
        for j in range(PANEL):
            put_beside(panels[panel], slot, j, get(row, panel * PANEL + j))
    for j in range(len(row) - whole * PANEL):
        put_beside(panels[whole], slot, j, get(row, whole * PANEL + j))


@compiled
def _add_products(layer: int, waiting: Waiting, gradients: Gradients) -> None:
    """Add the contributions of the waiting events to the gradients of the weights."""
    events = waiting.filled[0]
    for first in range(0, events, EVENTS_AT_ONCE):
        count = min(EVENTS_AT_ONCE, events - first)
        _add_product(first, count, waiting.turned, waiting.before, gradients.recurrent, layer)
        if layer:
            _add_product(first, count, waiting.turned, waiting.below, gradients.between, layer)
        elif len(gradients.inputs):
            _add_product(first, count, waiting.turned, waiting.inputs, gradients.projection, 0)
    waiting.filled[0] = 0


@compiled
def _add_product(first: int, events: int, sums: Array, panels: Array, result: Array, layer: int) -> None:  # noqa: PLR0917
    """Add the product of the transposed sums of `events` events and panels to a layer's gradient (4 H, D)."""
    rows, wide = result.shape[1], result.shape[2]
    stride, depth, held = sums.shape[1], panels.shape[1], numbers_in(sums)
    start, count = first // held, -(-events // held)
    for panel in range(panels.shape[0]):
        for row in range(0, rows, TILE_ROWS):
            multiply_tile(
                min(TILE_ROWS, rows - row), sums, start * stride + row, 1, stride,
                panels, (panel * depth + start) * PANEL, count,
                result, (layer * rows + row) * wide + panel * PANEL, wide, True,
            )  # fmt: skip
