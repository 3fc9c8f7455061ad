"""Measures training on a CUDA device: `make gpu`, some minutes. docs/cluster.md has a place for what comes out.

For each of the required models: seconds of an epoch in fp32, in fp32 with TF32 products and in bf16, and how often the processor
waits for the device in an update. Then whole cells, one, two and four at a time on one device, as `--gpus-per-run 0.25` has them.
`--device cpu` tries the script itself.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from tempfile import TemporaryDirectory

import torch

from analysis.wording import markdown_table
from pipeline.comparison import compare
from pipeline.console import say
from pipeline.errors import UsageError
from pipeline.machine import has_bf16
from pipeline.settings import build_run
from pipeline.study import DEFAULT_MODELS, load_study
from pipeline.tracking import connect
from pipeline.training.loop import fit
from pipeline.training.start import start

EPOCHS = 3
AT_ONCE = (1, 2, 4)
WAITS = "synchronizing CUDA operation"
"""Part of torch's warning about an operation for which the processor waits for the device."""


def main() -> None:
    """Run the measurements, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", default="event_mnist")
    parser.add_argument("--images", type=int, default=10_000)
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(str(UsageError("make gpu: must have a CUDA device, got none. Run it where there is one.")))
    settings = {"data.name": given.data, "data.train_size": given.images}
    ways = ["fp32", "tf32", "bf16"] if has_bf16(device) else ["fp32", "tf32"]
    rows = [[model, way, *epoch(model, way, device, settings)] for model in DEFAULT_MODELS for way in ways]
    for line in markdown_table(["model", "products", "seconds an epoch", "waits an update"], rows).splitlines():
        say(line)
    rows = [[count, cells_a_minute(count, given.device, settings)] for count in AT_ONCE]
    for line in markdown_table(["cells at once", "cells a minute"], rows).splitlines():
        say(line)


def epoch(model: str, way: str, device: torch.device, settings: dict[str, object]) -> list[str]:
    """Return the seconds of the fastest epoch, and how often the processor waits for the device per update."""
    config = build_run({**settings, "model.embedding.name": model, "train.epochs": EPOCHS})
    splits = config.data.load().to(device)
    updates = -(-len(splits.train) // config.train.batch_size)
    torch.set_float32_matmul_precision("high" if way == "tf32" else "highest")
    with waits() as seen:
        seconds = [
            done.seconds
            for done in fit(start(config, splits, device), splits, config, "bf16" if way == "bf16" else "fp32")
        ]
        counted = sum(WAITS in str(warning.message) for warning in seen)
    return [f"{min(seconds):.2f}", f"{counted / updates / EPOCHS:.2f}"]


@contextmanager
def waits() -> Iterator[list[warnings.WarningMessage]]:
    """Collect torch's warnings about synchronising operations; there are none without CUDA."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield seen
        finally:
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode("default")


def cells_a_minute(count: int, device: str, settings: dict[str, object]) -> str:
    """Return how many cells `count` workers train per minute on one device."""
    with TemporaryDirectory() as folder, chdir(folder):
        changes = {**settings, "train.epochs": EPOCHS}
        study = load_study(None, models=["sincos"], seeds=list(range(2 * max(AT_ONCE))), overrides=changes)
        began = time.monotonic()
        compare(study, connect(), workers=count, device=device)
        return f"{60 * len(study.seeds) / (time.monotonic() - began):.1f}"


if __name__ == "__main__":
    main()
