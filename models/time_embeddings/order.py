"""The place of an event in its sequence instead of its time, as a control without times.

Source: the positional encoding of Vaswani et al. 2017, arXiv 1706.03762, section 3.5, as it is used there, of places.
"""

from typing import Literal

import torch
from torch import Tensor

from models.time_embeddings.sincos import SinCos, SinCosFields


class OrderConfig(SinCosFields):
    """The place of an event in its sequence, as fixed sines and cosines; its time is not seen. No parameters.

    Formula: [sin(k w_i), cos(k w_i)], w_i = max_freq^(-2i/D), k events before
    Represents: how many events came before; no time.
    """

    name: Literal["order"] = "order"
    time_input: Literal["place"] = "place"  # type: ignore[assignment]
    """The place is what this name stands for."""
    time_scale: Literal["auto"] = "auto"
    """A place has no scale but its own."""

    def encoder(self, *, horizon: float) -> "Order":
        """Build the module; the horizon does not matter to it."""
        del horizon
        return Order(dim=self.dim, max_freq=self.max_freq, learned=False)

    def build(self, *, horizon: float) -> "Order":
        """Build the module; the horizon does not matter to it."""
        return self.encoder(horizon=horizon)


class Order(SinCos):
    """Interleaved sin(k w_i), cos(k w_i) of the places k = 0, 1, ... of the events."""

    def inputs(self, times: Tensor) -> Tensor:
        """Return the place of each event (B, L), independent of the times (B, L)."""
        return torch.arange(times.shape[1], device=times.device).to(times.dtype).expand_as(times)

    def angular_frequencies(self) -> Tensor:
        """Return no frequencies, because the waves are functions of places, not of times."""
        return self.own.new_zeros(0)
