"""The registry of probes: measurements that need a trained model, (model, data set) -> table.

A new probe is a function at the top level of a module and a line in PROBES. `pipeline/probes/tables.py` says on what it is
measured, and when it is measured again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from models.classifier import Classifier
from pipeline.data import EventDataset
from pipeline.probes import microscope
from pipeline.probes.time_use import anytime, time_use

Measurement = Callable[[Classifier, EventDataset], pd.DataFrame]


@dataclass(frozen=True)
class Probe:
    """A measurement, and whether it is also made on the model before training (column `trained`)."""

    measure: Measurement
    before_training: bool = False

    def __post_init__(self) -> None:
        name = getattr(self.measure, "__qualname__", repr(self.measure))
        if not name.isidentifier():
            raise TypeError(
                f"probe: must be a function at the top level of a module, whose source says when to measure again, "
                f"got {name}. Define it there by a name of its own."
            )


PROBES: dict[str, Probe] = {
    "time_use": Probe(time_use),
    "anytime": Probe(anytime),
    "encoding": Probe(microscope.encoding, before_training=True),
    "kernel": Probe(microscope.kernel),
    "spectrum": Probe(microscope.spectrum),
    "frequencies": Probe(microscope.frequencies, before_training=True),
    "gates": Probe(microscope.gates),
}
