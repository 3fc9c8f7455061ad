"""Cards of the time embeddings: what each is, what it costs, and how much of its width it uses before training.

Source of the effective rank: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO.
Differs from it: the entropy is that of the squared singular values, of columns that are standardised.
"""

import inspect
import math
import re
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from models.time_embeddings import TIME_EMBEDDINGS, TimeEmbedding, TimeEmbeddingConfig

HORIZON = 784
"""Time units of the grid on which a card is computed: the pixels of an MNIST image."""
LEAST_DEVIATION = 1e-12
"""Columns of a smaller standard deviation are constant."""


@dataclass(frozen=True)
class Card:
    """One listed embedding at its defaults, for a horizon of `HORIZON`."""

    name: str
    formula: str
    parameters: int
    """Numbers that are trained."""
    source: str
    represents: str
    effective_rank: float
    """Of the code at initialisation with seed 0; see `effective_rank`."""


def card(name: str) -> Card:
    """Return the card of a listed embedding."""
    kind = TIME_EMBEDDINGS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        embedding = kind().build(horizon=HORIZON)
    return Card(
        name=name,
        formula=_said(kind, "Formula"),
        parameters=sum(parameter.numel() for parameter in embedding.parameters() if parameter.requires_grad),
        source=_source(kind),
        represents=_said(kind, "Represents"),
        effective_rank=effective_rank(codes_on_grid(embedding)),
    )


def codes_on_grid(embedding: TimeEmbedding) -> Tensor:
    """Return the codes (T, D) of the times 0..T-1 of one sequence, or of the gaps 0..T-1 where gaps are encoded."""
    grid_T = torch.arange(float(HORIZON))
    with torch.no_grad():
        if getattr(embedding, "time_input", "absolute") == "gap":
            times_T2 = torch.stack([torch.zeros(HORIZON), grid_T], dim=1)
            codes_TD: Tensor = embedding.eval()(times_T2, torch.full((HORIZON,), 2))[:, 1]
        else:
            codes_TD = embedding.eval()(grid_T[None], torch.tensor([HORIZON]))[0]
    return codes_TD


def effective_rank(codes_TD: Tensor) -> float:
    """Return exp of the entropy of the normalised squared singular values, columns standardised; 0 for constant codes."""
    deviations_TD = codes_TD.double() - codes_TD.double().mean(dim=0)
    squares_D = torch.linalg.svdvals(deviations_TD / deviations_TD.std(dim=0).clamp_min(LEAST_DEVIATION)).square()
    if squares_D.sum() < LEAST_DEVIATION:
        return 0.0
    share_D = squares_D / squares_D.sum()
    return math.exp(-torch.special.xlogy(share_D, share_D).sum().item())


def _said(kind: type[TimeEmbeddingConfig], topic: str) -> str:
    """Return the line of the docstring of a config that begins with the topic."""
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if line.startswith(f"{topic}: "):
            return line.removeprefix(f"{topic}: ")
    return ""


def _source(kind: type[TimeEmbeddingConfig]) -> str:
    """Return what follows `Source:` in the docstring of the module, up to a colon: what stands behind is in the formula."""
    docstring = sys.modules[kind.__module__].__doc__ or ""
    found = re.search(r"^Source: (.*?)(?=\n\n|:\s|\nDiffers|\Z)", docstring, re.DOTALL | re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""
