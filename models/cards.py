"""Cards of the time embeddings: description, number of parameters, and effective rank before training.

Source of the effective rank: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO.
Differs from it: the entropy is that of squared singular values of standardised columns, which are shares of variance.

Letters: T times of the grid, L events of a sequence, D width of the code.
"""

import inspect
import math
import re
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from models.time_embeddings import TIME_EMBEDDINGS, TimeEmbedding, TimeEmbeddingConfig
from models.time_embeddings.order import Order

HORIZON = 784
"""Time units of the grid on which a card is computed: the pixels of an MNIST image."""
CONSTANT = 1e-6
"""Columns with a smaller standard deviation count as constant: their variation is rounding of float32."""


@dataclass(frozen=True)
class Card:
    """One listed embedding at its defaults, for a horizon of `HORIZON`."""

    name: str
    formula: str
    parameters: int
    """Number of trained parameters."""
    source: str
    represents: str
    effective_rank: float
    """Effective rank of the code at initialisation with seed 0; see `effective_rank`."""


def card(name: str) -> Card:
    """Return the card of the listed embedding `name`; KeyError if there is none."""
    kind = TIME_EMBEDDINGS[name]
    embedding = initial(kind(), HORIZON)
    return Card(
        name=name,
        formula=_said(kind, "Formula"),
        parameters=sum(parameter.numel() for parameter in embedding.parameters() if parameter.requires_grad),
        source=_source(kind),
        represents=_said(kind, "Represents"),
        effective_rank=rank_on_grid(embedding),
    )


def initial(config: TimeEmbeddingConfig, horizon: float) -> TimeEmbedding:
    """Return an embedding with the initial values of seed 0, in evaluation mode; `horizon` is in time units."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would also seed the generators of GPUs
        return config.build(horizon=horizon).eval()


def rank_on_grid(embedding: TimeEmbedding) -> float:
    """Return the effective rank of an embedding, built for a horizon of `HORIZON`, on the times 0 to `HORIZON` - 1."""
    return effective_rank(codes_on_grid(embedding, torch.arange(HORIZON)))


def codes_on_grid(embedding: TimeEmbedding, times_T: Tensor) -> Tensor:
    """Return the codes (T, D) of times (T,), each of a sequence with a single event.

    For an embedding of gaps, these are the codes of the gap t instead: of the second event of the sequence (0, t). For an embedding
    of places, they are the codes of one sequence of T events.
    """
    if isinstance(embedding, Order):
        return embedding.encode(torch.arange(len(times_T))).double()
    gap = getattr(embedding, "time_input", "absolute") == "gap"
    times_TL = torch.stack([torch.zeros_like(times_T), times_T], dim=1) if gap else times_T[:, None]
    return last_codes(embedding, times_TL, torch.full((len(times_T),), times_TL.shape[1]))


def last_codes(embedding: TimeEmbedding, times_TL: Tensor, lengths_T: Tensor) -> Tensor:
    """Return the codes (T, D), in float64, of the last events of sequences (T, L) of lengths (T,)."""
    with torch.no_grad():
        codes_TLD = embedding(times_TL, lengths_T)
    last_TD: Tensor = codes_TLD[torch.arange(len(times_TL)), lengths_T - 1].double()
    return last_TD


def standardised(codes_TD: Tensor) -> Tensor:
    """Return codes (T, D) with columns of mean 0 and variance 1, without constant columns."""
    spread_D = codes_TD.std(dim=0, correction=0)
    kept_D = spread_D > CONSTANT
    return (codes_TD[:, kept_D] - codes_TD[:, kept_D].mean(dim=0)) / spread_D[kept_D]


def effective_rank(codes_TD: Tensor) -> float:
    """Return the effective rank of codes (T, D), in [1, D]; 0 for constant codes.

    It is exp of the entropy, in nats, of the normalised squared singular values of the standardised columns.
    """
    standard_TD = standardised(codes_TD.double())
    if not standard_TD.shape[1]:
        return 0.0
    squares_D = torch.linalg.svdvals(standard_TD).square()
    share_D = squares_D / squares_D.sum()
    return math.exp(-torch.special.xlogy(share_D, share_D).sum().item())


def _said(kind: type[TimeEmbeddingConfig], topic: str) -> str:
    """Return the line of a config's docstring that begins with the topic, without the topic; "" if there is none."""
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if line.startswith(f"{topic}: "):
            return line.removeprefix(f"{topic}: ")
    return ""


def _source(kind: type[TimeEmbeddingConfig]) -> str:
    """Return the text after `Source:` in the module's docstring, up to a colon: the formula that follows is on the card already."""
    docstring = sys.modules[kind.__module__].__doc__ or ""
    found = re.search(r"^Source: (.*?)(?=\n\n|:\s|\nDiffers|\Z)", docstring, re.DOTALL | re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""
