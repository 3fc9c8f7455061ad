"""The selective scan against the official reference's numbers, an independent loop and a closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.selective_scan import (
    Drive,
    MambaBlock,
    Ragged,
    ScanInputs,
    causal_convolution,
    reference_scan,
    selective_scan,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "selective_scan.npz"
LENGTHS = torch.tensor([5, 0, 17, 1, 2, 0])
FIELDS = {"x": "u", "pre": "delta", "a": "A", "b": "B", "c": "C", "d": "D", "z": "z", "bias": "delta_bias"}


def draw(events, inner=6, states=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    x, pre, z = (normal(events, inner) for _ in range(3))
    b, c = (normal(events, states) for _ in range(2))
    a = -normal(inner, states).detach().exp()
    return ScanInputs(x, pre, a.requires_grad_(), b, c, normal(inner), z, normal(inner))


def scan_by_hand(inputs, lengths):
    """One event, one channel, one state at a time, in numpy."""
    x, pre, a, b, c, d, z, bias = (field.detach().double().numpy() for field in inputs)
    y, k = np.zeros_like(x), 0
    for length in lengths.tolist():
        state = np.zeros_like(a)
        for _ in range(length):
            for i in range(x.shape[1]):
                step = np.log1p(np.exp(pre[k, i] + bias[i]))
                for s in range(a.shape[1]):
                    state[i, s] = np.exp(step * a[i, s]) * state[i, s] + step * x[k, i] * b[k, s]
                    y[k, i] += state[i, s] * c[k, s]
                y[k, i] = (y[k, i] + d[i] * x[k, i]) * z[k, i] / (1 + np.exp(-z[k, i]))
            k += 1
    return y


def golden_inputs():
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN).items()}
    fields = {ours: golden[theirs] for ours, theirs in FIELDS.items()}
    return golden, {name: time_second(field) for name, field in fields.items()}


def time_second(tensor):
    return tensor.transpose(1, 2) if tensor.ndim == 3 else tensor


def assert_relative(ours, expected, tolerance):
    assert ((ours - expected).abs().max() / expected.abs().max()).item() < tolerance


def test_the_reference_equals_the_official_one():
    golden, fields = golden_inputs()
    y, state = reference_scan(ScanInputs(**fields))
    assert_relative(y, time_second(golden["y"]), 1e-5)
    assert_relative(state, golden["last_state"], 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "reference"])
def test_outputs_and_all_gradients_equal_the_official_ones(dtype):
    golden, fields = golden_inputs()
    batch, length = fields["x"].shape[:2]
    events = Ragged.of(torch.full((batch,), length))
    padded = {name: field.to(dtype).requires_grad_() for name, field in fields.items()}
    flat = {name: events.flatten(field) if field.ndim == 3 else field for name, field in padded.items()}
    y = events.pad(selective_scan(ScanInputs(**flat), events))
    assert_relative(y, time_second(golden["y"]), 1e-5)
    gradients = torch.autograd.grad((y * time_second(golden["weight"])).sum(), list(padded.values()))
    for gradient, theirs in zip(gradients, FIELDS.values(), strict=True):
        assert_relative(gradient, time_second(golden[f"grad/{theirs}"]), 1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_sequences_of_many_lengths_equal_a_loop_by_hand(dtype, tolerance):
    inputs = draw(int(LENGTHS.sum()), dtype=dtype)
    y = selective_scan(inputs, Ragged.of(LENGTHS))
    assert y.dtype == dtype
    assert_relative(y.detach().double(), torch.from_numpy(scan_by_hand(inputs, LENGTHS)), tolerance)


def test_compiled_gradients_equal_those_of_the_reference():
    lengths = torch.randint(0, 120, (40,), generator=torch.Generator().manual_seed(0))
    events, count = Ragged.of(lengths), int(lengths.sum())
    gradients = []
    for dtype in (torch.float32, torch.float64):
        inputs = draw(count, inner=40, states=5, dtype=dtype)
        y = selective_scan(inputs, events)
        weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y).to(dtype)
        gradients.append(torch.autograd.grad((y * weight).sum(), list(inputs)))
    for ours, expected in zip(*gradients, strict=True):
        assert_relative(ours.double(), expected, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "reference"])
def test_constant_inputs_give_a_geometric_series(dtype):
    # S_k = q S_{k-1} + Delta x B with q = exp(Delta A), so S_k = Delta x B (1 - q^k) / (1 - q).
    length, x, step, a, b, c, d, z = 30, 1.5, 0.2, -0.7, 0.8, 1.1, 0.4, 2.0
    column = torch.ones(length, 1, dtype=dtype)
    pre = torch.tensor(step).expm1().log().item()
    inputs = ScanInputs(
        x * column, pre * column, a * column[:1], b * column, c * column, d * column[0], z * column, 0 * column[0]
    )
    k = torch.arange(1, length + 1, dtype=torch.float64)
    q = torch.tensor(step * a, dtype=torch.float64).exp()
    silu = z / (1 + torch.tensor(-z, dtype=torch.float64).exp())
    expected = (step * x * b * (1 - q**k) / (1 - q) * c + d * x) * silu
    y = selective_scan(inputs, Ragged.of(torch.tensor([length])))
    torch.testing.assert_close(y[:, 0].double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("value", [1e4, -1e4, 88.0, -88.0])
def test_large_steps_neither_overflow_nor_lose_the_gradient(value):
    inputs = draw(7, dtype=torch.float32)._replace(pre=torch.full((7, 6), value, requires_grad=True))
    y = selective_scan(inputs, Ragged.of(torch.tensor([7])))
    assert y.isfinite().all()
    y.sum().backward()
    assert all(field.grad.isfinite().all() for field in inputs)


@pytest.mark.parametrize("field", ["x", "pre", "b", "c", "z"])
def test_not_a_number_stays_visible(field):
    inputs = draw(7, dtype=torch.float32)
    with torch.no_grad():
        getattr(inputs, field)[3, 0] = float("nan")
    assert selective_scan(inputs, Ragged.of(torch.tensor([7])))[3:].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "reference"])
def test_the_convolution_sees_four_events_of_its_own_sequence(dtype):
    torch.manual_seed(0)
    conv = nn.Conv1d(6, 6, 4, groups=6, padding=3).to(dtype)
    table, index = torch.randn(9, 6, dtype=dtype, requires_grad=True), torch.randint(0, 9, (int(LENGTHS.sum()),))
    events = Ragged.of(LENGTHS)
    rows = []
    for start, end in zip(events.starts.tolist(), events.starts[1:].tolist(), strict=False):
        for k in range(start, end):
            value = conv.bias + sum(
                conv.weight[:, 0, 3 - back] * table[index[k - back]] for back in range(4) if k - back >= start
            )
            rows.append(value * value.sigmoid())
    expected, ours = torch.stack(rows), causal_convolution(table, index, conv, events)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
    weight, wanted = torch.randn_like(expected), [table, *conv.parameters()]
    for gradient, theirs in zip(
        torch.autograd.grad((ours * weight).sum(), wanted),
        torch.autograd.grad((expected * weight).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(gradient, theirs, atol=1e-5, rtol=0)


def test_ragged_events_survive_padding_and_change_starts_at_zero():
    events = Ragged.of(LENGTHS)
    flat = torch.randn(int(LENGTHS.sum()), 2)
    assert torch.equal(events.flatten(events.pad(flat)), flat)
    assert events.pad(flat).shape == (6, 17, 2)
    change = events.change(flat)
    assert (change[[0, 5, 22, 23]] == 0).all()
    assert torch.equal(change[1], flat[1] - flat[0])


def test_a_block_starts_as_mamba_does_and_has_its_names():
    torch.manual_seed(0)
    block = MambaBlock(dim=32, state_dim=8, drive_dim=None)
    # The names and shapes of mamba_ssm.Mamba(d_model=32, d_state=8, d_conv=4, expand=2).
    assert {name: tuple(value.shape) for name, value in block.state_dict().items() if name != "norm.weight"} == {
        "A_log": (64, 8),
        "D": (64,),
        "in_proj.weight": (128, 32),
        "conv1d.weight": (64, 1, 4),
        "conv1d.bias": (64,),
        "x_proj.weight": (18, 64),
        "dt_proj.weight": (64, 2),
        "dt_proj.bias": (64,),
        "out_proj.weight": (32, 64),
    }
    steps = nn.functional.softplus(block.dt_proj.bias)
    assert 1e-3 < steps.min().item() < 2e-3
    assert 5e-2 < steps.max().item() < 1e-1 + 1e-6
    torch.testing.assert_close(block.A_log.exp()[5], torch.arange(1.0, 9))


def test_a_drive_moves_the_step_size_and_nothing_else():
    torch.manual_seed(0)
    block = MambaBlock(dim=4, state_dim=2, drive_dim=3)
    events, index = Ragged.of(torch.tensor([6])), torch.arange(6)
    rows, delta = torch.randn(6, 4), torch.randn(6, 3)
    still = block(rows, index, None, events)
    moved = block(rows, index, Drive(delta, index, 0.3, as_change=False), events)
    assert not torch.allclose(still, moved)
    constant = Drive(delta[:1].expand(6, 3), index, 0.3, as_change=True)
    torch.testing.assert_close(block(rows, index, constant, events), still, atol=1e-6, rtol=0)


@pytest.mark.gpu
def test_the_fused_kernel_equals_the_reference():
    pytest.importorskip("mamba_ssm")
    events = Ragged.of(LENGTHS.cuda())
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs = ScanInputs(
            *(field.detach().cuda().requires_grad_() for field in draw(int(LENGTHS.sum()), dtype=dtype))
        )
        y = selective_scan(inputs, events)
        results.append((y, torch.autograd.grad(y.square().sum(), list(inputs))))
    assert_relative(results[0][0].double(), results[1][0], 1e-4)
    for ours, expected in zip(results[0][1], results[1][1], strict=True):
        assert_relative(ours.double(), expected, 1e-3)


@pytest.mark.gpu
def test_a_block_equals_the_mamba_whose_weights_it_loads():
    mamba_ssm = pytest.importorskip("mamba_ssm")
    theirs = mamba_ssm.Mamba(d_model=32, d_state=8, d_conv=4, expand=2).cuda()
    block = MambaBlock(dim=32, state_dim=8, drive_dim=None).cuda()
    block.load_state_dict({**theirs.state_dict(), "norm.weight": torch.ones(32)})
    rows = torch.randn(2 * 50, 32, device="cuda")
    events = Ragged.of(torch.tensor([50, 50], device="cuda"))
    ours = block(rows, torch.arange(100, device="cuda"), None, events)
    expected = theirs(block.norm(rows).view(2, 50, 32)).view(100, 32)
    assert_relative(ours, expected, 1e-4)
