"""Bases against scipy and hand-written sums."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from models.basis import FourierBasis, GaussianBasis, WaveletBasis, bspline_basis, uniform_knots


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_b_splines_equal_those_of_scipy(degree):
    knots = np.sort(np.random.default_rng(0).uniform(-2, 2, 12))
    values = np.linspace(-2.5, 2.5, 201)
    ours = bspline_basis(torch.from_numpy(values), torch.from_numpy(knots), degree).numpy()
    for g in range(len(knots) - degree - 1):
        element = BSpline.basis_element(knots[g : g + degree + 2], extrapolate=False)
        np.testing.assert_allclose(ours[:, g], np.nan_to_num(element(values)), atol=1e-12)


def test_b_splines_sum_to_one_between_the_inner_knots_and_vanish_outside_all():
    knots = uniform_knots(-1, 1, 5).double()
    np.testing.assert_allclose(knots.numpy(), np.linspace(-2.2, 2.2, 12), atol=1e-6)
    inside = bspline_basis(torch.linspace(-1, 0.9999, 101, dtype=torch.float64), knots)
    np.testing.assert_allclose(inside.sum(dim=-1), 1, atol=1e-12)
    assert bspline_basis(torch.tensor([-2.3, 2.3, 1e6], dtype=torch.float64), knots).abs().max() == 0


def test_b_splines_have_their_own_knots_for_each_input():
    knots = torch.stack([uniform_knots(-1, 1, 4), uniform_knots(0, 3, 4)])
    values = torch.rand(7, 2)
    both = bspline_basis(values, knots)
    for i in range(2):
        torch.testing.assert_close(both[:, i], bspline_basis(values[:, i], knots[i]))


def by_hand(values, function, dim, functions):
    return [[sum(function(u, d, j) for j in range(functions)) for d in range(dim)] for u in values]


def test_a_fourier_basis_is_the_sum_it_says():
    torch.manual_seed(0)
    basis = FourierBasis(dim=3, functions=4, horizon=20).double()
    f, a, b = basis.frequencies.tolist(), basis.cosines.tolist(), basis.sines.tolist()
    expected = by_hand(
        (-1.0, 0.3), lambda u, d, j: a[d][j] * math.cos(f[d][j] * u) + b[d][j] * math.sin(f[d][j] * u), 3, 4
    )
    np.testing.assert_allclose(basis(torch.tensor([-1.0, 0.3]).double()).tolist(), expected, atol=1e-6)


def test_fourier_frequencies_go_from_half_a_cycle_to_two_time_units():
    torch.manual_seed(0)
    cycles = FourierBasis(dim=4000, functions=16, horizon=784).frequencies.detach() / math.pi
    assert cycles.mean(dim=0)[[0, -1]].tolist() == pytest.approx([0.5, 392], rel=0.01)
    assert (cycles.std(dim=0) / cycles.mean(dim=0)).mean().item() == pytest.approx(0.05, rel=0.05)


def test_a_gaussian_basis_is_the_sum_it_says():
    torch.manual_seed(0)
    basis = GaussianBasis(dim=3, functions=4)
    c, v = np.linspace(-1, 1, 4), basis.weights.tolist()
    expected = by_hand((-1.0, 0.3), lambda u, d, j: v[d][j] * math.exp(-(((u - c[j]) / 0.5) ** 2) / 2), 3, 4)
    np.testing.assert_allclose(basis(torch.tensor([-1.0, 0.3])).tolist(), expected, atol=1e-5)


@pytest.mark.parametrize("wavelet", ["mexican_hat", "morlet"])
def test_a_wavelet_basis_is_the_sum_it_says(wavelet):
    torch.manual_seed(0)
    basis = WaveletBasis(dim=3, functions=3, horizon=40, wavelet=wavelet)
    scales = [0.1, math.sqrt(0.1), 1.0]
    shifts, v = basis.shifts.tolist(), basis.weights.tolist()

    def wave(u, d, j):
        x = (u - shifts[d][j]) / scales[j]
        return v[d][j] * (1 - x * x if wavelet == "mexican_hat" else math.cos(5 * x)) * math.exp(-x * x / 2)

    np.testing.assert_allclose(basis(torch.tensor([-1.0, 0.3])).tolist(), by_hand((-1.0, 0.3), wave, 3, 3), atol=1e-5)


def test_weights_start_as_stated():
    torch.manual_seed(0)
    fourier = FourierBasis(dim=2000, functions=16, horizon=784)
    wavelet = WaveletBasis(dim=2000, functions=16, horizon=784, wavelet="mexican_hat")
    drawn = {
        0.25: [fourier.cosines, fourier.sines],
        1.0: [GaussianBasis(dim=2000, functions=16).weights, wavelet.weights],
    }
    for deviation, parameters in drawn.items():
        for parameter in parameters:
            assert parameter.std().item() == pytest.approx(deviation, rel=0.02)
            assert abs(parameter.mean().item()) < 0.03 * deviation
    assert (fourier.offset == 0).all()
    shifts = wavelet.shifts.detach()
    assert -1 <= shifts.min() < -0.99 < 0.99 < shifts.max() <= 1
    assert shifts.std().item() == pytest.approx(3**-0.5, rel=0.02)


def test_the_experts_have_the_stated_sizes():
    sizes = [
        sum(parameter.numel() for parameter in basis.parameters())
        for basis in (
            FourierBasis(dim=32, functions=16, horizon=784),
            GaussianBasis(dim=32, functions=16),
            WaveletBasis(dim=32, functions=16, horizon=784, wavelet="mexican_hat"),
        )
    ]
    assert sizes == [1568, 1536, 1536]
