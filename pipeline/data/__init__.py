"""The registry of data sets: one line each. What is listed here is tested, documented and selectable by name."""

from typing import Annotated, get_args

from pydantic import Field

from pipeline.data.base import DatasetConfig, Splits
from pipeline.data.events import DataError, EventBatch, EventDataset
from pipeline.data.events_file import EventsFileConfig
from pipeline.data.flights import FlightsConfig
from pipeline.data.mnist import EventFashionMNISTConfig, EventKMNISTConfig, EventMNISTConfig, MNISTSampleConfig
from pipeline.data.ratings import RatingsConfig
from pipeline.data.recordings import RecordingsConfig
from pipeline.data.standardization import Standardization
from pipeline.data.synthetic import SyntheticConfig
from pipeline.data.tunes import TunesConfig

AnyDataset = Annotated[
    EventMNISTConfig
    | EventFashionMNISTConfig
    | EventKMNISTConfig
    | MNISTSampleConfig
    | FlightsConfig
    | TunesConfig
    | RatingsConfig
    | SyntheticConfig
    | EventsFileConfig
    | RecordingsConfig,
    Field(discriminator="name"),
]  # fmt: skip

DATASETS: dict[str, type[DatasetConfig]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyDataset)[0])
}

__all__ = [
    "DATASETS",
    "AnyDataset",
    "DataError",
    "DatasetConfig",
    "EventBatch",
    "EventDataset",
    "Splits",
    "Standardization",
]
