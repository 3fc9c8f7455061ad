"""Conversion of the arguments of the API to a study: models, data and settings."""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from models.time_embeddings import (
    OwnEmbeddingConfig,
    OwnPointwiseConfig,
    OwnSequenceConfig,
    PointwiseEmbedding,
    TimeEmbedding,
)
from pipeline.api.source import source_of
from pipeline.config import RunConfig
from pipeline.data import DATASETS, DatasetConfig, EventDataset
from pipeline.data.events_file import EventsFileConfig
from pipeline.errors import UsageError, one_line, shown, unknown
from pipeline.settings import Values, resolve_all
from pipeline.study import Study, check_names, study_of

Embedding = type[nn.Module] | partial[nn.Module]
"""A user's own class, possibly with arguments: `partial(MyEmbedding, waves=8)`."""
Model = str | Embedding | Mapping[str, Any]
Arrays = tuple[Sequence[ArrayLike], ArrayLike] | tuple[Sequence[ArrayLike], ArrayLike, Sequence[ArrayLike]]
"""Times, one list or array per sequence; labels; and optionally features, (events, F) per sequence."""
VALIDATION_SHARE = 0.2
"""Share of the validation split in a small data set in memory, if its size is not given."""


def study_from(
    name: str,
    models: Mapping[str, Model] | Sequence[str | Embedding],
    data: object,
    *,
    seeds: Iterable[int],
    plan: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Study:
    """Return the study that the arguments describe; UsageError if they are invalid."""
    chosen = dict(models) if isinstance(models, Mapping) else {_name_of(model): model for model in models}
    if not chosen or len(chosen) < len(models):
        raise UsageError(f"models: must be at least one, each with a name of its own, got {len(models)}. Give a dict.")
    check_names("models", chosen)
    check_names("name", [name])
    given = {model: _variant(model, what) for model, what in chosen.items()}
    base = {**_data_settings(data), **resolve_all(settings)}
    variants = {model: values for model, (values, _) in given.items()}
    study = study_of({"base": base, "variants": variants, "seeds": list(seeds), "plan": dict(plan)}, name)
    own = {
        model: _with_embedding(study.variants[model], embedding) for model, (_, embedding) in given.items() if embedding
    }
    return replace(study, variants={**study.variants, **own})


def _name_of(model: object) -> str:
    kind = model.func if isinstance(model, partial) else model
    return model if isinstance(model, str) else getattr(kind, "__name__", "model")


def check_codes(study: Study) -> None:
    """Raise UsageError if a user's own embedding fails to encode the first sequences of its data."""
    for model, config in study.variants.items():
        own = config.model.embedding
        if isinstance(own, OwnEmbeddingConfig):
            _check_codes(f"models.{model}", own, config.data.load().train)


def _check_codes(where: str, own: OwnEmbeddingConfig, data: EventDataset) -> None:
    with torch.random.fork_rng(devices=[]):
        embedding = own.build(horizon=data.horizon)
    batch = data.batch(torch.arange(min(2, len(data))))
    try:
        with torch.no_grad():
            if isinstance(embedding, PointwiseEmbedding):
                letters, times = "U", batch.times[0].float()
                codes = embedding.encode(times)
            else:
                letters, times = "B, L", batch.times
                codes = embedding(times, batch.lengths)
        wanted, shape = (*times.shape, own.dim), tuple(codes.shape)
        right = shape == wanted and bool(torch.isfinite(codes).all())
        got = f"{shape} for {tuple(times.shape)}" if shape != wanted else "others"
    except Exception as error:  # a user's class may raise anything; its traceback is shown with this line
        raise UsageError(f"{where}: must encode times, got {one_line(error)}. Correct {own.kind}.") from error
    if not right:
        said = f"must encode times ({letters}) as finite codes ({letters}, {own.dim}), got {got}"
        raise UsageError(f"{where}: {said}. Correct {own.kind}.")


# ------------------------------------------------------------------------------------------------------------- models


def _variant(name: str, model: Model) -> tuple[Values, OwnEmbeddingConfig | None]:
    """Return the settings of a variant, and its embedding if that is a user's own class."""
    settings = dict(model) if isinstance(model, Mapping) else {"embedding": model}
    embedding = settings.pop("embedding", None)
    if embedding is None:
        return settings, None
    if isinstance(embedding, str):
        return {"model.embedding.name": embedding, **settings}, None
    own = _own_embedding(f"models.{name}", embedding)
    # A listed embedding with the same settings takes its place until the settings are checked.
    stand_in = "none" if isinstance(own, OwnSequenceConfig) else "scalar"
    return {"model.embedding.name": stand_in, **settings}, own


def _own_embedding(where: str, embedding: object) -> OwnEmbeddingConfig:
    kind, arguments = (embedding.func, embedding.keywords) if isinstance(embedding, partial) else (embedding, {})
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)) or (
        isinstance(embedding, partial) and embedding.args
    ):
        raise UsageError(
            f"{where}: must be a name, a dict of settings, or a class that derives from torch.nn.Module, got {shown(embedding)}. "
            "Give the class itself; functools.partial(Class, name=value) gives its constructor more than dim."
        )
    if "dim" not in inspect.signature(kind).parameters:
        raise UsageError(
            f"{where}: must have a constructor that takes dim, the width of the code, got {kind.__name__}"
            f"{inspect.signature(kind)}. Write def __init__(self, dim)."
        )
    try:
        said = json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError):
        raise UsageError(
            f"{where}: must be given numbers, text and lists of them by functools.partial, got {shown(arguments)}. "
            "Make other objects in the constructor."
        ) from None
    whole_sequences = issubclass(kind, TimeEmbedding) and not issubclass(kind, PointwiseEmbedding)
    config = (OwnSequenceConfig if whole_sequences else OwnPointwiseConfig)(
        source=source_of(kind, where), kind=kind.__name__, arguments=said
    )
    config.trust()
    return config


def _with_embedding(config: RunConfig, own: OwnEmbeddingConfig) -> RunConfig:
    """Return a config with a user's embedding in place of the listed one that represented it."""
    stand_in = config.model.embedding
    same = {field: getattr(stand_in, field) for field in type(stand_in).model_fields if field != "name"}
    model = config.model.model_copy(update={"embedding": own.model_copy(update=same)})
    return config.model_copy(update={"model": model})


# --------------------------------------------------------------------------------------------------------------- data


def _data_settings(data: object) -> Values:
    """Return the settings of data that are given as a name, a file, arrays, a frame, or the config of a data set."""
    if isinstance(data, DatasetConfig):
        return _of_config(data)
    if isinstance(data, str) and data in DATASETS:
        return {"data.name": data}
    if isinstance(data, str | PathLike):
        path = Path(data)
        if isinstance(data, str) and not path.exists() and not path.suffix:
            raise unknown("data set or file", data, DATASETS, "data")
        return {"data.name": "events_file", "data.path": str(path)}
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise UsageError(
                f"data: must be (times, labels) or (times, labels, features), got {len(data)} parts. Correct it."
            )
        return _of_arrays(*data)
    return _of_config(EventsFileConfig.of(data))


def _of_config(config: DatasetConfig) -> Values:
    given = config.model_dump(mode="json", exclude_defaults=True)
    return {"data.name": config.name, **{f"data.{field}": value for field, value in given.items() if field != "name"}}


def _of_arrays(times: Sequence[ArrayLike], labels: ArrayLike, features: Sequence[ArrayLike] | None = None) -> Values:
    """Store sequences as a table of events in the data folder, and return the settings that read it."""
    rows = [_array(f"times of sequence {number}", row, 1) for number, row in enumerate(times)]
    classes = _array("labels", labels, 1)
    if len(classes) != len(rows):
        raise UsageError(
            f"data: must be (times, labels) with a label for each of {len(rows)} sequences, got {len(classes)} labels. "
            "Give one list of times and one label for each sequence."
        )
    lengths = np.array([len(row) for row in rows], dtype=int)
    if not rows or not lengths.all():
        got = f"none in sequence {int(lengths.argmin())}" if rows else "no sequence"
        raise UsageError(f"data: must have an event in each sequence, got {got}. Leave empty sequences out.")
    columns: dict[str, NDArray[Any]] = {
        "id": np.repeat(np.arange(len(rows)), lengths),
        "time": np.concatenate(rows),
        "label": np.repeat(classes, lengths),
    }
    names: tuple[str, ...] = ()
    if features is not None:
        tables = [_array(f"features of sequence {number}", table, 2) for number, table in enumerate(features)]
        if [len(table) for table in tables] != lengths.tolist() or len({table.shape[1] for table in tables}) > 1:
            raise UsageError(
                "data: must have features (events, numbers) for each sequence, as many rows as it has times, got other shapes. "
                "Give equally many numbers for every event."
            )
        stacked = np.concatenate(tables)
        names = tuple(f"feature_{number}" for number in range(stacked.shape[1]))
        columns |= {column: stacked[:, number] for number, column in enumerate(names)}
    default = EventsFileConfig.model_fields["validation_size"].default
    size = min(default, round(VALIDATION_SHARE * len(rows)))
    return _of_config(EventsFileConfig.of(columns, feature_columns=names, validation_size=size))


def _array(what: str, values: ArrayLike, dimensions: int) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"data: {what} must be an array, got {' '.join(str(error).split())}. Convert it.") from error
    if array.ndim != dimensions or array.dtype == object:
        raise UsageError(
            f"data: {what} must have {dimensions} dimension(s) of numbers, text or dates, got {array.ndim} of {array.dtype}. "
            "Give (times, labels): one list of times and one label for each sequence."
        )
    return array
