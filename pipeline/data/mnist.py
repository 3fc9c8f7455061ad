"""Images as event sequences: an event at every bright pixel, row by row, timed by its position.

Source: the Event-MNIST task of Chen et al. 2025, arXiv 2505.00887.

- A pixel is an event if x / 255 > threshold, strictly, in float64: at 0.9 that is x >= 230.
- An image without a bright pixel is a sequence without events.
"""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from pipeline.data import sources
from pipeline.data.base import DatasetConfig
from pipeline.data.events import EventDataset
from pipeline.data.sources import Images

SAMPLE_FILE = Path(__file__).with_name("mnist_sample.npz")
"""700 images of MNIST: uint8 images and labels of a training and a test part."""

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""Classes of Fashion-MNIST in the order of their numbers, as Xiao et al. 2017, arXiv 1708.07747, call them."""
HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
"""Classes of KMNIST in the order of their numbers, of Clanuwat et al. 2018, arXiv 1812.01718, in Latin letters."""


def events_of_images(
    images: Images, *, threshold: float, intensities: bool, name: str, class_names: tuple[str, ...] = DIGITS
) -> EventDataset:
    """Return the events of 10-class images: pixels brighter than `threshold`, in [0, 1); `intensities` adds x / 255 as feature."""
    pixels = images[0].reshape(len(images[0]), -1)
    darkest = int(np.argmax(np.arange(256) / 255 > threshold))
    bright = pixels >= darkest
    events = np.flatnonzero(bright)
    horizon = int(np.prod(images[0].shape[1:]))
    return EventDataset(
        times=torch.from_numpy((events % horizon).astype(np.int16)),
        offsets=torch.from_numpy(np.cumsum([0, *np.count_nonzero(bright, axis=1)], dtype=np.int64)),
        labels=torch.from_numpy(images[1]),
        features=torch.from_numpy(pixels.reshape(-1)[events].astype(np.float32) / 255)[:, None]
        if intensities
        else None,
        classes=10,
        horizon=float(horizon),
        time_unit="pixel",
        name=name,
        class_names=class_names,
    )


class ImageEventsConfig(DatasetConfig):
    """Fields of the data sets that are made of images."""

    class_names: ClassVar[tuple[str, ...]] = DIGITS

    threshold: float = Field(0.9, ge=0, lt=1)
    """Brightness in [0, 1) that a pixel must exceed to be an event."""
    intensities: bool = False
    """Give each event the brightness of its pixel as a feature; off in the published protocol, because it gives the digit away."""

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Return the events of the training and the test images."""
        train, test = (
            events_of_images(
                images,
                threshold=self.threshold,
                intensities=self.intensities,
                name=self.name,
                class_names=self.class_names,
            )
            for images in self.images(folder)
        )
        return train, test

    @abstractmethod
    def images(self, folder: Path) -> tuple[Images, Images]:
        """Return the training and the test images."""


class _TorchvisionConfig(ImageEventsConfig):
    files: ClassVar[sources.ImageFiles]

    def images(self, folder: Path) -> tuple[Images, Images]:
        """Return the images of the original files, which are fetched if they are not in `folder`."""
        sources.fetch(self.files, folder)
        return sources.read(self.files, folder, "train"), sources.read(self.files, folder, "test")


class EventMNISTConfig(_TorchvisionConfig):
    """Event-MNIST: 60,000 training and 10,000 test digits, 68.6 events each at threshold 0.9."""

    files = sources.MNIST
    name: Literal["event_mnist"] = "event_mnist"


class EventFashionMNISTConfig(_TorchvisionConfig):
    """The same of Fashion-MNIST: ten kinds of clothes instead of digits."""

    files = sources.FASHION_MNIST
    class_names = CLOTHES
    name: Literal["event_fashion_mnist"] = "event_fashion_mnist"


class EventKMNISTConfig(_TorchvisionConfig):
    """The same of KMNIST: ten cursive Japanese characters (hiragana) instead of digits."""

    files = sources.KMNIST
    class_names = HIRAGANA
    name: Literal["event_kmnist"] = "event_kmnist"


class MNISTSampleConfig(ImageEventsConfig):
    """500 training and 200 test digits of MNIST that come with the project: for tests and for trying things out."""

    name: Literal["mnist_sample"] = "mnist_sample"
    validation_size: int = Field(100, ge=0)
    """Number of sequences held out of the 500 to choose the epoch by; 0 trains on all, and nothing is chosen."""

    def images(self, folder: Path) -> tuple[Images, Images]:
        """Return the images that come with the code; `folder` is not used."""
        del folder
        with np.load(SAMPLE_FILE) as arrays:
            train, test = (
                (arrays[f"{part}_images"], arrays[f"{part}_labels"].astype(np.int64)) for part in ("train", "test")
            )
        return train, test
