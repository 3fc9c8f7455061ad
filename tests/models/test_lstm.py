"""The compiled LSTM against torch's on packed sequences, and against finite differences."""

import gc
import itertools
import os
import subprocess
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit
from scipy import stats
from torch import nn

from models.lstm import choice, workspace
from models.lstm.choice import can_compile, runs_compiled

if not can_compile():
    pytest.skip("the compiled LSTM is not made for this processor", allow_module_level=True)

from models.lstm import function, recurrence
from models.lstm.cell import Dropout, add_kept
from models.lstm.function import last_states
from models.lstm.numbers import rounded
from models.lstm.product import PANEL, multiply, pack, padded

ROOT = Path(__file__).parents[2]
WIDTHS = (1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 48, 63, 64, 65, 100, 127, 128, 129, 130)
SHAPES = {
    "one event": [1],
    "one row": [37],
    "784 events": [784, 3],
    "empty sequences": [9, 4, 4, 1, 0, 0],
    "many rows": sorted(range(60), reverse=True),
    "equal lengths": [5] * 23,
}
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
TOLERANCE_OF_BF16 = 2e-2
"""Rounded states and weights have 8 bits and are off by up to .4 %; errors add up where widths are small."""


def stack(width, depth, input_dim, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    widths = [input_dim, *[width] * depth]
    return nn.ModuleList([nn.LSTM(before, width) for before in widths[:-1]]).to(dtype)


def draw(lengths, rows, input_dim, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(rows, input_dim, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return table, torch.randint(rows, (len(lengths), max(*lengths, 1)), generator=generator)


def packed_states(layers, table, rows, lengths):
    alive = sum(length > 0 for length in lengths)
    states = table.new_zeros(len(lengths), layers[0].hidden_size)
    if not alive:
        return states
    inputs = table[rows[:alive]]
    packed = nn.utils.rnn.pack_padded_sequence(inputs, torch.tensor(lengths[:alive]), batch_first=True)
    for layer in layers:
        packed, (state, _) = layer(packed)
    return torch.cat([state[0], states[alive:]])


def assert_near(ours, theirs, tolerance):
    scale = theirs.abs().max().clamp_min(1e-30)
    assert ((ours - theirs).abs().max() / scale).item() < tolerance


def compare(layers, table, rows, lengths, tolerance=None, **settings):
    """Compare values and all gradients with torch's in float64: inputs projected before, and in the recurrence."""
    sides = []
    for run, stacked, inputs in (
        (packed_states, deepcopy(layers).double(), table.detach().double().requires_grad_()),
        (partial(last_states, dropout=0.0, **settings), layers, table),
        (partial(last_states, dropout=0.0, shared=False, **settings), layers, table),
    ):
        states = run(stacked, inputs, rows, lengths)
        weight = torch.linspace(-1, 2, states.numel(), dtype=states.dtype).view_as(states)
        wanted = [inputs, *stacked.parameters()]
        sides.append([states, *torch.autograd.grad((states * weight).sum(), wanted)])
    for side in sides[1:]:
        for ours, theirs in zip(side, sides[0], strict=True):
            assert_near(ours.double(), theirs, tolerance or TOLERANCE[table.dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("lengths", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_values_and_gradients_are_those_of_a_packed_sequence(depth, lengths, dtype):
    compare(stack(20, depth, 6, dtype), *draw(lengths, 11, 6, dtype), lengths)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_width_may_be_any_number(width, dtype):
    lengths = [11, 7, 7, 7, 4, 2, 1]
    compare(stack(width, 2, 3, dtype), *draw(lengths, 5, 3, dtype), lengths)


@pytest.mark.parametrize("seed", range(12))
def test_random_shapes_agree(seed):
    generator = np.random.default_rng(seed)
    width, depth, input_dim, sequences, rows = generator.integers(1, [131, 4, 40, 90, 60])
    lengths = sorted(generator.integers(0, 40, sequences).tolist(), reverse=True)
    dtype = list(TOLERANCE)[seed % 2]
    compare(
        stack(int(width), int(depth), int(input_dim), dtype, seed),
        *draw(lengths, int(rows), int(input_dim), dtype, seed),
        lengths,
    )


@pytest.mark.parametrize("lengths", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("depth", [1, 3])
def test_with_products_of_bf16_values_and_gradients_are_near(depth, lengths):
    layers, drawn = stack(20, depth, 6, torch.float32), draw(lengths, 11, 6, torch.float32)
    compare(layers, *drawn, lengths, TOLERANCE_OF_BF16, rounds=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_with_products_of_bf16_the_width_may_be_any_number(width):
    lengths = [11, 7, 7, 7, 4, 2, 1]
    layers, drawn = stack(width, 2, 3, torch.float32), draw(lengths, 5, 3, torch.float32)
    compare(layers, *drawn, lengths, TOLERANCE_OF_BF16, rounds=True)


@pytest.mark.parametrize("shared", [True, False])
def test_with_products_of_bf16_only_states_and_their_weights_are_rounded(shared):
    lengths = [7, 5, 2]
    layers, (table, rows) = stack(6, 2, 3, torch.float32), draw(lengths, 9, 3, torch.float32)
    weights = [layer.all_weights[0] for layer in layers]
    states = [torch.zeros(3, 6) for _ in layers]
    cells, finals = [torch.zeros(3, 6) for _ in layers], torch.zeros(3, 6)
    with torch.no_grad():
        for step in range(7):
            alive = sum(length > step for length in lengths)
            inputs = table[rows[:alive, step]]
            for depth, (between, recurrent, *biases) in enumerate(weights):
                entering = between.bfloat16().float() if depth else between
                sums = inputs @ entering.T + states[depth][:alive].bfloat16().float() @ recurrent.bfloat16().float().T
                i, f, g, o = (sums + sum(biases)).chunk(4, dim=1)
                cells[depth][:alive] = f.sigmoid() * cells[depth][:alive] + i.sigmoid() * g.tanh()
                states[depth][:alive] = o.sigmoid() * cells[depth][:alive].tanh()
                inputs = states[depth][:alive].bfloat16().float()
            finals[:alive] = states[-1][:alive]
        ours = last_states(layers, table, rows, lengths, 0.0, shared=shared, rounds=True)
        assert_near(ours, finals, 2e-5)
        in_fp32 = last_states(layers, table, rows, lengths, 0.0, shared=shared)
        assert (in_fp32 - finals).abs().max() > 1e-4


def test_with_products_of_bf16_every_code_is_told_from_its_neighbours():
    times = (torch.arange(784.0) / 784)[:, None]
    layers = stack(16, 2, 1, torch.float32)
    with torch.no_grad():
        states = last_states(layers, times, torch.arange(784)[:, None], [1] * 784, 0.0, rounds=True)
    assert len(states.unique(dim=0)) == 784


def test_no_event_at_all_gives_initial_states():
    states = last_states(stack(4, 2, 3), *draw([0, 0], 5, 3, torch.float64), [0, 0], 0.0)
    assert torch.equal(states, torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_are_finite_differences(dropout):
    lengths = [4, 3, 1]
    layers, (table, rows) = stack(3, 2, 2), draw(lengths, 4, 2, torch.float64)
    names = [name for name, _ in layers.named_parameters()]

    def run(table, *weights):
        torch.manual_seed(1)  # one mask for all
        own = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(
            _Stack(layers), {f"layers.{name}": own[name] for name in names}, (table, rows, lengths, dropout)
        )

    assert torch.autograd.gradcheck(run, (table, *layers.parameters()))


class _Stack(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, table, rows, lengths, dropout):
        return last_states(self.layers, table, rows, lengths, dropout)


def test_a_graph_can_be_walked_twice():
    lengths = [6, 5, 2]
    layers, (table, rows) = stack(5, 2, 3), draw([6, 5, 2], 4, 3, torch.float64)
    loss = last_states(layers, table, rows, lengths, 0.5).square().sum()
    first = torch.autograd.grad(loss, list(layers.parameters()), retain_graph=True)
    again = torch.autograd.grad(loss, list(layers.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("rounds", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_without_gradients_the_states_are_the_same_bit_for_bit(dropout, rounds):
    lengths = [30, 12, 12, 3]
    layers, (table, rows) = stack(9, 3, 4, torch.float32), draw(lengths, 8, 4, torch.float32)
    states = []
    for enabled in (True, False):
        torch.manual_seed(3)
        with torch.set_grad_enabled(enabled):
            states.append(last_states(layers, table, rows, lengths, dropout, rounds=rounds))
    assert states[0].requires_grad
    assert torch.equal(*states)


def test_a_frozen_table_gets_no_gradient_and_leaves_those_of_the_weights():
    lengths = [6, 5, 2]
    layers, (table, rows) = stack(5, 2, 3), draw(lengths, 4, 3, torch.float64)
    gradients = [
        torch.autograd.grad(last_states(layers, values, rows, lengths, 0.0).sum(), list(layers.parameters()))
        for values in (table, table.detach())
    ]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("rounds", [False, True])
def test_an_event_has_the_same_bits_in_every_company(rounds):
    lengths = [40, 38, 9, 9, 3, 1]
    layers, (table, rows) = stack(24, 2, 5, torch.float32), draw(lengths, 30, 5, torch.float32)
    together = last_states(layers, table, rows, lengths, 0.0, rounds=rounds)
    for row, length in enumerate(lengths):
        alone = last_states(layers, table, rows[row : row + 1, :length], [length], 0.0, rounds=rounds)
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("rounds", [False, True])
def test_not_a_number_stays_visible(rounds):
    lengths = [5, 5]
    layers, (table, _) = stack(4, 2, 3, torch.float32), draw(lengths, 4, 3, torch.float32)
    rows = torch.tensor([[0, 1, 3, 1, 0], [0, 1, 2, 1, 0]])
    with torch.no_grad():
        table[3] = float("nan")
    states = last_states(layers, table, rows, lengths, 0.0, rounds=rounds)
    assert states[0].isnan().all()
    assert states[1].isfinite().all()


@pytest.mark.parametrize("events_at_once", [1, 7, 10_000])
def test_how_many_events_make_one_product_changes_no_more_than_the_rounding(events_at_once, monkeypatch):
    monkeypatch.setattr(function, "EVENTS_AT_ONCE", events_at_once)
    lengths = [50, 30, 30, 8]
    compare(stack(10, 2, 3), *draw(lengths, 6, 3, torch.float64), lengths)
    layers, drawn = stack(10, 2, 3, torch.float32), draw(lengths, 6, 3, torch.float32)
    compare(layers, *drawn, lengths, TOLERANCE_OF_BF16, rounds=True)


# ------------------------------------------------------------------------------------------------------------ dropout


@njit
def _masks(numbers, rows, width, dropout, layer):
    ones = np.ones_like(numbers[0])
    for row in range(rows):
        add_kept(numbers[row], ones, row * width, layer, dropout)


def masks(rate, keys, rows=4000, width=128, layer=0):
    scale = np.float32(1 / (1 - rate))
    drawn = Dropout(np.array(keys, np.uint32), np.uint32(round(rate * 2**32)), scale)
    numbers = np.zeros((rows, width), np.float32)
    _masks(numbers, rows, width, drawn, layer)
    return numbers


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.9])
def test_a_mask_drops_at_its_rate_and_keeps_the_mean(rate):
    numbers = masks(rate, [[123, 456]])
    assert set(np.unique(numbers)) == {0, np.float32(1 / (1 - rate))}
    # Of n independent draws the share that is dropped has the standard deviation sqrt(rate (1 - rate) / n).
    for axis, count in ((None, numbers.size), (0, numbers.shape[0])):
        share = (numbers == 0).mean(axis=axis)
        assert np.abs(share - rate).max() < 5 * np.sqrt(rate * (1 - rate) / count)


def test_masks_of_neighbours_layers_and_keys_are_independent():
    rate, keys = 0.3, [[1, 2], [1, 3]]
    mask = masks(rate, keys) - 1
    others = {
        "the next column": (mask[:, :-1], mask[:, 1:]),
        "the next event": (mask[:-1], mask[1:]),
        "the next but one": (mask[:-2], mask[2:]),
        "another layer": (mask, masks(rate, keys, layer=1) - 1),
        "another first key": (mask, masks(rate, [[2, 2]]) - 1),
    }
    # Centred products of independent draws: their mean has the standard deviation variance / sqrt(n).
    variance = rate / (1 - rate)
    for name, (one, other) in others.items():
        assert abs((one * other).mean()) < 5 * variance / np.sqrt(one.size), name


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_numbers_dropped_of_an_event_are_binomial(rate):
    rows, width, chances = 5000, 128, []
    expected = rows * stats.binom.pmf(np.arange(width + 1), width, rate)
    common = expected > 5
    for key in range(20):
        keys = np.random.default_rng(key).integers(2**32, size=(1, 2))
        counts = np.bincount((masks(rate, keys, rows, width) == 0).sum(axis=1), minlength=width + 1)
        seen, wanted = ([*values[common], values[~common].sum()] for values in (counts, expected))
        chances.append(stats.chisquare(seen, wanted).pvalue)
    # Of true binomials the p-values are uniform.
    assert stats.kstest(chances, "uniform").pvalue > 0.01


def test_with_products_of_bf16_dropout_has_the_same_mask():
    lengths = [30, 12, 3]
    layers, (table, rows) = stack(16, 3, 4, torch.float32), draw(lengths, 8, 4, torch.float32)
    sides = []
    for rounds in (False, True):
        torch.manual_seed(5)
        states = last_states(layers, table, rows, lengths, 0.5, rounds=rounds)
        sides.append([states, *torch.autograd.grad(states.sum(), list(layers.parameters()))])
    for one, other in zip(*sides, strict=True):
        assert_near(other, one, 2 * TOLERANCE_OF_BF16)


def test_dropout_follows_the_seed_and_nothing_else():
    lengths = [30, 12, 3]
    layers, (table, rows) = stack(16, 3, 4), draw(lengths, 8, 4, torch.float64)

    def run(seed, rate=0.4):
        torch.manual_seed(seed)
        return last_states(layers, table, rows, lengths, rate)

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert not torch.equal(run(0), run(0, rate=0.0))


def test_one_layer_drops_nothing_and_draws_nothing():
    lengths = [9, 2]
    layers, (table, rows) = stack(6, 1, 4), draw(lengths, 8, 4, torch.float64)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    assert torch.equal(last_states(layers, table, rows, lengths, 0.7), last_states(layers, table, rows, lengths, 0.0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_on_average_dropout_gives_what_torch_gives():
    lengths, rate, draws = [12] * 4, 0.4, 3000
    layers, (table, rows) = stack(6, 2, 3, torch.float32), draw([12] * 4, 8, 3, torch.float32)
    inputs = table[rows].transpose(0, 1)

    def in_torch():
        return layers[1](nn.functional.dropout(layers[0](inputs)[0], rate))[1][0][0]

    with torch.no_grad():
        ours = torch.stack([last_states(layers, table, rows, lengths, rate) for _ in range(draws)])
        theirs = torch.stack([in_torch() for _ in range(draws)])
    error = (ours.var(0) / draws + theirs.var(0) / draws).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() / error).max() < 5
    # Standard deviations of nearly normal numbers have the relative error sqrt(1 / 2n) each.
    assert ((ours.std(0) / theirs.std(0)) - 1).abs().max() < 8 * (1 / draws) ** 0.5


# ------------------------------------------------------------------------------------------------- product and memory


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 5, 6, 7, 13, 97, 200])
def test_a_product_is_that_of_numpy(rows, dtype):
    generator = np.random.default_rng(0)
    for depth, width in itertools.product((1, 3, 64), (1, 15, 16, 33)):
        left, right = generator.standard_normal((rows, depth)), generator.standard_normal((depth, width))
        panels = np.empty((padded(width) // PANEL, depth, PANEL), dtype)
        pack(right.astype(dtype).ravel(), width, 1, depth, width, panels)
        result = np.ones((rows, padded(width)), dtype)
        for added in (False, True):
            multiply(rows, left.astype(dtype), 0, depth, panels, result, 0, added)
            expected = (1 + added) * (left @ right)
            np.testing.assert_allclose(result[:, :width], expected, atol=1e-4 if dtype == np.float32 else 1e-12)
        assert (result[:, width:] == 0).all()


@pytest.mark.parametrize("rows", [1, 5, 13, 97])
def test_a_product_of_pairs_is_that_of_rounded_numbers(rows):
    generator = torch.Generator().manual_seed(0)
    for depth, width in itertools.product((1, 2, 63, 64), (1, 15, 33)):
        left, right = (torch.randn(shape, generator=generator) for shape in ((rows, depth), (depth, width)))
        pairs = -(-depth // 2)
        factor = nn.functional.pad(left, (0, 2 * pairs - depth)).bfloat16().view(torch.uint16).numpy().view(np.uint32)
        panels = np.full((padded(width) // PANEL, pairs, PANEL), 0xFFFFFFFF, np.uint32)
        pack(right.numpy().ravel(), width, 1, depth, width, panels)
        result = np.ones((rows, padded(width)), np.float32)
        multiply(rows, factor, 0, pairs, panels, result, 0, False)
        expected = left.bfloat16().double() @ right.bfloat16().double()
        np.testing.assert_allclose(result[:, :width], expected, atol=1e-4)
        assert (result[:, width:] == 0).all()


@njit
def _rounded(numbers, bits):
    for place in range(len(numbers)):
        bits[place] = rounded(numbers[place])


def test_numbers_are_rounded_to_bf16_as_torch_rounds_them():
    bits = np.random.default_rng(0).integers(2**32, size=200_000, dtype=np.uint64).astype(np.uint32)
    halves = (np.arange(2000, dtype=np.uint32) << 16) | 0x8000
    numbers = np.concatenate([bits, halves, [0, 1 << 31, 0x7F800000, 0xFF800000]]).astype(np.uint32).view(np.float32)
    numbers = numbers[~np.isnan(numbers)]
    ours = np.empty(len(numbers), np.uint32)
    _rounded(numbers, ours)
    assert (ours == torch.from_numpy(numbers).bfloat16().view(torch.uint16).numpy()).all()
    _rounded(np.full(1, np.nan, np.float32), ours)
    assert ours[:1].astype(np.uint16).view(np.uint16)[0] & 0x7FFF > 0x7F80


def test_memory_is_used_again_once_the_graph_is_gone():
    workspace.release()
    lengths = [40, 30]
    layers, (table, rows) = stack(16, 2, 4), draw(lengths, 8, 4, torch.float64)
    losses = [last_states(layers, table, rows, lengths, 0.0).sum() for _ in range(2)]
    gc.collect()
    assert not workspace._free
    losses[0].backward()
    assert len(workspace._free) == 1
    block = workspace._free[0]
    last_states(layers, table, rows, lengths, 0.0).sum().backward()
    assert workspace._free[0] is block
    losses[1].backward()
    assert len(workspace._free) == 2
    workspace.release()


# -------------------------------------------------------------------------------------------------------------- choice


def test_it_runs_on_a_processor_in_full_precision_and_in_bf16_where_there_are_instructions(monkeypatch):
    assert runs_compiled(torch.zeros(1))
    assert runs_compiled(torch.zeros(1, dtype=torch.float64))
    assert not runs_compiled(torch.zeros(1, dtype=torch.bfloat16))
    assert not runs_compiled(torch.zeros(1, device="meta"))
    for has_instructions in (False, True):
        monkeypatch.setattr(choice, "can_compile", lambda *, rounds, has=has_instructions: has or not rounds)
        assert runs_compiled(torch.zeros(1))
        with torch.autocast("cpu", torch.bfloat16):
            assert runs_compiled(torch.zeros(1)) == has_instructions
            assert not runs_compiled(torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("features", "in_fp32", "in_bf16"),
    [
        ({}, False, False),
        ({"avx2": True}, False, False),
        ({"avx2": True, "fma": False}, False, False),
        ({"avx512bf16": True}, False, False),
        ({"avx2": True, "fma": True}, True, False),
        ({"avx2": True, "fma": True, "avx512bf16": True}, True, True),
        ({"avx2": True, "fma": True, "avx512bf16": True, "amx-bf16": True}, True, False),
    ],
)
def test_a_processor_without_its_instructions_runs_torch(features, in_fp32, in_bf16, monkeypatch):
    from llvmlite import binding  # noqa: PLC0415

    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
    assert choice.can_compile.__wrapped__() == in_fp32
    assert choice.can_compile.__wrapped__(rounds=True) == in_bf16


def test_without_numba_torch_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not choice.can_compile.__wrapped__()


def test_numba_that_cannot_be_imported_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(ImportError, match="llvmlite"):
        choice.can_compile.__wrapped__()


def test_steps_hold_every_event_once(monkeypatch):
    lengths = [5, 3, 3, 1]
    rows = torch.arange(20).view(4, 5)
    seen = []
    layers, table = stack(2, 1, 1), torch.zeros(20, 1, dtype=torch.float64)
    original = recurrence.forward.py_func
    assert original.__name__ == "forward"
    monkeypatch.setattr(
        function, "forward", lambda steps, *rest: seen.append(steps) or recurrence.forward(steps, *rest)
    )
    last_states(layers, table, rows, lengths, 0.0)
    (steps,) = seen
    assert steps.counts.tolist() == [4, 3, 3, 1, 1, 0]
    assert steps.starts.tolist() == [0, 4, 7, 10, 11]
    assert steps.row_of_event.tolist() == [0, 5, 10, 15, 1, 6, 11, 2, 7, 12, 3, 4]


WIDE = """
import sys
import numpy as np
from llvmlite import binding

features = binding.get_host_cpu_features()


class Features(dict):
    flatten = lambda self: features.flatten()  # what numba compiles for


binding.get_host_cpu_features = lambda: Features(features, avx512f=sys.argv[1] == "wide")

from models.lstm.product import PANEL, multiply, pack, padded

generator = np.random.default_rng(0)
left, right = (generator.standard_normal(shape).astype(np.float32) for shape in ((29, 40), (40, 50)))
panels = np.empty((padded(50) // PANEL, 40, PANEL), np.float32)
pack(right.ravel(), 50, 1, 40, 50, panels)
result = np.zeros((29, padded(50)), np.float32)
multiply(29, left, 0, 40, panels, result, 0, False)
pairs = np.empty((padded(50) // PANEL, 20, PANEL), np.uint32)
pack(right.ravel(), 50, 1, 40, 50, pairs)
left_pairs = (left.view(np.uint32) >> 16).astype(np.uint16).view(np.uint32)
of_pairs = np.zeros((29, padded(50)), np.float32)
multiply(29, left_pairs, 0, 20, pairs, of_pairs, 0, False)
print(PANEL, result[:, :50].tobytes().hex(), of_pairs[:, :50].tobytes().hex())
"""


@pytest.mark.slow
def test_the_width_of_the_registers_changes_no_bit(tmp_path):
    said = [
        subprocess.run(
            [sys.executable, "-c", WIDE, width],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / width), "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for width in ("wide", "narrow")
    ]  # fmt: skip
    assert [panel for panel, *_ in said] == ["32", "16"]
    assert said[0][1] == said[1][1]
    # Products of pairs have an instruction on some processors, which rounds in its own way.
    one, other = (np.frombuffer(bytes.fromhex(pairs), np.float32) for *_, pairs in said)
    np.testing.assert_allclose(one, other, atol=1e-4)
