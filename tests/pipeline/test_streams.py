"""Streams that vary apart: each is frozen or drawn bit for bit as in an ordinary run of that seed, and nothing else changes."""

from itertools import combinations

import pytest
import torch

from pipeline.comparison import compare
from pipeline.errors import UsageError
from pipeline.settings import build_run
from pipeline.stored_study import find_study, load_results
from pipeline.streams import draws, square
from pipeline.study import study_of
from pipeline.training import loop
from pipeline.training.batches import batches_of
from pipeline.training.start import start

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.embedding.name": "sincos",
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "model.num_layers": 1,
    "train.batch_size": 64,
    "train.epochs": 1,
}
CPU = torch.device("cpu")


def config(seed, vary="together", **settings):
    return build_run({**SMALL, "seed": seed, "train.vary": vary, **settings})


def weights_of(run):
    return torch.cat([weight.flatten() for weight in start(run, run.data.load(), CPU).model.parameters()])


def order_of(run):
    return torch.cat(batches_of(run.data.load().train, run, 1))


def draws_of(run, monkeypatch):
    """Return the first numbers that the first epoch draws from the global generator, as dropout does."""
    drawn = []

    def epoch(*_):
        drawn.append(torch.rand(5))
        raise StopIteration

    monkeypatch.setattr(loop, "_train_epoch", epoch)
    splits = run.data.load()
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(loop.fit(start(run, splits, CPU), splits, run, "fp32"))
    return drawn[0]


@pytest.mark.parametrize("vary", ["init", "order", "dropout"])
def test_one_stream_varies_with_the_seed_and_the_others_stay_as_with_seed_0(monkeypatch, vary):
    for stream, of in (("init", weights_of), ("order", order_of), ("dropout", lambda run: draws_of(run, monkeypatch))):
        one, other = of(config(1, vary)), of(config(2, vary))
        assert torch.equal(one, other) == (stream != vary)
        assert torch.equal(one, of(config(1 if stream == vary else 0)))


def test_a_seed_of_streams_apart_is_a_digit_each(monkeypatch):
    apart = config(123, "all")
    assert torch.equal(weights_of(apart), weights_of(config(1)))
    assert torch.equal(order_of(apart), order_of(config(2)))
    assert torch.equal(draws_of(apart, monkeypatch), draws_of(config(3), monkeypatch))


@pytest.mark.parametrize("count", range(3, 11))
def test_in_a_square_every_two_streams_meet_each_pair_of_levels_once(count):
    seeds = square(tuple(range(10 - count, 10)))
    digits = [tuple(f"{seed:03}") for seed in seeds]
    assert len(digits) == count**2
    for i, j in combinations(range(3), 2):
        assert len({(digit[i], digit[j]) for digit in digits}) == count**2


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ({}, True),
        ({"model.dropout": 0}, False),
        ({"model.dropout": 0, "model.embedding.name": "kmote"}, True),
        ({"model.dropout": 0, "model.embedding.name": "kmote", "model.embedding.router_noise": 0}, False),
        ({"model.dropout": 0, "model.embedding.name": "kmote", "model.freeze_embedding": True}, False),
        ({"model.name": "transformer", "model.dropout": 0}, False),
    ],
)
def test_a_model_draws_in_training_where_it_has_dropout_or_a_noisy_router(settings, drawn):
    model = build_run(settings).model
    state = torch.get_rng_state()
    assert draws(model) == drawn
    assert torch.equal(torch.get_rng_state(), state)


def study(vary="all", seeds=(0, 1, 2), plan=None, **variants):
    variants = variants or {"scalar": {"model.embedding.name": "scalar"}, "sincos": {"model.dropout": 0.0}}
    base = {**SMALL, "train.vary": vary}
    return study_of({"base": base, "variants": variants, "seeds": list(seeds), "plan": plan or {}}, "apart")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": (0, 1)}, "--vary all: must have from 3 to 10 seeds"),
        ({"seeds": (0, 1, 10)}, "seeds from 0 to 9, the levels of each stream, got 0, 1 and 10"),
        ({"vary": "dropout"}, "--vary dropout: must be of models that draw in training, got none in sincos"),
        ({"vary": "init", "plan": {"pairing": "unpaired"}}, "--vary: must go with plan.pairing paired, got unpaired"),
        ({"plan": {"looks": [3, 5], "levels": [0.01, 0.04]}}, "--vary: must stand without looks"),
        ({"a": {"train.vary": "init"}, "b": {}}, "train.vary: must be the same of all variants, got all and init"),
    ],
)
def test_streams_that_cannot_vary_so_are_refused(options, said):
    with pytest.raises(UsageError) as error:
        study(**options)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_seeds_of_one_stream_are_those_that_were_given():
    assert study("init", (4, 20)).seeds == (4, 20)


def test_a_study_of_streams_apart_is_read_with_their_levels(memory):
    compare(study(), memory, workers=1, device="cpu")
    results = load_results(find_study(memory, "apart"), memory, allow_missing=False, probes=False)
    assert results.streams == ("init", "order", "dropout")
    runs = results.runs.set_index(["model", "seed"])
    assert runs.loc[("scalar", 120), ["init_seed", "order_seed", "dropout_seed"]].tolist() == [1, 2, 0]
    assert runs.loc["sincos", "dropout_seed"].isna().all()
    assert len(runs) == 18
