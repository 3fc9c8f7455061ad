"""Sines and cosines against their closed form."""

import math

import pytest
import torch
from pydantic import ValidationError

from models.time_embeddings.sincos import SinCosConfig


def codes_of(times, **fields):
    embedding = SinCosConfig(**fields).build(horizon=784)
    return embedding(torch.tensor([times]), torch.tensor([len(times)]))[0]


def effective_rank(codes):
    """Exponential of the entropy of the normalised squared singular values; columns standardised."""
    columns = (codes.double() - codes.double().mean(dim=0)) / codes.double().std(dim=0).clamp_min(1e-6)
    share = torch.linalg.svdvals(columns).square()
    share = share / share.sum()
    return math.exp(-torch.special.xlogy(share, share).sum().item())


def test_codes_are_the_sines_and_cosines_of_the_paper():
    codes = codes_of([0.0, 1, 17, 783], dim=6, max_freq=1000)
    for row, time in enumerate([0, 1, 17, 783]):
        for i in range(3):
            frequency = 1000 ** (-2 * i / 6)
            assert codes[row, 2 * i].item() == pytest.approx(math.sin(time * frequency), abs=1e-4)
            assert codes[row, 2 * i + 1].item() == pytest.approx(math.cos(time * frequency), abs=1e-4)


def test_raw_times_use_the_width_and_unit_times_do_not():
    # Known values for 784 times and 32 dimensions: 10.9 raw and about 1.2 with t/784.
    times = [float(time) for time in range(784)]
    assert effective_rank(codes_of(times)) == pytest.approx(10.9, abs=0.1)
    assert effective_rank(codes_of(times, time_scale="unit")) < 1.3


def test_an_odd_width_is_refused():
    with pytest.raises(ValidationError, match="must be even"):
        SinCosConfig(dim=7)
