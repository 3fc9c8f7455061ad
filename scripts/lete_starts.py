"""Compares initialisations of LeTE's splines: `.venv/bin/python -m scripts.lete_starts 0 1 2 3 4`, a quarter of an hour on one core.

The protocol of docs/decisions/0009, with the weights U (tanh) and V (B-splines) of the spline half overwritten before the
first update; everything else is as in an ordinary run. The arguments are seeds. Prints validation accuracy in percent by start and
seed, for docs/decisions/0010.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.time_embeddings.lete import LeTE
from pipeline.console import say
from pipeline.seeding import seeded
from pipeline.settings import build_run
from pipeline.training.loop import fit
from pipeline.training.start import start

PROTOCOL = {
    "data.train_size": 8000, "data.validation_size": 1000, "data.test_size": 100, "model.embedding.name": "lete",
    "model.num_layers": 1, "train.batch_size": 64, "train.epochs": 3,
}  # fmt: skip
STARTS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "ours": lambda _u, _v: None,
    "zeros": lambda u, v: (nn.init.zeros_(u), nn.init.zeros_(v)),
    "V ~ N(0, 0.1^2)": lambda _u, v: nn.init.normal_(v, std=0.1),
    "U, V ~ N(0, 1)": lambda u, v: (nn.init.normal_(u), nn.init.normal_(v)),
}
"""Functions that overwrite U and V before the first update, by name."""


def main() -> None:
    """Print one line per seed and start."""
    torch.set_num_threads(1)
    for seed in map(int, sys.argv[1:]):
        config = build_run({**PROTOCOL, "seed": seed})
        splits = config.data.load()
        for name, overwrite in STARTS.items():
            training = start(config, splits, torch.device("cpu"))
            embedding = training.model.embedding
            assert isinstance(embedding, LeTE)  # noqa: S101 - set by the preset
            assert embedding.w2_spline is not None  # noqa: S101
            with seeded(seed, "start of the splines"):
                overwrite(embedding.w2_spline.base_weight, embedding.w2_spline.spline_weight)
            *_, last = fit(training, splits, config, "fp32")
            assert last.validation is not None  # noqa: S101
            say(f"seed {seed}, {name}: {100 * last.validation.accuracy:.1f}")


if __name__ == "__main__":
    main()
