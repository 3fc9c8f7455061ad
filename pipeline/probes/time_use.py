"""Use of the times: the accuracy of a model if the times are altered, and if only the first events are given."""

import numpy as np
import pandas as pd
import torch

from models.classifier import Classifier
from pipeline.data import EventDataset
from pipeline.probes.alterations import ALTERATIONS, ORIGINAL, altered
from pipeline.seeding import seed_for
from pipeline.training.evaluation import predict

PREFIXES = (5, 10, 20, 40, 80)
"""Numbers of first events after which a prediction is made."""


def time_use(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the accuracy under each alteration of the times, and the share of predictions that it does not change."""
    truth = predict(model, dataset).argmax(1)
    rows = [_answers(ORIGINAL, "everything", truth, truth, dataset)]
    for alteration in ALTERATIONS:
        generator = np.random.default_rng(seed_for(0, "probe", alteration.name))
        answers = predict(model, altered(dataset, alteration, generator)).argmax(1)
        rows.append(_answers(alteration.name, alteration.leaves, answers, truth, dataset))
    return pd.DataFrame(rows)


def _answers(
    name: str, leaves: str, answers: torch.Tensor, truth: torch.Tensor, dataset: EventDataset
) -> dict[str, object]:
    return {
        "alteration": name,
        "leaves": leaves,
        "sequences": len(dataset),
        "accuracy": float((answers == dataset.labels).double().mean()),
        "unchanged": float((answers == truth).double().mean()),
    }


def anytime(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the accuracy after the first k events, and the share of sequences with more events; k = 0, the last row, means all."""
    rows = []
    for events in (*(k for k in PREFIXES if bool((dataset.lengths > k).any())), 0):
        shown = dataset.truncate(events) if events else dataset
        accuracy = (predict(model, shown).argmax(1) == dataset.labels).double().mean()
        cut = (dataset.lengths > events).double().mean() if events else torch.tensor(0.0)
        rows.append({"events": events, "accuracy": float(accuracy), "cut": float(cut), "sequences": len(dataset)})
    return pd.DataFrame(rows)
