"""A model whose accuracy rises to a plateau and then once more."""

import pytest

RIGHT = {"lete": [[1, 1, 1, 0], [1, 1, 0, 0]]}
# Its first window of five with a standard deviation under .005 is epochs 4 to 8.
RISING = [0.10, 0.50, 0.80, 0.900, 0.901, 0.902, 0.903, 0.904, 0.960, 0.961, 0.962, 0.963]


@pytest.fixture(scope="session")
def right():
    """Which answers of its two seeds are right."""
    return RIGHT


@pytest.fixture(scope="session")
def rising():
    """Its validation accuracy after each of twelve epochs."""
    return RISING


@pytest.fixture(scope="session")
def curve():
    """Its accuracy on each split."""
    return lambda _model, _seed, split, epoch: (
        RISING[epoch - 1] + {"train": 0.02, "validation": 0.0, "test": -0.01}[split]
    )


@pytest.fixture
def results(study, curve):
    return study(RIGHT, epochs=12, curve=curve)
