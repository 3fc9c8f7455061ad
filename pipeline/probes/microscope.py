"""The encoding microscope: properties of the codes that a model's time embedding gives to the times of the axis.

- The codes and their effective rank are those of `models.cards`: the code of a single event at each time, or of a single gap. The
  dependence of an embedding on a longer past is not measured.
- Columns of the code are centred, because the layer that follows has a bias; constant columns are left out.

Letters: T times of the grid, D width of the code, P pairs of time and gap, E experts.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cards import CONSTANT, codes_on_grid, effective_rank, standardised
from models.classifier import Classifier
from models.kmote import top_gates
from pipeline.data import EventDataset

MOST_TIMES = 1024
KERNEL_SIDE = 112
"""Most times on a side of the kernel: every 7th of 784, which is four per row of 28 pixels."""
WINDOWS = 28
"""Number of stretches of the time axis over which gates are averaged."""
DISTINCT = {"dt_10": 0.1, "dt_50": 0.5}
"""Thresholds of telling two times apart, as shares of the distance of two unrelated codes, by the name of the column."""

Codes = NDArray[np.float64]


def grid(dataset: EventDataset) -> Tensor:
    """Return at most 1,024 evenly spread whole times (T,) from 0 to below the horizon."""
    last = max(int(dataset.horizon) - 1, 0)
    return torch.linspace(0, last, min(last + 1, MOST_TIMES), dtype=torch.float64).round().long()


def _codes(model: Classifier, dataset: EventDataset) -> Tensor:
    """Return the codes (T, D) of the grid, whose times have the data's number type."""
    kind = torch.float32 if dataset.times.dtype.is_floating_point else torch.int64
    return codes_on_grid(model.embedding, grid(dataset).to(kind))


def encoding(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return a table of one row: width, effective rank, and the smallest time differences that the code tells apart."""
    raw, times = _codes(model, dataset), grid(dataset)
    codes: Codes = standardised(raw).numpy()
    step = times[-1].item() / max(len(times) - 1, 1)  # the mean step, because steps of a rounded grid differ
    row = {"width": model.embedding.dim, "columns": codes.shape[1], "effective_rank": effective_rank(raw)}
    return pd.DataFrame([row | {name: step * told_apart(codes, share) for name, share in DISTINCT.items()}])


def told_apart(codes: Codes, share: float) -> float:
    """Return the smallest lag, in rows, whose median distance is at least `share` of that of two unrelated rows; NaN if none is.

    With standardised columns the root-mean-square distance of two unrelated rows is sqrt(2 D).
    """
    unrelated = (2 * codes.shape[1]) ** 0.5
    for lag in range(1, len(codes) // 2 + 1):
        if codes.shape[1] and np.median(np.linalg.norm(codes[lag:] - codes[:-lag], axis=1)) >= share * unrelated:
            return float(lag)
    return float("nan")


def kernel(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the cosine similarity of the centred codes of two times, one row per pair of times."""
    times = grid(dataset)[:: -(-len(grid(dataset)) // KERNEL_SIDE)]
    codes: Codes = _codes(model, dataset).numpy()
    codes = (codes - codes.mean(axis=0))[:: -(-len(codes) // KERNEL_SIDE)]
    norms = np.linalg.norm(codes, axis=1).clip(min=CONSTANT)
    similarity = (codes @ codes.T) / np.outer(norms, norms)
    row, column = np.meshgrid(times.numpy(), times.numpy(), indexing="ij")
    return pd.DataFrame(
        {
            "time": row.ravel().astype(np.int32),
            "other": column.ravel().astype(np.int32),
            "similarity": similarity.ravel().astype(np.float32),
        }
    )


def spectrum(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the mean share of the code's variance at each frequency, in cycles over the time axis, from 1 on."""
    codes: Codes = standardised(_codes(model, dataset)).numpy()
    power = np.abs(np.fft.rfft(codes, axis=0)[1:]) ** 2
    shares = power / power.sum(axis=0).clip(min=CONSTANT) if codes.shape[1] else np.zeros((len(power), 1))
    cycles = np.arange(1, len(power) + 1)
    return pd.DataFrame({"cycles": cycles, "period": dataset.horizon / cycles, "share": shares.mean(axis=1)})


def frequencies(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the frequencies of the embedding, in radians per time unit, with their periods; no rows if it has none."""
    del dataset
    found = model.embedding.angular_frequencies().double().cpu().numpy()
    with np.errstate(divide="ignore"):
        return pd.DataFrame({"frequency": found, "period": 2 * np.pi / np.abs(found)})


def gates(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return the mean gate of each expert of a mixture in stretches of the time axis; no rows without a router.

    The mean is over the distinct pairs of time and gap that occur, or over gaps if the mixture encodes gaps.
    """
    embedding, mixture = model.embedding, getattr(model.embedding, "kmote", None)
    columns = ["start", "expert", "gate"]
    if mixture is None or mixture.router is None or not len(dataset.times):
        return pd.DataFrame(columns=columns).astype({"start": float, "expert": str, "gate": float})
    batch = dataset.batch(torch.arange(len(dataset)))
    seen: list[tuple[Tensor, Tensor]] = []
    hook = mixture.router.register_forward_hook(
        lambda _module, inputs, logits: seen.append((inputs[0], top_gates(logits, mixture.k_top)))
    )
    try:
        with torch.no_grad():
            embedding(batch.times, batch.lengths)
    finally:
        hook.remove()
    context_P2, gates_PE = seen[0]
    real = torch.arange(batch.times.shape[1]) < batch.lengths[:, None]
    gap = getattr(embedding, "time_input", "absolute") == "gap"
    values = batch.times.diff(dim=1, prepend=batch.times[:, :1]) if gap else batch.times
    # The router's input is an increasing function of the time, so both have the same ranks.
    rank_P = torch.unique(context_P2[:, 0], return_inverse=True)[1]
    time_P = torch.unique(values[real])[rank_P].double().numpy()
    width = dataset.horizon / WINDOWS
    table = pd.DataFrame(gates_PE.double().numpy(), columns=mixture.expert_names)
    means = table.assign(start=np.floor(time_P / width) * width).groupby("start").mean()
    return means.reset_index().melt(id_vars="start", var_name="expert", value_name="gate")[columns]
