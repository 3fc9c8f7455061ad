"""How near the compiled LSTM comes to its own matrix product, which is its floor."""

import time

import numpy as np

from models.classifier import LSTMConfig
from models.lstm.product import PANEL, multiply, pack, padded

REPEATS = 200
"""Products that are timed together."""
PASSES = 3
"""Products of the same size that a product of the forward pass brings about: itself, and two for its gradients."""


def operations_of(config: LSTMConfig, events: int) -> int:
    """Return the floating-point operations of the products of one update, a multiplication and an addition as two.

    Every layer multiplies the states before, and each but the first the states of the layer below, by four gates' weights.
    """
    products = 2 * config.num_layers - 1
    return PASSES * products * 2 * config.hidden_dim * 4 * config.hidden_dim * events


def rate_of_product(config: LSTMConfig, rows: int) -> float:
    """Return the floating-point operations a second of one such product of `rows` rows, n = 1."""
    width, high = config.hidden_dim, 4 * config.hidden_dim
    panels = np.empty((padded(high) // PANEL, width, PANEL), np.float32)
    pack(np.ones(width * high, np.float32), high, 1, width, high, panels)
    left, result = np.ones((rows, width), np.float32), np.empty((rows, padded(high)), np.float32)
    multiply(rows, left, 0, width, panels, result, 0, False)
    began = time.perf_counter()
    for _ in range(REPEATS):
        multiply(rows, left, 0, width, panels, result, 0, False)
    return REPEATS * 2 * rows * width * high / (time.perf_counter() - began)
