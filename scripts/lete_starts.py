"""Compares starts of LeTE's splines: `.venv/bin/python -m scripts.lete_starts`, five minutes on one core.

The first epoch of `config/lete_paper.json` with the weights U (tanh) and V (B-splines) of the spline half overwritten before
it; everything else is the run's own. Prints test accuracy in percent by start and seed, for docs/decisions/0010.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.time_embeddings.lete import LeTE
from pipeline.console import say
from pipeline.identity import ROOT
from pipeline.seeding import seeded
from pipeline.study import load_run
from pipeline.trainer import fit, start

SEEDS = (0,)
STARTS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "ours": lambda _u, _v: None,
    "zeros": lambda u, v: (nn.init.zeros_(u), nn.init.zeros_(v)),
    "V ~ N(0, 0.1^2)": lambda _u, v: nn.init.normal_(v, std=0.1),
    "U, V ~ N(0, 1)": lambda u, v: (nn.init.normal_(u), nn.init.normal_(v)),
}
"""What is done to U and V before the first update."""


def main() -> None:
    """Print a line a start."""
    torch.set_num_threads(1)
    config = load_run(ROOT / "config" / "lete_paper.json", {"train.epochs": 1}, "lete")
    splits = config.data.load()
    for name, overwrite in STARTS.items():
        accuracies = []
        for seed in SEEDS:
            run = config.model_copy(update={"seed": seed})
            training = start(run, splits, torch.device("cpu"))
            embedding = training.model.embedding
            assert isinstance(embedding, LeTE)  # noqa: S101 - what the preset says
            assert embedding.w2_spline is not None  # noqa: S101
            with seeded(seed, "start of the splines"):
                overwrite(embedding.w2_spline.base_weight, embedding.w2_spline.spline_weight)
            (epoch,) = fit(training, splits, run, "fp32")
            accuracies.append(100 * epoch.test.accuracy)
        say(f"{name}: " + ", ".join(f"{accuracy:.2f}" for accuracy in accuracies))


if __name__ == "__main__":
    main()
