"""The files that `python -m pipeline new` writes: the smallest of each kind that passes the checks and the contract tests.

`{name}` and `{Name}` stand for the name of the thing in both spellings, `{title}` for it as words.
"""

EMBEDDING = '''"""The time on a logarithmic scale, at D learned rates.

Source: an example; name the paper, the equation and the address here.
Differs from it: say what differs and why.

Scaling: raw times, which the rates scale; `unit` feeds t/T. A learned parameter that multiplies raw times directly is called
`frequencies`: it then has the learning rate of frequencies, a tenth of the others', as in all encodings here.

Letters: U distinct times, D width of the code.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class {Name}Config(PointwiseConfig):
    """Time on a logarithmic scale, at learned rates.

    Formula: asinh(t exp(r_i))
    Represents: the order of magnitude of the time, at several scales.
    """

    name: Literal["{name}"] = "{name}"

    def encoder(self, *, horizon: float) -> "{Name}":
        """Build the module for times up to `horizon`."""
        return {Name}(dim=self.dim, horizon=horizon)


class {Name}(PointwiseEmbedding):
    """Column i is asinh(t exp(r_i)); the r_i are learned."""

    def __init__(self, *, dim: int, horizon: float) -> None:
        """Start with rates exp(r_i) from 1 to 1/T in equal ratios."""
        super().__init__(dim)
        self.log_rates = nn.Parameter(torch.linspace(0.0, -math.log(horizon), dim))

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        return (times[:, None] * self.log_rates.exp()).asinh()
'''

BACKBONE = '''"""The mean over the events of what a small network makes of each, times log(1 + L).

Source: an example; name the paper, the equation and the address here.
Differs from it: say what differs and why.

Letters: B sequences, L events (padded), H width of the state.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from models.classifier import Classifier, ClassifierConfig
from models.time_embeddings.base import Codes


class {Name}Classifier(Classifier):
    """Layers: linear maps to width H, each followed by GELU and dropout."""

    def last_states(self, inputs: Codes, lengths: list[int]) -> Tensor:
        """Return the states (B, H); a sequence without events has 0."""
        h_BLH = inputs.padded()
        for layer in self.layers:
            h_BLH = self.dropout(nn.functional.gelu(layer(h_BLH)))
        lengths_B1 = torch.tensor(lengths, device=h_BLH.device)[:, None]
        valid_BL = torch.arange(h_BLH.shape[1], device=h_BLH.device) < lengths_B1
        mean_BH = h_BLH.where(valid_BL[..., None], 0).sum(dim=1) / lengths_B1.clamp_min(1)
        return mean_BH * lengths_B1.log1p()  # the mean alone would not tell how many events there are


class {Name}Config(ClassifierConfig):
    """A network of each event alone, and the mean over the events."""

    classifier = {Name}Classifier

    name: Literal["{name}"] = "{name}"

    def layers(self, input_dim: int) -> list[nn.Module]:
        """Build `num_layers` linear maps."""
        widths = [input_dim] + [self.hidden_dim] * self.num_layers
        return [nn.Linear(*pair) for pair in pairwise(widths)]
'''

DATASET = '''"""Sequences whose class is how fast their events follow each other.

Source: an example; name where the data come from, their licence, and what is done to them.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.data.base import DatasetConfig
from pipeline.data.events import EventDataset
from pipeline.seeding import seed_for

CLASSES = 3
EVENTS = 8
"""Events of each sequence."""
LONGEST_GAP = 8
"""Times of the fastest class are up to so far apart; class k waits k + 1 times as long."""


class {Name}Config(DatasetConfig):
    """Events that follow each other the faster the smaller their class."""

    name: Literal["{name}"] = "{name}"
    train_size: int = Field(600, ge=1)
    """Number of training sequences."""
    validation_size: int = Field(150, ge=0)
    """Number of validation sequences; 0 for none."""
    test_size: int = Field(150, ge=1)
    """Number of test sequences."""

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Draw the sequences; a data set of files reads them from `folder`."""
        del folder
        return self._draw("train", self.train_size + self.validation_size), self._draw("test", self.test_size)

    def _draw(self, part: str, count: int) -> EventDataset:
        generator = np.random.default_rng(seed_for(self.split_seed, self.name, part))
        labels = np.arange(count) % CLASSES
        gaps = generator.integers(1, LONGEST_GAP, size=(count, EVENTS)) * (labels[:, None] + 1)
        return EventDataset.from_lists(
            list(gaps.cumsum(axis=1)),
            labels,
            classes=CLASSES,
            horizon=EVENTS * LONGEST_GAP * CLASSES,
            name=self.name,
        )
'''

METRIC = '''"""The accuracy of the class that a run finds worst."""

import pandas as pd

from analysis.results import Results


def {name}(results: Results) -> pd.Series:
    """Return one number a run, aligned with `results.runs`."""
    labels = results.test_set.label
    runs = [right for model in results.models for right in results.correct[model]]
    worst = [min(float(right[labels == label].mean()) for label in set(labels)) for right in runs]
    return pd.Series(worst, index=results.runs.index)
'''

ANALYSIS = '''"""The test sequences that most runs get wrong."""

import numpy as np
import pandas as pd

from analysis.findings import Finding
from analysis.results import Results


def {name}(results: Results) -> Finding:
    """List the ten test sequences that are missed most often."""
    missed = 1 - np.concatenate(list(results.correct.values())).mean(axis=0)
    sequences = {"sample_id": results.test_set.sample_id, "label": results.test_set.label, "missed": missed}
    table = pd.DataFrame(sequences).nlargest(10, "missed")
    return Finding(
        name="{name}",
        title="{title}",
        summary=f"{int((missed == 1).sum())} of {len(missed)} test sequences are missed by every run.",
        tables={"{name}": table},
    )
'''

PROBE = '''"""The size of each weight of a trained model."""

import pandas as pd

from models.classifier import Classifier
from pipeline.data import EventDataset


def {name}(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the Euclidean norm of every parameter; `dataset` is the test split."""
    del dataset
    norms = {weight: float(value.detach().norm()) for weight, value in model.named_parameters()}
    return pd.DataFrame({"weight": list(norms), "norm": list(norms.values())})
'''
