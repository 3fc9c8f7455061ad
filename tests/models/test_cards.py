"""Cards: complete for every listed embedding, with known counts and ranks."""

import pytest
import torch

from models.cards import card, codes_on_grid, effective_rank
from models.time_embeddings import TIME_EMBEDDINGS
from models.time_embeddings.sincos import SinCosConfig
from scripts import encodings

GRID = torch.arange(784)


@pytest.mark.parametrize("name", TIME_EMBEDDINGS)
def test_a_card_says_everything(name):
    its = card(name)
    assert its.name == name
    assert its.formula
    assert its.represents.endswith(".")
    assert its.source
    assert 0 <= its.effective_rank <= 32


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("none", 0), ("sincos", 0), ("graphmixer", 0), ("random_fourier", 0), ("position", 784 * 32), ("lete", 5040),
        ("kan_mammote", 25_252), ("position_gap", 784 * 32), ("position_and_gap", 2 * 784 * 32),
        ("row_column", 56 * 32), ("sincos_learned", 16), ("time2vec", 64), ("mtan", 64), ("fte", 64), ("bochner", 16),
        ("mercer", 4 + 32), ("learnable_fourier", 16 + 33 * 32 + 33 * 32), ("kmote", 2404 + 1568 + 320 + 2 * 1536 + 64),
        ("kmote_fourier", 1568 + 64), ("kmote_spline", 320 + 64), ("kmote_gaussian", 1536 + 64),
        ("kmote_wavelet", 1536 + 64), ("position_mamba", 784 * 32 + 1056 + 32 + 10_432 - 2048 + 1056 + 64),
    ],
)  # fmt: skip
def test_parameters_are_those_of_the_formula(name, parameters):
    assert card(name).parameters == parameters


def test_the_effective_rank_has_its_known_values():
    # docs/models.md: 10.9 for SinCos of raw times and 1.1 of t/T; LeTE lies between 8.4 and 10.7, depending on the seed.
    assert card("sincos").effective_rank == pytest.approx(10.9, abs=0.05)
    unit = SinCosConfig(time_scale="unit").build(horizon=784)
    assert effective_rank(codes_on_grid(unit, GRID)) == pytest.approx(
        1.0885, abs=0.01
    )  # that of its formula in float64
    assert card("lete").effective_rank == pytest.approx(9.6, abs=1.2)
    assert card("none").effective_rank == 0
    assert card("scalar").effective_rank == pytest.approx(1)


def test_the_effective_rank_counts_independent_columns():
    generator = torch.Generator().manual_seed(0)
    columns = torch.linalg.qr(torch.randn(500, 4, generator=generator)).Q
    columns = torch.linalg.qr(columns - columns.mean(dim=0)).Q
    assert effective_rank(columns) == pytest.approx(4, abs=1e-3)
    assert effective_rank(columns[:, [0, 0, 0, 1]]) == pytest.approx(4 / 27**0.25, abs=1e-3)  # shares 3/4 and 1/4


def test_columns_that_vary_by_rounding_alone_do_not_count():
    wave = torch.sin(torch.arange(784) / 5.0)
    rounding = 1 - 6e-8 * (torch.arange(784) % 7 == 0)  # the numbers next to 1 in float32
    assert effective_rank(torch.stack([wave, rounding, torch.ones(784)], dim=1)) == pytest.approx(1)
    assert effective_rank(rounding[:, None]) == 0


def test_codes_are_those_of_lone_events_and_of_lone_gaps():
    for time_input in ("absolute", "gap"):
        config = SinCosConfig(dim=2, time_input=time_input, time_scale="raw")
        codes = codes_on_grid(config.build(horizon=784), torch.arange(16))
        # Vaswani et al. 2017, section 3.5: the first pair of columns has frequency 1.
        assert codes[:, 0] == pytest.approx(torch.arange(16).double().sin(), abs=1e-5)
        assert codes[:, 1] == pytest.approx(torch.arange(16).double().cos(), abs=1e-5)


def test_the_page_of_encodings_is_the_one_of_the_code():
    # After a change: .venv/bin/python -m scripts.encodings
    text = encodings.PAGE.read_text(encoding="utf-8")
    step_times = encodings.written(text)
    page = text.split(encodings.BEGIN)[1].split(encodings.END)[0].splitlines()
    rank = encodings.COLUMNS.index("effective rank")
    for ours, expected in zip(page, encodings.table(step_times).splitlines(), strict=True):
        cells, others = ours.split(" | "), expected.split(" | ")
        if ours.startswith("| `"):
            # Random initial values may differ in the last digit from machine to machine.
            assert float(cells.pop(rank)) == pytest.approx(float(others.pop(rank)), abs=0.11)
        assert cells == others


def test_making_a_card_leaves_the_random_streams_alone(monkeypatch):
    torch.manual_seed(3)
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.random.get_rng_state()
    card("time2vec")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not seeded
