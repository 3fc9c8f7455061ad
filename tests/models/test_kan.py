"""KAN layers: pykan's parameters evaluated by us, and FasterKAN against its formula."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.kan import FasterKAN, KANSpline

VALUES = torch.tensor([-3.0, -1.0, -0.4, 0.0, 0.2, 0.77, 1.0, 2.1, 50.0], dtype=torch.float64)


def spline(seed=0):
    torch.manual_seed(seed)
    return KANSpline(dim=32, intervals=5, noise_scale=0.1)


def test_our_evaluation_equals_pykans():
    layer = spline().double()
    ours, theirs = layer(VALUES), layer.layer(VALUES[:, None])[0]
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    weights = torch.randn(ours.shape, dtype=torch.float64)
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    for our_grad, their_grad in zip(
        torch.autograd.grad((ours * weights).sum(), parameters),
        torch.autograd.grad((theirs * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(our_grad, their_grad, atol=1e-10, rtol=0)


def test_320_parameters_are_trained_and_44_frozen():
    # 8 B-splines and two scales for each of 32 outputs; 12 knots and 32 mask entries.
    counts = {True: 0, False: 0}
    for parameter in spline().parameters():
        counts[parameter.requires_grad] += parameter.numel()
    assert counts == {True: 32 * 10, False: 12 + 32}


def test_the_same_seed_gives_the_same_spline_to_the_last_bit():
    first = spline()
    for _ in range(5):
        for name, value in spline().state_dict().items():
            assert torch.equal(value, first.state_dict()[name]), name
            assert value.dtype == torch.float32


def test_pykan_leaves_random_streams_defaults_and_the_folder_alone(tmp_path):
    program = """
import random, sys
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from models.kan import KANSpline
random.seed(1); np.random.seed(2); torch.manual_seed(3)
before = random.getstate(), np.random.get_state()[1].tolist()
assert "kan" not in sys.modules
KANSpline(dim=2, intervals=5, noise_scale=0.1)
assert (random.getstate(), np.random.get_state()[1].tolist()) == before
assert torch.get_default_dtype() == torch.float32
after = torch.rand(3).tolist()
torch.manual_seed(3)
KANSpline(dim=2, intervals=5, noise_scale=0.1)
assert torch.rand(3).tolist() == after
"""
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-W", "error", "-c", program, root], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_building_a_spline_draws_only_from_torchs_stream():
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the stream under test
    spline()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_faster_kan_is_its_formula():
    torch.manual_seed(0)
    layer = FasterKAN(dim=3, grid_size=4, grid_min=-2, grid_max=1, spline_scale=0.5)
    rows = torch.randn(5, 3)
    x = rows.numpy()
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    bumps = 1 - np.tanh((x[:, :, None] - np.array([-2, -1, 0, 1])) * 3 / 3) ** 2
    expected = bumps.reshape(5, 12) @ layer.mix.weight.detach().numpy().T
    np.testing.assert_allclose(layer(rows).detach().numpy(), expected, atol=1e-5)


def test_faster_kan_starts_with_the_stated_spread_and_size():
    torch.manual_seed(0)
    layer = FasterKAN(dim=32, grid_size=5, grid_min=-2, grid_max=2, spline_scale=0.5)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 32 * 32 * 5 + 64
    assert layer.mix.weight.std().item() == pytest.approx(0.5 / (32 * 5) ** 0.5, rel=0.03)
