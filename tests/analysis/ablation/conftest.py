"""Made-up ablation studies: small, and with every number known."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.ablation import Bounds, Trials

NAME, DIM, RATE = "model.embedding.name", "model.embedding.dim", "train.learning_rate"
SPACES = {NAME: ["none", "lete"], DIM: [16, 32]}
CORNERS = [{NAME: name, DIM: dim} for name, dim in itertools.product(*SPACES.values())]
SCORES = [[0.90, 0.92, 0.91], [0.91, 0.92, 0.93], [0.93, 0.93, 0.95], [0.97, 0.96, 0.99]]


def make_rows(points, scores, states=()):
    states = dict(states)
    return pd.DataFrame(
        {
            "trial": trial,
            "state": states.get(trial, "COMPLETE"),
            "seed": seed,
            "value": np.nan if trial in states else value,
            "epochs": 4,
            "parameters": 1000.0 + 10 * trial,
            "epoch_seconds": 0.5,
            **point,
        }
        for trial, (point, values) in enumerate(zip(points, scores, strict=True))
        for seed, value in enumerate(values)
    )


def make_trials(points=CORNERS, scores=SCORES, spaces=SPACES, states=(), *, direction="maximize", objective="accuracy"):
    return Trials(make_rows(points, scores, states), objective, direction, spaces)


def make_random_search(count=12, seeds=3, states=(), model=True):
    draw = np.random.default_rng(4)
    points = []
    for i in range(count):
        name = ["none", "lete"][i % 2]
        points.append(
            {NAME: name, DIM: 16.0 * 2 ** (i % 3) if name == "lete" else np.nan, RATE: 10 ** draw.uniform(-4, -2)}
        )
    spaces = {NAME: ["none", "lete"], DIM: [16, 32, 64], RATE: Bounds(1e-4, 1e-2, log=True)}
    if not model:
        del spaces[NAME]
    return make_trials(points, draw.uniform(0.8, 0.9, (count, seeds)), spaces, states)


def make_one_at_a_time(states=()):
    spaces = {NAME: ["none", "lete"], DIM: [16, 32, 64], RATE: [0.001]}
    base = {NAME: "lete", DIM: 32, RATE: 0.001}
    points = [base, base | {NAME: "none", DIM: np.nan}, base | {DIM: 16}, base | {DIM: 64}]
    return make_trials(points, SCORES, spaces, states)


STUDIES = {
    "factorial": make_trials,
    "one seed": lambda: make_trials(scores=np.array(SCORES)[:, :1]),
    "one at a time": make_one_at_a_time,
    "random": make_random_search,
    "pruned": lambda: make_random_search(states={1: "PRUNED", 4: "FAILED"}),
    "no model": lambda: make_random_search(model=False),
    "lete failed": lambda: make_random_search(states=dict.fromkeys(range(1, 12, 2), "FAILED")),
    "none complete": lambda: make_trials(states=dict.fromkeys(range(4), "FAILED")),
    "one trial": lambda: make_trials(CORNERS[:1], SCORES[:1]),
    "loss": lambda: make_trials(direction="minimize", objective="validation loss"),
    "no factor": lambda: make_trials(spaces={}),
}


@pytest.fixture(scope="session")
def studies():
    return {name: build() for name, build in STUDIES.items()}


@pytest.fixture(scope="session")
def rows_of():
    return make_rows


@pytest.fixture(scope="session")
def trials_of():
    return make_trials


@pytest.fixture(scope="session")
def random_search():
    return make_random_search


@pytest.fixture(scope="session")
def one_at_a_time():
    return make_one_at_a_time
