"""The published recipe of the LeTE authors, reimplemented, against ours: same model, same batches, same numbers.

Source: Chen et al. 2025, arXiv 2505.00887, and the authors' notebook on Event-MNIST (repository chenxi1228/LeTE).

- A torch `DataLoader` collates and pads single sequences.
- The encoder sees every event and all padding, and its Fourier half multiplies each wave with each weight before it sums.
- The codes are packed for one layer of `nn.LSTM`; loss and number of correct predictions are read after every update.

Letters: B sequences, L events (padded), N events of all sequences, F width of the Fourier half, M harmonics.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from models.time_embeddings.lete import HARMONICS, FourierSum, LeTE
from pipeline.bench.lines import Line, at_least, ratios
from pipeline.bench.rounds import QUICK_ROUNDS, alternate
from pipeline.bench.training import PackedClassifier, first_sequences
from pipeline.config import RunConfig
from pipeline.data import EventDataset, Splits
from pipeline.machine import has_bf16
from pipeline.place import own_file
from pipeline.study import load_run
from pipeline.training.batches import batches_of
from pipeline.training.loop import fit
from pipeline.training.start import start

ROUNDS = 3
QUICK_BATCH = 64
"""Batch size of a round's only update in the quick benchmark; otherwise the 512 of the protocol."""
AUTHORS, OURS, BF16 = "LeTE authors' recipe", "ours, fp32", "ours, bf16"


class PublishedClassifier(PackedClassifier):
    """The usual recipe with LeTE as its authors evaluate it."""

    encoder: LeTE

    def encode(self, times_N: Tensor) -> Tensor:
        """Return the codes (N, D) of the times (N,) of all events, padding included."""
        encoder, times_N1 = self.encoder, times_N[:, None]
        assert encoder.w1_fourier and encoder.w2_fourier and encoder.w1_spline and encoder.w2_spline  # noqa: S101, PT018
        fourier = fourier_of_each(encoder.w2_fourier, encoder.w1_fourier(times_N1))
        spline = encoder.w2_spline(encoder.w1_spline(times_N1))
        codes_ND: Tensor = encoder.layernorm(torch.cat([fourier, spline], dim=-1)) * encoder.scale_weight
        return codes_ND


def fourier_of_each(series: FourierSum, x: Tensor) -> Tensor:
    """Return the Fourier series (N, F) of x (N, F), computed as products (N, F, F, M) that are then summed."""
    harmonics_M = torch.arange(1, HARMONICS + 1)
    phase_N1FM = x[:, None, :, None] * harmonics_M
    cosines, sines = series.fourier_weight
    waves_NF: Tensor = (phase_N1FM.cos() * cosines).sum((-2, -1)) + (phase_N1FM.sin() * sines).sum((-2, -1))
    return waves_NF + series.bias


def recipe_lines(*, quick: bool) -> list[Line]:
    """Return the speed of both recipes."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    overrides = {"train.epochs": rounds + 1} | ({"train.batch_size": QUICK_BATCH} if quick else {})
    config = load_run(own_file("config") / "lete_paper.json", overrides, "lete")
    splits = first_sequences(config, config.train.batch_size)
    precisions = {OURS: "fp32"} | ({BF16: "bf16"} if has_bf16(torch.device("cpu")) else {})
    ours = {name: _ours(config, splits, precision) for name, precision in precisions.items()}
    authors = _authors(config, splits)
    sides = {AUTHORS: authors.__next__, **{name: epochs.__next__ for name, epochs in ours.items()}}
    seconds = alternate(sides, rounds)
    rates = [
        Line(name=name, unit="sequences/s", values=tuple(len(splits.train) / value for value in values))
        for name, values in seconds.items()
    ]
    judged = BF16 if BF16 in seconds else OURS
    target = at_least(40, "" if judged == BF16 else "on a CPU with bf16")
    return rates + [
        Line(
            name=f"{name}, against the authors'",
            unit="x",
            values=ratios(seconds[AUTHORS], seconds[name]),
            target=target if name == judged else None,
        )
        for name in ours
    ]


def _ours(config: RunConfig, splits: Splits, precision: str) -> Iterator[float]:
    for epoch in fit(start(config, splits, torch.device("cpu")), splits, config, precision):
        yield epoch.seconds


def _authors(config: RunConfig, splits: Splits) -> Iterator[float]:
    """Yield the seconds of each epoch, trained in the way of the authors."""
    training = start(config, splits, torch.device("cpu"))
    model, optimizer, criterion = PublishedClassifier(training.model), training.optimizer, nn.CrossEntropyLoss()
    for number in range(1, config.train.epochs + 1):
        indices = [batch.tolist() for batch in batches_of(splits.train, config, number)]
        loader: DataLoader[Any] = DataLoader(Sequences(splits.train), batch_sampler=indices, collate_fn=collate)
        began, loss_sum, right = time.perf_counter(), 0.0, 0
        for times_BL, lengths_B, labels_B in loader:
            optimizer.zero_grad()
            logits_BC = model(times_BL.float(), None, lengths_B)
            loss = criterion(logits_BC, labels_B)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels_B)
            right += (logits_BC.argmax(1) == labels_B).sum().item()
        yield time.perf_counter() - began


class Sequences(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Sequences one by one, for a `DataLoader`."""

    def __init__(self, dataset: EventDataset) -> None:
        """Split the data set into single sequences."""
        self.times = dataset.times.long().split(dataset.lengths.tolist())
        self.labels = dataset.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.times[index], self.labels[index]


def collate(batch: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return times (B, L), padded with 0, lengths (B,) and labels (B,)."""
    times, labels = zip(*batch, strict=True)
    return pad_sequence(list(times), batch_first=True), torch.tensor([len(row) for row in times]), torch.tensor(labels)
