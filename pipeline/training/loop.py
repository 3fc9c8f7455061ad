"""The training loop, as a generator of epochs; stopping it is a `break`.

Every number that it yields follows from (config, data, processor): the order of the data and the masks of dropout are
drawn from streams named by (seed, epoch), so a run that is resumed after an epoch continues as if it had not stopped.

Letters: B sequences of a batch, C classes, S updates of an epoch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from pipeline.config import RunConfig
from pipeline.data import EventDataset, Splits
from pipeline.seeding import seed_of, seeded
from pipeline.training.batches import batches_of
from pipeline.training.evaluation import Evaluation, Score, autocast, evaluate
from pipeline.training.start import Training


@dataclass(frozen=True)
class Epoch:
    """The results of one pass over the training split."""

    number: int
    """Number of the epoch, from 1."""
    train: Score
    """Running mean over the epoch, in training mode."""
    validation: Evaluation | None
    """None if the data set has no validation split."""
    test: Evaluation
    seconds: float
    """Wall-clock seconds of training, evaluation excluded."""
    learning_rate: float
    gradient_norm: float
    """Mean norm of the gradient over the updates, before clipping."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Scalars of the embedding, such as gate loads, from the last batch."""

    def metrics(self) -> dict[str, float]:
        """Return the epoch as named scalars; those of a split are named `split/metric`."""
        scores = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            **{f"{split}/loss": score.loss for split, score in scores.items() if score},
            **{f"{split}/accuracy": score.accuracy for split, score in scores.items() if score},
            "seconds": self.seconds,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            **self.diagnostics,
        }


def fit(training: Training, splits: Splits, config: RunConfig, precision: str) -> Iterator[Epoch]:
    """Train from the current epoch of `training` to the last one, and yield each epoch once it is evaluated.

    `precision` is fp32 or bf16. Raises FloatingPointError after an epoch in which a loss or gradient was not finite.
    """
    for number in range(training.epoch + 1, config.train.epochs + 1):
        rate = training.optimizer.param_groups[0]["lr"]
        began = time.perf_counter()
        with seeded(seed_of(config.seed, config.train.vary, "dropout"), "dropout", number):
            train, norm = _train_epoch(training, splits.train, config, precision, number)
        seconds = time.perf_counter() - began
        validation = evaluate(training.model, splits.validation, precision) if len(splits.validation) else None
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
            test=evaluate(training.model, splits.test, precision),
            seconds=seconds,
            learning_rate=rate,
            gradient_norm=norm,
            diagnostics=training.model.diagnostics(),
        )


def _train_epoch(
    training: Training, dataset: EventDataset, config: RunConfig, precision: str, number: int
) -> tuple[Score, float]:
    """Pass once over the split; return the running score and the mean gradient norm.

    Losses and norms stay on the device until the end of the epoch: reading one would make the processor wait for the device.
    """
    model, optimizer = training.model.train(), training.optimizer
    losses: list[Tensor] = []
    rights: list[Tensor] = []
    norms: list[Tensor] = []
    objectives: list[Tensor] = []
    weights_K = _balanced(dataset) if config.train.class_weights == "balanced" else None
    for indices_B in batches_of(dataset, config, number):
        optimizer.zero_grad(set_to_none=True)
        for part in indices_B.tensor_split(min(config.train.accumulation_steps, len(indices_B))):
            batch = dataset.batch(part)
            with autocast(precision, batch.labels.device):
                logits_BC = model(batch.times, batch.features, batch.lengths)
            loss = nn.functional.cross_entropy(logits_BC.float(), batch.labels)
            penalty = model.penalty()
            fitted = loss if weights_K is None else _weighted(logits_BC.float(), batch.labels, weights_K)
            objective = fitted if penalty is None else fitted + penalty
            (objective * (len(part) / len(indices_B))).backward()
            losses.append(loss.detach().double() * len(part))
            rights.append((logits_BC.argmax(1) == batch.labels).sum())
            objectives.append(objective.detach())
        norms.append(_clip([group["params"] for group in optimizer.param_groups], config.train.clip_norm))
        optimizer.step()
    _check_finite("loss", torch.stack(objectives), number)
    _check_finite("gradient norm", norms_S := torch.stack(norms), number)
    loss_sum, correct = torch.stack(losses).sum().item(), torch.stack(rights).sum().item()
    return Score(loss_sum / len(dataset), correct / len(dataset)), norms_S.double().mean().item()


def _balanced(dataset: EventDataset) -> Tensor:
    """Return the weight n / (K n_k) of each class, (C,), for n sequences, n_k of them of class k, and K classes that occur.

    The weight of a class without sequences is 0.
    """
    count_C = torch.bincount(dataset.labels, minlength=dataset.classes)
    return len(dataset) / (int((count_C > 0).sum()) * count_C.clamp(min=1)) * (count_C > 0)


def _weighted(logits_BC: Tensor, labels_B: Tensor, weights_C: Tensor) -> Tensor:
    """Return the mean over the batch of the weighted losses of logits (B, C).

    The sum is divided by B, not by the sum of the weights in the batch, as torch does: then the weight of a sequence does not
    depend on the others in its batch, and a batch that is computed in parts has the same gradient.
    """
    losses_B = nn.functional.cross_entropy(logits_BC, labels_B, reduction="none")
    return (losses_B * weights_C[labels_B]).mean()


def _clip(groups: list[list[Tensor]], limit: float) -> Tensor:
    """Clip the gradient of each group of weights to a norm of `limit`, unless `limit` is 0.

    Return the norm of the gradient of all groups before clipping.
    """
    norms = []
    for weights in groups:
        norms.append(nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None]))
        if limit:
            nn.utils.clip_grads_with_norm_(weights, limit, norms[-1])
    return torch.stack(norms).square().sum().sqrt()


def _check_finite(what: str, values_S: Tensor, epoch: int) -> None:
    """Raise FloatingPointError with the first of the values (S,) of an epoch that is not finite, if there is one."""
    wrong_S = ~torch.isfinite(values_S)
    if bool(wrong_S.any()):
        step = int(wrong_S.nonzero()[0])
        raise FloatingPointError(
            f"training: {what} must be finite, got {values_S[step].item()} in epoch {epoch} at step {step + 1} of "
            f"{len(values_S)}. Lower train.learning_rate, or set train.clip_norm."
        )
