"""The training loop, as a generator of epochs; stopping it is a `break`.

Every number that it yields follows from (config, data, processor): the order of the data and the masks of dropout are
drawn from streams named by (seed, epoch), so a run that is resumed after an epoch goes on as if it had not stopped.

Letters: B sequences of a batch, N sequences of a split, C classes.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from models.classifier import Classifier
from pipeline.config import (
    ConstantSchedule,
    CosineSchedule,
    PlateauSchedule,
    RunConfig,
    StepSchedule,
    TrainConfig,
)
from pipeline.data import EventDataset, Splits
from pipeline.errors import UsageError
from pipeline.seeding import generator_for, seeded

EVALUATION_BATCH = 512
"""Sequences evaluated at once; it does not change the result."""
BUCKET_POOL = 50
"""Batches whose sequences are sorted by length together under `batching: bucketed`."""

History = list[dict[str, float]]
"""The metrics of each epoch, with its number as `epoch`."""


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy in nats and accuracy in [0, 1] over a split."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training split did."""

    number: int
    """From 1."""
    train: Score
    """Running mean over the epoch, in training mode."""
    validation: Score | None
    """None where the data set has no validation split."""
    test: Score
    seconds: float
    """Wall-clock seconds of training, evaluation excluded."""
    learning_rate: float
    gradient_norm: float
    """Mean norm of the gradient over the updates, before clipping."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Scalars of the embedding, such as gate loads, at the last batch."""

    def metrics(self) -> dict[str, float]:
        """Return the epoch as named scalars, `split/metric` where a split is meant."""
        scores = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            **{f"{split}/loss": score.loss for split, score in scores.items() if score},
            **{f"{split}/accuracy": score.accuracy for split, score in scores.items() if score},
            "seconds": self.seconds,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            **self.diagnostics,
        }


@dataclass
class Training:
    """A model in training: what a checkpoint holds."""

    model: Classifier
    optimizer: torch.optim.Optimizer
    scheduler: lr_scheduler.LRScheduler
    epoch: int = 0
    """Epochs done."""

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer, scheduler and position as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch = state["epoch"]


def resolve_device(device: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:1` means here; `UsageError` where there is none."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"--device: must be auto, cpu, cuda or cuda:N, got {device}. Choose one of them.")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(
            f"--device: must be a device of this machine, got {device} with {count} of CUDA. Use --device cpu."
        )
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return fp32 or bf16: `auto` is bf16 on GPUs that have it and on CPUs with AMX tiles.

    A CPU with AVX512-BF16 but without AMX runs the recurrent layers slower in bf16 than in fp32
    (`docs/decisions/0002-precision.md`). `UsageError` where bf16 is asked for and the processor has no instructions for it.
    """
    if precision == "bf16" and not has_bf16(device):
        raise UsageError(
            f"train.precision: must be auto or fp32 on a {device.type.upper()} without bf16 instructions, got bf16. "
            "Leave it at auto."
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if has_bf16(device) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"  # noqa: SLF001 - torch has no public test


def has_bf16(device: torch.device) -> bool:
    """Say whether the recurrent layers can run in bf16 on a device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - torch has no public test


def check_fit(config: RunConfig, splits: Splits) -> None:
    """Raise `ModelError` unless the model can take every event of the data: no run shall begin that cannot end."""
    model = _build(config, splits)
    for split in (splits.train, splits.validation, splits.test):
        model.check(split.times, split.gaps)


def _build(config: RunConfig, splits: Splits) -> Classifier:
    train = splits.train
    with seeded(config.seed, "init"):
        return config.model.build(horizon=train.horizon, feature_dim=train.feature_dim, classes=train.classes)


def start(config: RunConfig, splits: Splits, device: torch.device) -> Training:
    """Build model, optimizer and scheduler at epoch 0; initial values come from the stream (seed, "init")."""
    model = _build(config, splits).to(device)
    optimizer = _optimizer(model, config.train)
    return Training(model, optimizer, _scheduler(optimizer, config.train))


def _optimizer(model: Classifier, config: TrainConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    weights = _groups(model, config)
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=0.9)


def _groups(model: Classifier, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the trained weights, and apart from them the frequencies that have a rate of their own, if there are any."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    held = {id(weight) for weight in model.embedding.raw_frequencies()} if config.frequency_rate < 1 else set()
    frequencies = [weight for weight in trained if id(weight) in held]
    groups: list[dict[str, Any]] = [{"params": [weight for weight in trained if id(weight) not in held]}]
    if frequencies:
        rate = config.frequency_rate * config.learning_rate
        groups.append({"params": frequencies, "lr": rate, "weight_decay": 0.0})
    return groups


def _scheduler(optimizer: torch.optim.Optimizer, config: TrainConfig) -> lr_scheduler.LRScheduler:
    match config.scheduler:
        case ConstantSchedule():
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case StepSchedule(step_size=size, decay=decay):
            return lr_scheduler.StepLR(optimizer, size, decay)
        case CosineSchedule(final_fraction=final):
            return lr_scheduler.LambdaLR(
                optimizer, lambda epoch: final + (1 - final) * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
            )
        case PlateauSchedule(factor=factor, plateau_epochs=patience):
            return lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=factor, patience=patience)


def fit(training: Training, splits: Splits, config: RunConfig, precision: str) -> Iterator[Epoch]:
    """Train from where `training` stands to the last epoch, yielding each epoch when it is done and evaluated.

    `precision` is fp32 or bf16. Raises FloatingPointError at the first loss or gradient that is not finite.
    """
    for number in range(training.epoch + 1, config.train.epochs + 1):
        rate = training.optimizer.param_groups[0]["lr"]
        began = time.perf_counter()
        with seeded(config.seed, "dropout", number):
            train, norm = _train_epoch(training, splits.train, config, precision, number)
        seconds = time.perf_counter() - began
        validation = _evaluate(training.model, splits.validation, precision) if len(splits.validation) else None
        if isinstance(training.scheduler, lr_scheduler.ReduceLROnPlateau):
            assert validation is not None  # noqa: S101 - the config refuses it
            training.scheduler.step(validation.accuracy)
        else:
            training.scheduler.step()
        training.epoch = number
        yield Epoch(
            number=number,
            train=train,
            validation=validation,
            test=_evaluate(training.model, splits.test, precision),
            seconds=seconds,
            learning_rate=rate,
            gradient_norm=norm,
            diagnostics=training.model.diagnostics(),
        )


def best_epoch(history: History) -> int:
    """Return the epoch with the best validation accuracy (then loss, then the earlier); the last without validation."""
    if "validation/accuracy" not in history[-1]:
        return int(history[-1]["epoch"])
    best = max(history, key=lambda row: (row["validation/accuracy"], -row["validation/loss"], -row["epoch"]))
    return int(best["epoch"])


def out_of_patience(history: History, patience: int) -> bool:
    """Say whether the last `patience` epochs brought no better validation accuracy; never when patience is 0."""
    return bool(patience and history) and history[-1]["epoch"] - best_epoch(history) >= patience


def _train_epoch(
    training: Training, dataset: EventDataset, config: RunConfig, precision: str, number: int
) -> tuple[Score, float]:
    """Pass once over the split; return the running score and the mean gradient norm."""
    model, optimizer = training.model.train(), training.optimizer
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    loss_sum = correct = norm_sum = 0.0
    batches = batches_of(dataset, config, number)
    for step, indices_B in enumerate(batches, start=1):
        optimizer.zero_grad(set_to_none=True)
        for part in indices_B.tensor_split(min(config.train.accumulation_steps, len(indices_B))):
            batch = dataset.batch(part)
            with autocast(precision, batch.labels.device):
                logits_BC = model(batch.times, batch.features, batch.lengths)
            loss = nn.functional.cross_entropy(logits_BC.float(), batch.labels)
            penalty = model.penalty()
            objective = loss if penalty is None else loss + penalty
            if not torch.isfinite(objective):
                raise FloatingPointError(_not_finite("loss", objective, number, step, len(batches)))
            (objective * (len(part) / len(indices_B))).backward()
            loss_sum += loss.item() * len(part)
            correct += (logits_BC.argmax(1) == batch.labels).sum().item()
        norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        if not torch.isfinite(norm):
            raise FloatingPointError(_not_finite("gradient norm", norm, number, step, len(batches)))
        if config.train.clip_norm:
            nn.utils.clip_grads_with_norm_(weights, config.train.clip_norm, norm)
        optimizer.step()
        norm_sum += norm.item()
    return Score(loss_sum / len(dataset), correct / len(dataset)), norm_sum / len(batches)


def _not_finite(what: str, value: Tensor, epoch: int, step: int, steps: int) -> str:
    return (
        f"training: {what} must be finite, got {value.item()} in epoch {epoch} at step {step} of {steps}. "
        "Lower train.learning_rate, or set train.clip_norm."
    )


def batches_of(dataset: EventDataset, config: RunConfig, number: int) -> list[Tensor]:
    """Return the batches of indices of epoch `number`, from the stream (seed, "order", epoch)."""
    size = config.train.batch_size
    generator = generator_for(config.seed, "order", number)
    order_N = torch.randperm(len(dataset), generator=generator)
    if config.train.batching == "random":
        return list(order_N.split(size))
    batches: list[Tensor] = []
    lengths_N = dataset.lengths.cpu()
    for pool in order_N.split(size * BUCKET_POOL):
        batches += pool[lengths_N[pool].argsort(stable=True)].split(size)
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context that runs the recurrent layers in `precision`; embeddings leave it by themselves."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def predict(model: Classifier, dataset: EventDataset, precision: str = "fp32") -> Tensor:
    """Return the log-probabilities (N, C) of a split in its own order, in evaluation mode."""
    model.eval()
    log_probabilities_NC = torch.empty(len(dataset), dataset.classes)
    for indices_B in dataset.lengths.cpu().argsort(stable=True).split(EVALUATION_BATCH):
        batch = dataset.batch(indices_B)
        with autocast(precision, batch.labels.device):
            logits_BC = model(batch.times, batch.features, batch.lengths)
        log_probabilities_NC[indices_B] = logits_BC.float().log_softmax(1).cpu()
    return log_probabilities_NC


def score(log_probabilities_NC: Tensor, labels_N: Tensor) -> Score:
    """Return the score of log-probabilities (N, C) against labels (N,)."""
    loss = nn.functional.nll_loss(log_probabilities_NC, labels_N)
    return Score(loss.item(), (log_probabilities_NC.argmax(1) == labels_N).double().mean().item())


def _evaluate(model: Classifier, dataset: EventDataset, precision: str) -> Score:
    return score(predict(model, dataset, precision), dataset.labels.cpu())
