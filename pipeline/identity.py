"""The identity of a run: everything that decides its numbers, and nothing else. Cells with the same identity have equal results.

A cell is identified by the settings that have an effect, the seed, the content of the data, the code that its training
executes (`pipeline/code.py`), the version of torch, the precision, the kind of device, and the kernel of an LSTM.
`docs/decisions/0013-identity.md` says what is covered and why.
"""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import metadata

import torch
from torch import nn

from models.classifier import Classifier
from models.registry import AnyModel
from models.time_embeddings import OwnEmbeddingConfig
from pipeline.code import Code, Definition, code_of, place_of
from pipeline.config import RunConfig, TrainConfig, config_hash, digest_of
from pipeline.data import Splits
from pipeline.machine import resolve_device, resolve_kernel, resolve_precision
from pipeline.place import DISTRIBUTION, ROOT, is_checkout
from pipeline.training.batches import BATCHINGS
from pipeline.training.choice import best_epoch, out_of_patience
from pipeline.training.evaluation import predict
from pipeline.training.loop import fit
from pipeline.training.optimizers import OPTIMIZERS
from pipeline.training.schedules import SCHEDULES
from pipeline.training.start import start

ANY_HORIZON = 64
"""Horizon of a model that is built only to inspect its classes: long enough for every setting."""
FOLLOWED = ("models", "pipeline.training", "pipeline.seeding")
"""Packages in which the code of a run is followed: data and settings have hashes of their own."""
SKIPPED = ("diagnostics", "angular_frequencies", "idle", "effective", "state_dict", "load_state_dict", "__getstate__")
"""Methods of models that describe, store, or identify, and change no number."""
IDLE_CALLS = {"seed_of": "vary", "without_losses": "patience"}
"""Functions whose call counts as its first argument where a setting of the training is idle: earlier runs keep their identity."""


SHARED = (
    *map(place_of, (fit, start, predict, best_epoch, out_of_patience, Classifier)),
    ("pipeline.data.events", "EventDataset.batch"),
    ("pipeline.data.events", "EventDataset.lengths"),
)
"""The code that every training executes."""


def identity(config: RunConfig, splits: Splits, device: str) -> dict[str, str]:
    """Return what decides the numbers of a run, by name.

    `cell` is the hash of all parts, `variant` the hash of all parts except the seed, and `shared_code_digest` the digest of the
    code that all runs share: models whose `shared_code_digest` differs were not trained in the same way.
    """
    resolved = resolve_device(device)
    parts = {
        "settings": digest_of(_settings(config)),
        "data_digest": splits.digest,
        "code_digest": code_digest(config),
        "torch_version": torch.__version__,
        "precision": resolve_precision(config.train.precision, resolved),
        "device": resolved.type,
    }
    if _built(config.model).has_lstm:
        parts["lstm_kernel"] = resolve_kernel(parts["precision"], resolved)
    cell = {"cell": digest_of({**parts, "seed": config.seed})[:16], "variant": digest_of(parts)[:16]}
    described = {"config_hash": config_hash(config), "seed": str(config.seed)}
    return {**parts, **cell, **described, "shared_code_digest": shared_code_digest()}


def _settings(config: RunConfig) -> dict[str, object]:
    """Return the settings that have an effect; those of the data are covered by the digest of its content."""
    train = config.train.effective()
    if not _built(config.model).frequencies:
        train.pop("frequency_rate")
    return {"model": config.model.effective(), "train": train}


def code_digest(config: RunConfig) -> str:
    """Return the SHA-256 of the code behind a run, and of the versions of the libraries that its model computes with."""
    settings = config.train.idle()
    idle = tuple(call for call, setting in IDLE_CALLS.items() if setting in settings)
    return _code(config.model, (*SHARED, *map(place_of, _chosen(config.train))), idle).digest


def _chosen(config: TrainConfig) -> list[Callable[..., object]]:
    """Return the chosen functions for optimiser and batching, and for the schedule if it ever changes the learning rate."""
    chosen: list[Callable[..., object]] = [OPTIMIZERS[config.optimizer], BATCHINGS[config.batching]]
    return chosen + ([SCHEDULES[config.scheduler.name]] if config.scheduler.changes(config.epochs) else [])


@cache
def _code(model: AnyModel, training: tuple[Definition, ...], idle: tuple[str, ...]) -> Code:
    roots = {*training, *_built(model).classes}
    return code_of(roots, followed=FOLLOWED, skipped=SKIPPED, idle_calls=idle)


@cache
def shared_code_digest() -> str:
    """Return the SHA-256 of the code that all runs share, whatever their settings."""
    return code_of(SHARED, followed=FOLLOWED, skipped=SKIPPED, idle_calls=IDLE_CALLS).digest


class _Built:
    """Properties of a model that was built only to inspect it."""

    def __init__(self, config: AnyModel) -> None:
        with torch.random.fork_rng(devices=[]):
            model = config.build(horizon=ANY_HORIZON, feature_dim=0, classes=2)
        kinds = {kind for module in model.modules() for kind in type(module).__mro__}
        kinds |= {type(config), type(config.embedding)}
        own = config.embedding
        named = own.project_names() if isinstance(own, OwnEmbeddingConfig) else set()
        self.classes = {place_of(kind) for kind in kinds if kind.__module__.startswith("models.")} | named
        """The classes of its modules, their configs, and the names of this project that the source of a user's own class uses."""
        self.frequencies = any(weight.requires_grad for weight in model.embedding.raw_frequencies())
        """Whether the model trains frequencies that may have a learning rate of their own."""
        self.has_lstm = any(isinstance(module, nn.LSTM) for module in model.modules())


@cache
def _built(config: AnyModel) -> _Built:
    return _Built(config)


@cache
def commit() -> dict[str, str]:
    """Return the git commit and whether the working tree differs from it; for an installed package, its version."""
    if not is_checkout():
        with suppress(metadata.PackageNotFoundError):
            return {"package_version": metadata.version(DISTRIBUTION)}
        return {}
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        status = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"mlflow.source.git.commit": head.stdout.strip(), "dirty": str(bool(status.stdout.strip())).lower()}
