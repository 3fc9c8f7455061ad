"""The registry of benchmarks: sections, in the order of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.bench.growth import growth_lines
from pipeline.bench.lines import Line
from pipeline.bench.processes import help_lines, memory_lines, start_lines
from pipeline.bench.published import recipe_lines
from pipeline.bench.serving import serving_lines
from pipeline.bench.store import store_lines
from pipeline.bench.studies import analysis_lines, trial_lines
from pipeline.bench.tracking import tracking_lines
from pipeline.bench.training import encoding_lines, lstm_lines, training_lines


class Measure(Protocol):
    """A function that measures a section; with `quick`, it uses fewer rounds and smaller sizes."""

    def __call__(self, *, quick: bool) -> Sequence[Line]:
        """Return the lines."""


@dataclass(frozen=True)
class Section:
    """A section: lines that are measured together."""

    title: str
    what: str
    """Description of the measurement, as Markdown."""
    measure: Measure
    seconds: float
    """Approximate duration in seconds on two cores."""
    quick_seconds: float = 0
    """Approximate duration with `--quick`; 0 if the section is left out then."""


SECTIONS = {
    "training": Section(
        "Training speed",
        "Updates of 128 random sequences of Event-MNIST, two layers of LSTM of width 128, one thread. The usual recipe encodes "
        "every padded event and packs the codes for `nn.LSTM`; it has the weights, the batches and the optimiser of ours.",
        training_lines, 75, 15,
    ),
    "lstm": Section(
        "The LSTM",
        "The same update with the compiled LSTM and with torch's, which is cut in time; and what the matrix products of the "
        "compiled one would take alone, at the rate of one such product.",
        lstm_lines, 20, 4,
    ),
    "encodings": Section(
        "Encodings",
        "The step of every encoding against that of the position table, in the same round; updates of 128 sequences.",
        encoding_lines, 80,
    ),
    "lete-recipe": Section(
        "The recipe of the LeTE authors",
        "One update of 512 sequences under the published protocol (`config/lete_paper.json`: LeTE, one layer, Adam, no dropout). "
        "Their recipe is written again as it was published: a torch `DataLoader`, the encoder on every padded event, packing. "
        "Ours trains the same model from the same weights on the same batch.",
        recipe_lines, 65, 5,
    ),
    "growth": Section(
        "Growth",
        "Seconds of an epoch as its sequences, their events or the width of the LSTM grow, and of a whole `compare` of tiny "
        "models on SQLite as seeds or models do. The exponent is the slope of the line of least squares through the logarithms "
        "of four points: 1 is linear. The work in the width grows with its square.",
        growth_lines, 75, 8,
    ),
    "tracking": Section(
        "Tracking",
        "A whole training of 50 epochs, packaging of the model included, with MLflow on SQLite and with the tracker in memory, in "
        "turn. It is tiny, so that what MLflow adds is more than noise; the ratio for a training of a useful size is computed.",
        tracking_lines, 45,
    ),
    "memory": Section(
        "Memory",
        "Peak resident set of new processes, as Linux tells it: a training of 2,000 images of Event-MNIST with 2,000 test images, "
        "and `import torch`.",
        memory_lines, 45,
    ),
    "start-up": Section(
        "Start-up",
        "`python -m pipeline train` on the small sample, one epoch, in new processes with a store that is migrated and kernels "
        "that are compiled.",
        start_lines, 36,
    ),
    "help": Section("Help", "New processes.", help_lines, 1, 1),
    "analysis": Section(
        "Analysis",
        "All analyses, figures and the report of a made-up study, in a new process.",
        analysis_lines, 30, 10,
    ),
    "trials": Section(
        "Trials of an ablation study",
        "Seconds from one trial of a random search to the next, with one update of a tiny model in it.",
        trial_lines, 40,
    ),
    "serving": Section(
        "Serving",
        "A stored `lete` model of the default size answers sequences of the small sample, 70 events each on average: in this process, "
        "without MLflow, and over HTTP, where `mlflow models serve` runs one worker on this machine and one client asks, one request after "
        "another, over one connection. A round is 200 requests of one sequence, whose quantiles are taken, and 4 of all test sequences.",
        serving_lines, 60,
    ),
    "store": Section(
        "A store that grows",
        "What commands take with so many finished runs in the store, asked directly (SQLite) and through a tracking server "
        "on the same machine (HTTP). The runs are made up; calls are those of the tracker.",
        store_lines, 190,
    ),
}  # fmt: skip
"""Sections by the name that `--only` takes."""
