"""Speed of the compiled LSTM relative to its own matrix products, which are a lower bound on its time."""

import time

import numpy as np

from models.classifier import LSTMConfig
from models.lstm.product import PANEL, multiply, pack, padded

REPEATS = 200
"""Number of products that are timed together."""
PASSES = 3
"""Products of the same size per product of the forward pass: itself, and two for its gradients."""


def operations_of(config: LSTMConfig, events: int) -> int:
    """Return the floating-point operations of the matrix products of one update; a multiplication and an addition count as two.

    Every layer multiplies its previous states by the weights of four gates, and every layer except the first also multiplies the
    states of the layer below.
    """
    products = 2 * config.num_layers - 1
    return PASSES * products * 2 * config.hidden_dim * 4 * config.hidden_dim * events


def rate_of_product(config: LSTMConfig, rows: int) -> float:
    """Return the floating-point operations per second of such a product with `rows` rows, measured once."""
    width, high = config.hidden_dim, 4 * config.hidden_dim
    panels = np.empty((padded(high) // PANEL, width, PANEL), np.float32)
    pack(np.ones(width * high, np.float32), high, 1, width, high, panels)
    left, result = np.ones((rows, width), np.float32), np.empty((rows, padded(high)), np.float32)
    multiply(rows, left, 0, width, panels, result, 0, False)
    began = time.perf_counter()
    for _ in range(REPEATS):
        multiply(rows, left, 0, width, panels, result, 0, False)
    return REPEATS * 2 * rows * width * high / (time.perf_counter() - began)
