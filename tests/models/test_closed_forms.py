"""Encodings with a closed form, against the same formula in numpy."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.config import ModelError
from models.time_embeddings import TIME_EMBEDDINGS

HORIZON = 784
TIMES = np.array([0.0, 1, 2, 17, 400, 783])


def build(name, horizon=HORIZON, **fields):
    torch.manual_seed(0)
    return TIME_EMBEDDINGS[name](**fields).build(horizon=horizon).double().eval()


def codes_of(embedding, times=TIMES):
    with torch.no_grad():
        return embedding(torch.tensor(times)[None], torch.tensor([len(times)]))[0].numpy()


def array(parameter):
    return parameter.detach().numpy()


def assert_close(ours, expected, tolerance=1e-10):
    np.testing.assert_allclose(ours, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("frequency_init", ["normal", "uniform", "log"])
@pytest.mark.parametrize(
    ("activation", "wave"),
    [
        ("sine", np.sin),
        ("triangle", lambda x: 2 / np.pi * np.arcsin(np.sin(x))),
        ("mod", lambda x: 2 * (x / (2 * np.pi) - np.floor(x / (2 * np.pi))) - 1),
    ],
)
def test_time2vec_is_a_line_and_waves(frequency_init, activation, wave):
    embedding = build("time2vec", frequency_init=frequency_init, activation=activation)
    lines = np.outer(TIMES, array(embedding.frequencies)) + array(embedding.phases)
    assert_close(codes_of(embedding), np.concatenate([lines[:, :1], wave(lines[:, 1:])], axis=1))


def test_frequencies_of_time2vec_start_as_asked():
    normal, uniform, ladder = (
        array(build("time2vec", dim=4000, frequency_init=kind).frequencies) for kind in ("normal", "uniform", "log")
    )
    assert abs(normal.mean()) < 0.06
    assert abs(normal.std() - 1) < 0.04
    assert 0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02
    np.testing.assert_allclose(ladder[1:], np.logspace(0, -9, 4000)[1:], rtol=1e-4)
    assert ladder[0] == pytest.approx(1 / HORIZON)


def test_the_time_code_of_mtan_is_a_line_and_sines_of_times_in_0_1():
    embedding = build("mtan")
    lines = np.outer(TIMES / HORIZON, array(embedding.frequencies)) + array(embedding.phases)
    assert_close(codes_of(embedding), np.concatenate([lines[:, :1], np.sin(lines[:, 1:])], axis=1))
    assert np.abs(array(embedding.frequencies)).max() <= 1
    assert np.abs(array(embedding.phases)).max() <= 1


def test_functional_time_encoding_is_cosines_from_1_to_1e_9():
    embedding = build("fte", dim=10)
    w = 10.0 ** -np.arange(10)
    assert_close(codes_of(embedding), np.cos(np.outer(TIMES, w)), 1e-4)
    with torch.no_grad():
        embedding.phases.copy_(torch.linspace(0, 3, 10))
    assert_close(codes_of(embedding), np.cos(np.outer(TIMES, w) + np.linspace(0, 3, 10)), 1e-4)


def test_the_map_of_bochner_has_unit_norm_and_a_kernel_of_time_differences():
    embedding = build("bochner", dim=8)
    w = 10.0 ** -np.array([0.0, 3, 6, 9])
    codes = codes_of(embedding)
    assert_close(codes[:, 0::2], np.cos(np.outer(TIMES, w)) / 2, 1e-4)
    assert_close(codes[:, 1::2], np.sin(np.outer(TIMES, w)) / 2, 1e-4)
    differences = TIMES[:, None] - TIMES
    assert_close(codes @ codes.T, np.cos(differences[..., None] * w).mean(axis=-1), 1e-4)


def test_the_map_of_mercer_is_a_weighted_fourier_series_of_each_base():
    embedding = build("mercer", dim=12, degree=2)
    with torch.no_grad():
        embedding.amplitudes.copy_(torch.linspace(0.5, 2, 12).view(3, 4))
    codes, amplitudes = codes_of(embedding), np.linspace(0.5, 2, 12)
    columns = []
    for w in (1, 784**-0.5, 1 / 784):
        columns += [np.cos(j * w * TIMES) for j in (1, 2)] + [np.sin(j * w * TIMES) for j in (1, 2)]
    assert_close(codes, np.stack(columns, axis=1) * amplitudes, 2e-4)


def test_graphmixer_has_the_frequencies_of_the_paper():
    codes = codes_of(build("graphmixer", dim=16))
    w = np.array([4.0 ** (-(i - 1) / 4) for i in range(1, 17)])  # alpha = beta = sqrt(16)
    assert w[4] == 1 / 4
    assert_close(codes, np.cos(np.outer(TIMES, w)), 1e-4)


def test_random_fourier_features_approach_the_gaussian_kernel():
    codes = codes_of(build("random_fourier", dim=40_000, length_scale=20.0), np.array([0.0, 5, 10, 20, 60]))
    differences = np.array([0.0, 5, 10, 20, 60])
    assert_close(codes @ codes[0], np.exp(-0.5 * (differences / 20) ** 2), 0.03)


def test_learnable_fourier_features_are_an_mlp_of_waves():
    embedding = build("learnable_fourier", features=6)
    phase = np.outer(TIMES, array(embedding.frequencies))
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / math.sqrt(6)
    first, last = embedding.mlp[0], embedding.mlp[2]
    hidden = waves @ array(first.weight).T + array(first.bias)
    hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    assert_close(codes_of(embedding), hidden @ array(last.weight).T + array(last.bias))


def test_scalars_are_shares_of_the_horizon_or_logarithms():
    gaps = np.diff(TIMES, prepend=0)
    assert_close(codes_of(build("scalar", dim=2)), np.stack([TIMES / 784] * 2, axis=1))
    assert_close(codes_of(build("scalar", dim=1, time_scale="raw")), TIMES[:, None])
    assert_close(codes_of(build("time_and_gap", dim=2)), np.stack([TIMES, gaps], axis=1) / 784)
    assert_close(codes_of(build("log_gap", dim=1))[:, 0], np.log(1 + gaps) / np.log(785))
    assert_close(codes_of(build("log_gap", dim=1, time_scale="raw"))[:, 0], np.log(1 + gaps))


@pytest.mark.parametrize("horizon", [300, 5000])
def test_shares_of_the_horizon_follow_it(horizon):
    shares = TIMES / horizon
    assert_close(codes_of(build("scalar", horizon, dim=1))[:, 0], shares)
    assert_close(
        codes_of(build("log_gap", horizon, dim=1))[:, 0], np.log1p(np.diff(TIMES, prepend=0)) / np.log1p(horizon)
    )
    assert_close(codes_of(build("sincos", horizon, time_scale="unit")), codes_of(build("sincos"), shares))
    mtan = build("mtan", horizon)
    assert_close(codes_of(mtan)[:, 0], shares * array(mtan.frequencies)[0] + array(mtan.phases)[0])


def test_frequencies_and_amplitudes_start_as_stated():
    for length_scale in (2.0, 10.0):
        frequencies = array(build("learnable_fourier", features=8000, length_scale=length_scale).frequencies)
        assert frequencies.std() * length_scale == pytest.approx(1, abs=0.03)
    assert (array(build("mercer").amplitudes) == 1).all()


def test_falling_times_have_no_gaps():
    with pytest.raises(ModelError, match="must ascend, got a gap of -3"):
        build("log_gap")(torch.tensor([[5.0, 2.0]]), torch.tensor([2]))
    assert build("log_gap")(torch.tensor([[5.0, 2.0]]), torch.tensor([1])).isfinite().all()  # the second is padding


def test_a_table_has_a_row_for_every_whole_number_below_the_horizon():
    assert codes_of(build("position", 783.5), np.array([783.0])).shape == (1, 32)
    with pytest.raises(ModelError, match=r"whole numbers in \[0, 783\)"):
        codes_of(build("position", 783.0), np.array([783.0]))


@pytest.mark.parametrize("times", [[0.0, 3, 29], [0.0, 3, 3.5], [0.5, 3.5, 4.5], [0.0, 3, 784]], ids=str)
@pytest.mark.parametrize("name", TIME_EMBEDDINGS)
def test_a_data_set_is_refused_by_the_encodings_that_have_no_code_for_it(name, times):
    embedding, times_N = build(name).eval(), torch.tensor(times)
    refusals = []
    for call in (
        lambda: embedding.check(times_N, torch.tensor(np.diff(times, prepend=times[0]))),
        lambda: embedding(times_N[None], torch.tensor([3])),
    ):
        try:
            call()
        except ModelError as error:
            refusals.append(str(error))
    assert len(refusals) in (0, 2)
    assert len(set(refusals)) <= 1
    assert bool(refusals) <= ("position" in name or name == "row_column")


def test_tables_add_what_they_are_named_for():
    times = np.array([0.0, 3, 28, 29, 783])
    both, image = build("position_and_gap"), build("row_column")
    expected = array(both.time.table.weight)[times.astype(int)] + array(both.gap.table.weight)[[0, 3, 25, 1, 754]]
    assert_close(codes_of(both, times), expected)
    expected = array(image.rows.weight)[[0, 0, 1, 1, 27]] + array(image.columns.weight)[[0, 3, 0, 1, 27]]
    assert_close(codes_of(image, times), expected)


@pytest.mark.parametrize("name", [
    "scalar", "position", "row_column", "sincos", "sincos_learned", "time2vec", "mtan", "fte", "bochner", "mercer",
    "graphmixer", "random_fourier", "learnable_fourier", "lete", "kmote_fourier", "kmote_spline", "kmote",
])  # fmt: skip
def test_an_encoding_of_the_gap_is_that_encoding_of_the_time_since_the_last_event(name):
    gaps = np.array([0.0, 4, 1, 80, 80])
    ours = build(name, time_input="gap", time_scale="raw")
    of_times = build(name, time_scale="raw")
    if name == "kmote":  # its router sees the gap once more instead of the time
        with pytest.raises(AssertionError):
            assert_close(codes_of(ours, np.cumsum(gaps)), codes_of(of_times, np.cumsum(gaps)))
        assert_close(codes_of(ours, np.cumsum(gaps)), codes_of(ours, np.cumsum(gaps) + 100))
    else:
        alone = np.concatenate([codes_of(of_times, np.array([gap])) for gap in gaps])
        assert_close(codes_of(ours, np.cumsum(gaps)), alone)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("bochner", {"dim": 7}), ("sincos_learned", {"dim": 7}), ("time_and_gap", {"dim": 3}), ("mercer", {"dim": 12}),
        ("learnable_fourier", {"features": 5}),
    ],
)  # fmt: skip
def test_a_width_that_the_formula_cannot_fill_is_refused(name, fields):
    with pytest.raises(ValidationError, match=r"must be (even|a multiple of 2 degree \(8\))"):
        build(name, **fields)


@pytest.mark.parametrize("name", ["none", "sincos", "graphmixer", "random_fourier", "scalar"])
def test_a_frozen_encoding_has_nothing_to_train(name):
    assert list(build(name).parameters()) == []


def test_a_table_of_gigabytes_is_refused():
    with pytest.raises(ModelError, match=r"at most 134,217,728 numbers, got 10,000,000,000 rows of 32"):
        build("position_gap", 1e10)
