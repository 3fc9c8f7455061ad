"""The frequencies that embeddings tell of, against their closed forms and against what their codes do."""

import math

import pytest
import torch

from models.time_embeddings import TIME_EMBEDDINGS

HORIZON = 784
WAVES = ("frequencies", "w1_fourier")
"""What parameters and buffers that are frequencies are called."""
NOT_OF_TIME = {"kmote_gap", "order"}
"""The waves are of log(1 + dt), or of places: they have no period in time units."""


def build(name, dtype=torch.float64, **fields):
    torch.manual_seed(0)
    return TIME_EMBEDDINGS[name](**fields).build(horizon=HORIZON).to(dtype).eval()


def told(name, **fields):
    return build(name, **fields).angular_frequencies().tolist()


@pytest.mark.parametrize("name", TIME_EMBEDDINGS)
def test_every_embedding_that_holds_frequencies_tells_them_and_no_other(name):
    embedding = build(name, torch.float32)
    held = [
        part
        for part, _ in (*embedding.named_parameters(), *embedding.named_buffers())
        if any(word in part.split(".") for word in WAVES)
    ]
    found = embedding.angular_frequencies()
    assert (found.ndim, found.dtype, found.requires_grad) == (1, torch.float32, False)
    assert bool(len(found)) == bool(held and name not in NOT_OF_TIME)


def test_sincos_goes_down_its_ladder():
    expected = [1000 ** (-2 * i / 6) for i in range(3)]
    for name in ("sincos", "sincos_learned"):
        assert told(name, dim=6, max_freq=1000) == pytest.approx(expected)
        assert told(name, dim=6, max_freq=1000, time_scale="unit") == pytest.approx([f / HORIZON for f in expected])


def test_the_line_of_time2vec_is_no_wave():
    # 10^(-9 i / 3) of column i; column 0 is the line.
    assert told("time2vec", dim=4, frequency_init="log") == pytest.approx([1e-3, 1e-6, 1e-9])
    assert len(told("mtan", dim=4)) == 3
    assert max(map(abs, told("mtan"))) <= 1 / HORIZON  # of t/T, they start as U(-1, 1)


def test_lete_tells_the_slopes_of_its_fourier_half():
    expected = [10 ** (-9 * i / 3) for i in range(4)]
    for name in ("lete", "lete_gap"):
        assert told(name, dim=8) == pytest.approx(expected)
    assert told("lete_fourier", dim=4, time_scale="unit") == pytest.approx([f / HORIZON for f in expected])
    assert told("lete", p=0) == []


@pytest.mark.parametrize("name", ["kmote_fourier", "kmote", "kan_mammote"])
def test_waves_of_the_whole_horizon_go_from_half_a_cycle_to_one_in_two_time_units(name):
    found = torch.tensor(told(name)).view(32, 16)
    # u = 2t/T - 1 goes through 2, so half a cycle over the horizon is pi/T and one in two time units pi; 5 % of jitter.
    assert found[:, 0].mean().item() == pytest.approx(math.pi / HORIZON, rel=0.04)
    assert found[:, -1].mean().item() == pytest.approx(math.pi, rel=0.04)


@pytest.mark.parametrize(("scale", "slope"), [("auto", 2 / HORIZON), ("unit", 1 / HORIZON), ("raw", 1.0)])
def test_the_waves_of_experts_are_told_per_time_unit_at_every_scale(scale, slope):
    alone, mixture = build("kmote_fourier", time_scale=scale), build("kmote", time_scale=scale)
    held = {alone: alone.expert.frequencies, mixture: mixture.kmote.experts[0].frequencies}
    for embedding, frequencies in held.items():
        assert embedding.angular_frequencies().tolist() == pytest.approx((slope * frequencies.flatten()).tolist())


def test_waves_of_gaps_are_told_where_the_gap_is_not_mapped_to_its_logarithm():
    for name, fields in (("kmote_gap", {}), ("kmote_fourier", {"time_input": "gap"})):
        assert told(name, **fields) == []
        assert len(told(name, time_scale="raw", **fields)) == 32 * 16


def test_the_waves_of_a_drive_are_not_those_of_the_code():
    assert len(told("kan_mammote", delta_mode="kmote_rel")) == len(told("kan_mammote"))


@pytest.mark.parametrize("scale", ["auto", "raw", "unit"])
@pytest.mark.parametrize("name", ["sincos", "graphmixer", "random_fourier", "fte", "bochner", "mtan", "time2vec"])
def test_the_code_satisfies_the_equation_of_waves_of_the_told_frequencies(name, scale):
    embedding = build(name, time_scale=scale)
    times = torch.tensor([[40.0, 41.0, 42.0]], dtype=torch.float64)
    with torch.no_grad():
        before, here, after = embedding(times, torch.tensor([3]))[0]
    frequencies = embedding.angular_frequencies()
    if name in ("sincos", "bochner"):
        frequencies = frequencies.repeat_interleave(2)
    waves = slice(len(here) - len(frequencies), None)  # the line of Time2Vec comes first
    # f(t - 1) + f(t + 1) = 2 cos(w) f(t) for f = cos(w t + b).
    torch.testing.assert_close((before + after)[waves], 2 * frequencies.cos() * here[waves])
