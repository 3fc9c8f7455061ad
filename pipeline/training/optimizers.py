"""Optimisers: a function for each value of `train.optimizer`."""

import inspect
from typing import Any, TypeVar, cast

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

from models.classifier import Classifier
from pipeline.config import TrainConfig

Kind = TypeVar("Kind", bound=type[Optimizer])
Groups = list[dict[str, Any]]
"""Parameter groups of torch: weights with settings of their own."""


def optimizer_of(model: Classifier, config: TrainConfig) -> Optimizer:
    """Return the optimiser of the trained weights of a model."""
    return OPTIMIZERS[config.optimizer](weight_groups(model, config), config)


def weight_groups(model: Classifier, config: TrainConfig) -> Groups:
    """Return the trained weights as one group, and the frequencies with a rate of their own, if there are any, as a second."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    held = {id(weight) for weight in model.embedding.raw_frequencies()} if config.frequency_rate < 1 else set()
    frequencies = [weight for weight in trained if id(weight) in held]
    groups: Groups = [{"params": [weight for weight in trained if id(weight) not in held]}]
    if frequencies:
        rate = config.frequency_rate * config.learning_rate
        groups.append({"params": frequencies, "lr": rate, "weight_decay": 0.0})
    return groups


def _eager(kind: Kind) -> Kind:
    """Return an optimiser that computes what `kind` does but never imports torch's compiler.

    torch wraps these methods to exclude them from compilation; the wrappers import the compiler, which takes seconds and 70 MB in
    each process.
    """
    plain = {
        name: inspect.unwrap(getattr(kind, name))
        for name in ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")
    }
    return cast("Kind", type(kind.__name__, (kind,), plain | {"step": torch.no_grad()(plain["step"])}))


def adamw(weights: Groups, config: TrainConfig) -> Optimizer:
    """Return AdamW, whose weight decay is decoupled from the gradient."""
    return _eager(AdamW)(weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def adam(weights: Groups, config: TrainConfig) -> Optimizer:
    """Return Adam, whose weight decay is an L2 penalty that is added to the gradient."""
    return _eager(Adam)(weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def sgd(weights: Groups, config: TrainConfig) -> Optimizer:
    """Return SGD with momentum 0.9."""
    return _eager(SGD)(weights, lr=config.learning_rate, weight_decay=config.weight_decay, momentum=0.9, fused=True)


OPTIMIZERS = {"adamw": adamw, "adam": adam, "sgd": sgd}
