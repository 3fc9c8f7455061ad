from types import SimpleNamespace

import pytest
import torch

from models.cards import HORIZON, card
from models.time_embeddings import TIME_EMBEDDINGS
from models.time_embeddings.base import PointwiseEmbedding
from pipeline.config import RunConfig
from pipeline.data import EventDataset
from pipeline.probes import microscope


class Waves(PointwiseEmbedding):
    """Cosine and sine with a period of 8, and a constant column."""

    def encode(self, times):
        phase = 2 * torch.pi * times.float() / 8
        return torch.stack([phase.cos(), phase.sin(), torch.ones_like(phase)], dim=1)


@pytest.fixture
def model():
    return SimpleNamespace(embedding=Waves(3))


@pytest.fixture
def dataset():
    return EventDataset.from_lists([[1, 5, 20], [2, 63]], classes=2, horizon=64)


def test_waves_have_rank_two_and_are_told_apart_by_their_phase(model, dataset):
    [row] = microscope.encoding(model, dataset).to_dict("records")
    assert (row["width"], row["columns"]) == (3, 2)  # the constant column tells nothing
    assert row["effective_rank"] == pytest.approx(2)
    # Columns of variance 1 make a circle of radius sqrt(2); a lag of 1 is a chord of 2 sqrt(2) sin(pi/8) = 1.08,
    # over half of sqrt(2 * 2) = 2.
    assert (row["dt_10"], row["dt_50"]) == (1, 1)


class Line(PointwiseEmbedding):
    """The time itself."""

    def encode(self, times):
        return times.double()[:, None]


def test_differences_of_time_are_in_time_units_where_the_grid_leaves_times_out():
    dataset = EventDataset.from_lists([[1, 1499]], classes=2, horizon=1500)
    [row] = microscope.encoding(SimpleNamespace(embedding=Line(1)), dataset).to_dict("records")
    # The standard deviation of 0..1499 is 1499 / sqrt(12) = 433; half of sqrt(2) of it is 306, a tenth 61.
    # 1,024 times of 1500 lie 1.465 apart.
    assert row["dt_50"] == pytest.approx(306, abs=2)
    assert row["dt_10"] == pytest.approx(61, abs=2)


def test_the_kernel_repeats_with_the_period(model, dataset):
    table = microscope.kernel(model, dataset).pivot_table(index="time", columns="other", values="similarity")
    assert table.shape == (64, 64)
    assert table.loc[3, 11] == pytest.approx(1, abs=1e-5)
    assert table.loc[3, 7] == pytest.approx(-1, abs=1e-5)
    assert table.loc[0, 2] == pytest.approx(0, abs=1e-5)


def test_the_spectrum_has_all_its_variance_at_the_period(model, dataset):
    table = microscope.spectrum(model, dataset).set_index("period")["share"]
    assert table[8.0] == pytest.approx(1)
    assert table.sum() == pytest.approx(1)


def test_an_untrained_embedding_has_the_effective_rank_of_its_card():
    dataset = EventDataset.from_lists([[1, 5, 20], [2, 63]], classes=2, horizon=HORIZON)
    for name in ("sincos", "fte", "time_and_gap", "kmote"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            embedding = TIME_EMBEDDINGS[name]().build(horizon=HORIZON).eval()
        [row] = microscope.encoding(SimpleNamespace(embedding=embedding), dataset).to_dict("records")
        assert row["effective_rank"] == pytest.approx(card(name).effective_rank)


def test_held_frequencies_are_per_time_unit(model, dataset):
    assert microscope.frequencies(model, dataset).empty
    model.embedding.frequencies, model.embedding.time_factor = torch.tensor([2 * torch.pi]), 1 / 64
    assert microscope.frequencies(model, dataset)["period"].tolist() == pytest.approx([64])


def test_gates_sum_to_one_in_every_stretch_and_are_absent_without_a_mixture(model, dataset):
    assert microscope.gates(model, dataset).empty
    config = RunConfig.model_validate({"model": {"name": "lstm", "embedding": {"name": "kan_mammote", "dim": 4}}})
    mixture = config.model.build(horizon=64, feature_dim=0, classes=2).eval()
    table = microscope.gates(mixture, dataset)
    assert sorted(set(table["start"])) == [64 / 28 * k for k in (0, 2, 8, 27)]  # of the times 1 and 2, 5, 20, 63
    assert table.groupby("start")["gate"].sum().to_numpy() == pytest.approx(1)


def test_every_recurrent_model_is_seen(dataset):
    for name in ("lstm", "gru"):
        config = RunConfig.model_validate({"model": {"name": name}})
        built = config.model.build(horizon=64, feature_dim=0, classes=2).eval()
        assert microscope.encoding(built, dataset)["width"].tolist() == [32]
