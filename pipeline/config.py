"""The config tree of a run: everything that decides its numbers. `pipeline/settings.py` addresses it by dotted paths."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.classifier import LSTMConfig
from models.config import Config
from models.registry import AnyModel
from pipeline.data import AnyDataset
from pipeline.data.mnist import EventMNISTConfig

MOST_DIGITS = 1000
"""Seeds under `train.vary` `all` must be below this: each stream is decided by one of three digits."""


class ConstantSchedule(Config):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"

    def changes(self, epochs: int) -> bool:
        """Return whether the learning rate changes within `epochs` epochs."""
        del epochs
        return False


class StepSchedule(Config):
    """The learning rate is multiplied by `decay` every `step_size` epochs."""

    name: Literal["step"] = "step"
    step_size: int = Field(20, ge=1)
    """Epochs between two reductions."""
    decay: float = Field(0.5, gt=0, le=1)
    """Factor of a reduction."""

    def changes(self, epochs: int) -> bool:
        """Return whether the learning rate changes within `epochs` epochs."""
        return self.step_size < epochs and self.decay < 1


class CosineSchedule(Config):
    """The learning rate falls along half a cosine to `final_fraction` of its start over the run."""

    name: Literal["cosine"] = "cosine"
    final_fraction: float = Field(0.0, ge=0, le=1)
    """Learning rate of the end as a fraction of the start."""

    def changes(self, epochs: int) -> bool:
        """Return whether the learning rate changes within `epochs` epochs."""
        return epochs > 1 and self.final_fraction < 1


class PlateauSchedule(Config):
    """The learning rate is multiplied by `factor` when validation accuracy has not risen for a while."""

    name: Literal["plateau"] = "plateau"
    factor: float = Field(0.5, gt=0, lt=1)
    """Factor of a reduction."""
    plateau_epochs: int = Field(5, ge=1)
    """Epochs without a better validation accuracy before a reduction."""

    def changes(self, epochs: int) -> bool:
        """Return whether the learning rate changes within `epochs` epochs."""
        return self.plateau_epochs + 1 < epochs


AnySchedule = Annotated[ConstantSchedule | StepSchedule | CosineSchedule | PlateauSchedule, Field(discriminator="name")]


class TrainConfig(Config):
    """How a model is trained."""

    epochs: int = Field(50, ge=1, le=1_000_000)
    """Passes over the training split."""
    batch_size: int = Field(128, ge=1)
    """Sequences an update."""
    accumulation_steps: int = Field(1, ge=1)
    """Parts that a batch is computed in, with less memory: the same update but for other masks of dropout and a load balance per part."""
    batching: Literal["random", "bucketed"] = "random"
    """`random` draws each batch from the whole split; `bucketed` groups similar lengths: faster, but biased by class."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """AdamW (decoupled decay), Adam (decay as an L2 gradient) or SGD with momentum 0.9."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate at the start."""
    frequency_rate: float = Field(0.1, gt=0, le=1)
    """Share of `learning_rate` for learned frequencies that multiply raw times, which then do not decay; 1 treats them as all weights."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay, in the optimizer's own sense."""
    scheduler: AnySchedule = StepSchedule()
    """How the learning rate changes from epoch to epoch."""
    clip_norm: float = Field(1.0, ge=0)
    """Largest norm of the gradient, and of that of frequencies with a rate of their own; 0 does not clip."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the backbone (of Mamba always fp32); `auto` is fp32 on CPUs, and bf16 on GPUs that have it."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each sequence in the loss by n / (K n_k) of its class: rare classes count as much as frequent ones."""
    patience: int = Field(0, ge=0)
    """Stop after this many epochs without a better validation accuracy; 0 never stops early."""
    vary: Literal["together", "init", "order", "dropout", "all"] = "together"
    """Streams that the seed decides: all `together`, one alone (the others as with seed 0), or `all` apart, by its three digits."""

    def idle(self) -> set[str]:
        """Leave out the precision, whose resolved value is part of the identity instead, and settings without effect."""
        idle = {"precision"} | (set() if 0 < self.patience < self.epochs else {"patience"})
        idle |= {"class_weights"} if self.class_weights == "none" else set()
        idle |= {"vary"} if self.vary == "together" else set()
        return idle | (set() if self.scheduler.changes(self.epochs) else {"scheduler"})


class RunConfig(Config):
    """Everything that decides the numbers of one run."""

    seed: int = Field(0, ge=0)
    """Seed of every random stream of the run: initial values, order of the data, dropout."""
    data: AnyDataset = EventMNISTConfig()
    """The data set and its splits."""
    model: AnyModel = LSTMConfig()
    """The classifier and its time embedding."""
    train: TrainConfig = TrainConfig()
    """How it is trained."""

    @model_validator(mode="after")
    def _check_validation(self) -> "RunConfig":
        if not self.data.validation_size and (self.train.patience or isinstance(self.train.scheduler, PlateauSchedule)):
            raise ValueError(
                "data.validation_size: must be above 0 where train.patience or the plateau schedule looks at validation, got 0"
            )
        return self

    @model_validator(mode="after")
    def _check_digits(self) -> "RunConfig":
        if self.train.vary == "all" and self.seed >= MOST_DIGITS:
            raise ValueError(
                f"seed: must be below {MOST_DIGITS} where train.vary is all, a digit for each stream, got {self.seed}"
            )
        return self


def config_hash(config: RunConfig) -> str:
    """Return the SHA-256 of a config without its seed: equal for all seeds of one variant.

    Settings without effect are left out, so a setting that is added to the project does not change the hash of earlier studies.
    The precision counts as requested, `auto` included. A user's file counts by its content.
    """
    train = {**config.train.effective(), "precision": config.train.precision}
    return digest_of({"model": config.model.effective(), "train": train, "data": config.data.identity()})


def digest_of(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_of_file(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
