"""How weights are updated: an optimiser for each value of `train.optimizer`."""

from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer

from models.classifier import Classifier
from pipeline.config import TrainConfig

Groups = list[dict[str, Any]]
"""Weights with the settings that they have apart from the others, as torch takes them."""


def optimizer_of(model: Classifier, config: TrainConfig) -> Optimizer:
    """Return the optimiser of the trained weights of a model."""
    return OPTIMIZERS[config.optimizer](weight_groups(model, config), config)


def weight_groups(model: Classifier, config: TrainConfig) -> Groups:
    """Return the trained weights, and apart from them the frequencies that have a rate of their own, if there are any."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    held = {id(weight) for weight in model.embedding.raw_frequencies()} if config.frequency_rate < 1 else set()
    frequencies = [weight for weight in trained if id(weight) in held]
    groups: Groups = [{"params": [weight for weight in trained if id(weight) not in held]}]
    if frequencies:
        rate = config.frequency_rate * config.learning_rate
        groups.append({"params": frequencies, "lr": rate, "weight_decay": 0.0})
    return groups


def adamw(weights: Groups, config: TrainConfig) -> Optimizer:
    """Return AdamW, whose decay is apart from the gradient."""
    return AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def adam(weights: Groups, config: TrainConfig) -> Optimizer:
    """Return Adam, whose decay is an L2 gradient."""
    return Adam(weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def sgd(weights: Groups, config: TrainConfig) -> Optimizer:
    """Return SGD with momentum 0.9."""
    return SGD(weights, lr=config.learning_rate, weight_decay=config.weight_decay, momentum=0.9, fused=True)


OPTIMIZERS = {"adamw": adamw, "adam": adam, "sgd": sgd}
