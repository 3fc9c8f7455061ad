"""Inference with a stored model, independent of its run: raw lists of events in, classes and probabilities out.

A stored model contains this module and the modules that it imports, and nothing else of the project (`pipeline/parcel.py`).

Letters: N sequences, L events of one, F features of an event, C classes.
"""

import json
from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.config import ModelError
from models.time_embeddings import OwnEmbeddingConfig
from pipeline.checkpoint import load
from pipeline.config import RunConfig
from pipeline.data import DataError, EventDataset, Standardization
from pipeline.data.columns import LARGEST_FEATURE
from pipeline.data.elapsed import Origin
from pipeline.data.mnist import ImageEventsConfig, events_of_images
from pipeline.training.evaluation import EVALUATION_BATCH, predict

LARGEST_PIXEL = 255


class Inference:
    """Classifies sequences of timed events, given as lists of raw times, with features if the model takes them."""

    def __init__(self, description: Path, weights: Path, *, trusted: bool = False) -> None:
        """Rebuild a model from the description that was stored with it, and from its weights.

        The description may hold the source of a user's own embedding, which is run where the caller has `trusted` it, and else
        only where `OwnEmbeddingConfig.made` allows it: ModelError.
        """
        described = json.loads(description.read_text(encoding="utf-8"))
        self.shape = described["shape"]
        self.reference: dict[str, Any] | None = described.get("reference")
        self.config = RunConfig.model_validate(described["config"])
        if trusted and isinstance(self.config.model.embedding, OwnEmbeddingConfig):
            self.config.model.embedding.trust()
        self.model = self.config.model.build(
            horizon=self.shape["horizon"], feature_dim=self.shape["feature_dim"], classes=self.shape["classes"]
        )
        self.model.load_state_dict(load(weights)["model"])
        # Models that were stored earlier say only what was asked for, which may be `auto`.
        self.time_origin: Origin = self.shape.get("time_origin", getattr(self.config.data, "time_origin", "zero"))
        standardization = self.shape["standardization"]
        self._standardization = standardization and Standardization(**standardization)

    def answers(self, events: object, *, anytime: bool = False) -> pd.DataFrame:
        """Return `predicted` (number of the class), `class` (its name) and `probabilities` (list of C) of each row.

        A row of the frame `events` (or of a dict of lists) holds `times` (list of L, ascending, in the unit of the training
        data, from 0 to below its horizon, as in training; the first is 0 if times count from it) and, where the model has
        features, `features` (L lists of F), which are standardised as those of the training data were. A model of images also
        takes `images` alone, rows of pixels from 0 to 255, of which events are made as in training. DataError, which says the
        first thing that is wrong.

        Only the first `data.max_events` events count, as in training. With `anytime`, also the answer after each of these:
        `anytime_class` (list of L) and `anytime_probabilities` (L lists of C).
        """
        columns = self._columns(events)
        dataset = self.cut(self._of_images(columns["images"]) if "images" in columns else self._of_lists(columns))
        probabilities_NC = self.probabilities(dataset)
        predicted_N = probabilities_NC.argmax(1)
        told: dict[str, Any] = {
            "predicted": predicted_N,
            "class": self.names(predicted_N),
            "probabilities": probabilities_NC.tolist(),
        }
        if anytime:
            after_each = [self._after_each(dataset, i) for i in range(len(dataset))]
            told["anytime_class"] = [self.names(rows_LC.argmax(1)) for rows_LC in after_each]
            told["anytime_probabilities"] = [rows_LC.tolist() for rows_LC in after_each]
        return pd.DataFrame(told)

    def cut(self, dataset: EventDataset) -> EventDataset:
        """Return sequences with only the events that training would have kept: the first `data.max_events` of each."""
        most = self.config.data.max_events
        return dataset if most is None else dataset.truncate(most)

    def probabilities(self, dataset: EventDataset) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of sequences whose features are standardised.

        DataError if the embedding refuses a time.
        """
        try:
            self.model.check(dataset.times, dataset.gaps)
        except ModelError as error:
            raise DataError(str(error)) from error
        probabilities_NC: NDArray[np.float64] = np.exp(predict(self.model, dataset).double().numpy())
        return probabilities_NC

    def _after_each(self, dataset: EventDataset, sequence: int) -> NDArray[np.float64]:
        """Return the probabilities (L, C) after each event of a sequence.

        Each row is computed from the events up to that one, so it works for any backbone.
        """
        lengths_L = torch.arange(1, int(dataset.lengths[sequence]) + 1)
        parts = [dataset.beginnings(sequence, lengths) for lengths in lengths_L.split(EVALUATION_BATCH) if len(lengths)]
        return np.concatenate([np.zeros((0, dataset.classes)), *map(self.probabilities, parts)])

    def standardised(self, features: NDArray[np.float64], where: str) -> NDArray[np.float64]:
        """Return standardised features (N, F), as the model takes them; DataError if one is not finite in float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            standard = self._standardization.apply(features) if self._standardization else features
        wrong = ~(np.abs(standard) <= LARGEST_FEATURE)
        if wrong.any():
            rule = f"must be finite, and within {LARGEST_FEATURE:.8g} when standardised"
            raise DataError(f"{where}: {rule}, got {features[wrong][0]:.12g}. Correct it.")
        return standard

    def names(self, numbers: NDArray[np.int64]) -> list[str]:
        """Return the names of classes."""
        return [self.shape["class_names"][number] for number in numbers]

    def _of_lists(self, columns: Mapping[str, Sequence[object]]) -> EventDataset:
        times = [_numbers(row, f"times of sequence {i}", 1) for i, row in enumerate(columns["times"])]
        for i, row in enumerate(times):
            self._check_times(row, f"times of sequence {i}")
        features = None
        if self.shape["feature_dim"]:
            tables = enumerate(columns["features"])
            features = [self._features(table, f"features of sequence {i}", len(times[i])) for i, table in tables]
        return EventDataset.from_lists(
            times, features=features, horizon=self.shape["horizon"], classes=self.shape["classes"]
        )

    def _of_images(self, rows: Sequence[object]) -> EventDataset:
        """Return the events of images, converted as in training."""
        data = self.config.data
        assert isinstance(data, ImageEventsConfig)  # noqa: S101 - others have no such column
        side = isqrt(int(self.shape["horizon"]))
        images = np.stack([_pixels(row, f"image {i}", side) for i, row in enumerate(rows)])
        unlabelled = images, np.zeros(len(images), dtype=np.int64)
        return events_of_images(
            unlabelled,
            threshold=data.threshold,
            intensities=data.intensities,
            name=data.name,
            class_names=data.class_names,
        )

    def _columns(self, events: object) -> Mapping[str, Sequence[object]]:
        """Return the columns of a request by name; DataError if a column is missing or unknown, or if there is no row."""
        wanted = ["times", "features"] if self.shape["feature_dim"] else ["times"]
        rule = f"must be a table with the column{'s' * (len(wanted) > 1)} {' and '.join(wanted)}"
        try:
            if isinstance(events, Mapping):
                events = {name: list(v) if isinstance(v, np.ndarray) else v for name, v in events.items()}
            frame = events if isinstance(events, pd.DataFrame) else pd.DataFrame(events)  # type: ignore[call-overload]
        except (ValueError, TypeError) as error:
            got = " ".join(str(error).split())
            raise DataError(f"request: {rule}, got another thing ({got}). Give a row for each sequence.") from error
        names = list(map(str, frame.columns))
        if isinstance(self.config.data, ImageEventsConfig):
            rule += ", or the column images,"
            wanted = ["images"] if "images" in names else wanted
        if sorted(names) != sorted(wanted):
            got = ", ".join(names) if names else "none"
            raise DataError(f"request: {rule} and no other, got {got}. Rename, add or drop columns.")
        if frame.empty:
            raise DataError("request: must have a row for each sequence, got none. Give at least one.")
        return {name: frame[name].tolist() for name in wanted}

    def _check_times(self, times_L: NDArray[np.float64], where: str) -> None:
        """Refuse what no training set can hold: it refuses the same, and an encoding would answer without having learned.

        Events that are cut off may lie past the horizon.
        """
        horizon, kept = self.shape["horizon"], slice(self.config.data.max_events)
        inside = np.isfinite(times_L) & (times_L >= 0)
        with np.errstate(over="ignore"):
            inside[kept] &= times_L[kept].astype(np.float32) < horizon
        if not inside.all():
            rule = f"must be finite, at least 0 and below {horizon:g}, the horizon of the training data"
            raise DataError(f"{where}: {rule}, got {times_L[~inside][0]:.12g}. Leave such events out.")
        if self.time_origin == "sequence" and len(times_L) and times_L[0] != 0:
            rule = "must begin at 0, because times count since the first of each sequence, as in training"
            raise DataError(f"{where}: {rule}, got {times_L[0]:.12g}. Subtract the first time from all.")
        falls = np.flatnonzero(times_L[1:] < times_L[:-1])
        if len(falls):
            first, second = times_L[falls[0] : falls[0] + 2]
            raise DataError(f"{where}: must ascend, got {first:.12g} before {second:.12g}. Sort the events by time.")

    def _features(self, given: object, where: str, events: int) -> NDArray[np.float64]:
        width = self.shape["feature_dim"]
        table = _numbers(given, where, 2)
        if not events and not len(table):
            return np.zeros((0, width))
        if table.shape != (events, width):
            rule = f"must be {events} lists of {width}, one for each event"
            raise DataError(f"{where}: {rule}, got {len(table)} of {table.shape[1]}. Give equally many numbers.")
        return self.standardised(table, where)


def _pixels(given: object, where: str, side: int) -> NDArray[np.uint8]:
    """Return an image of `side` rows and columns; DataError for another size, or for a value that is no pixel."""
    pixels = _numbers(given, where, 2)
    if pixels.shape != (side, side):
        raise DataError(
            f"{where}: must be {side} lists of {side} numbers, got {len(pixels)} of {pixels.shape[1]}. Correct it."
        )
    wrong = ~((pixels >= 0) & (pixels <= LARGEST_PIXEL) & (pixels == np.floor(pixels)))
    if wrong.any():
        rule = f"must be whole numbers from 0 to {LARGEST_PIXEL}"
        raise DataError(f"{where}: {rule}, got {pixels[wrong][0]:.12g}. Scale the pixels.")
    return pixels.astype(np.uint8)


def _numbers(given: object, where: str, dimensions: int) -> NDArray[np.float64]:
    """Return a list of numbers, or with 2 `dimensions` a list of equally long lists of numbers, as float64."""
    rule = f"must be a list of {'numbers' if dimensions == 1 else 'lists of numbers, all equally long'}"
    row = given.tolist() if isinstance(given, np.ndarray) else given  # Parquet gives arrays of arrays
    if not isinstance(row, list | tuple):
        raise DataError(f"{where}: {rule}, got {type(given).__name__}. Give one for each sequence.")
    try:
        array = np.asarray(row) if len(row) else np.zeros((0,) * dimensions)
    except ValueError:
        raise DataError(f"{where}: {rule}, got lists of several lengths. Correct it.") from None
    if array.ndim != dimensions or array.dtype.kind not in "iuf":
        wrong = next((value for value in row if isinstance(value, bool) or not isinstance(value, int | float)), row[0])
        raise DataError(f"{where}: {rule}, got {wrong!r} in it. Correct it.")
    return array.astype(np.float64)
