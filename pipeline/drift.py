"""Detection of drift: the sequences of a file, and a stored model's predictions for them, compared with the model's reference.

The file is read as by `predict`: its events are sorted by sequence on disk and processed in parts. Memory holds the ids, some
numbers of each sequence, and one part. Times past the horizon are examined, too, because they are a sign of drift; the model
makes no predictions for such sequences.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from analysis.drift import Drift, compare, drift_page, headline, lines
from analysis.wording import plural
from pipeline.console import Meter, phase, say
from pipeline.data.grouping import Sequences
from pipeline.data.scratch import blocks
from pipeline.errors import UsageError, writing
from pipeline.inference import Inference
from pipeline.reference import Reference, counts_of, numbers_of_events, numbers_of_sequences
from pipeline.scoring import PART, dataset_of, read_events, request_of

ENDING = ".html"


def watch(uri: str, model: tuple[Path, Path], source: Path, output: Path | None) -> None:
    """Print what has changed since the training of a model, and write a page if `output` is given.

    `model` are the files of its description and its weights. A change is not an error. UsageError if the model has no
    reference, or if the file cannot be read.
    """
    inference = Inference(*model)
    if inference.reference is None:
        raise UsageError(
            f"--model: must hold a reference of its training data, got {uri}, which was stored by a version that wrote none. "
            "Train its variant again, with another seed or in a new store."
        )
    reference = Reference.from_json(inference.reference)
    request, settings = request_of(inference, source)
    with TemporaryDirectory() as scratch, writing(Path(scratch)):
        phase(f"reading {source}")
        events = read_events(request, settings, Path(scratch) / "events", inference, late=True)
        seen = _Seen(reference, inference, events, f"{source}, features")
    drift = seen.compared(source.name, uri)
    for line in lines(drift):
        say(line)
    say(f"{headline(drift)} Exit code 0: what moved is a finding, not a failure.")
    if output:
        with writing(output):
            part = output.with_name(f".{output.name}.part")
            part.write_text(drift_page(drift), encoding="utf-8")
            part.replace(output)
        say(f"page: {output}")


def check_page(output: Path | None) -> None:
    """Refuse an output whose name does not end in `.html`, or whose folder does not exist."""
    if output and (output.suffix != ENDING or output.is_dir()):
        raise UsageError(f"--output: must be a file that ends in {ENDING}, got {output}. Name one.")
    if output and not output.parent.is_dir():
        raise UsageError(f"--output: must be in a folder that is there, got {output}. Make the folder.")


class _Seen:
    """Statistics of a file: some numbers of each sequence, and counts of all events at the cut points of the reference."""

    def __init__(self, reference: Reference, inference: Inference, events: Sequences, where: str) -> None:
        """Read the file part by part."""
        self._reference, self._shape = reference, inference.shape
        self._notes = list(events.elapsed.notes)
        self._predicted = np.zeros_like(reference.predicted)
        self._reached = {name: np.zeros_like(sketch.counts) for name, sketch in reference.events.items()}
        self._totals = dict.fromkeys(reference.events, 0)
        self._late = 0
        samples: dict[str, list[np.ndarray]] = {name: [] for name in (*reference.sequences, "confidence")}
        offsets, features = events.elapsed.offsets, events.features
        self._sequences, self._events = len(offsets) - 1, int(offsets[-1])
        count = sum(1 for _ in blocks(offsets, size=PART))
        with Meter({"parts": count}, {"parts": 0.0}, workers=1, unit="parts", what="looking") as meter:
            for part in blocks(offsets, events.elapsed.ticks, features, size=PART):
                began = time.monotonic()
                dataset = dataset_of(inference, events, part, where)
                times_N, its = dataset.times.numpy(), dataset.offsets.numpy()
                for name, values in numbers_of_sequences(times_N, its).items():
                    samples[name].append(values)
                for name, values in numbers_of_events(times_N, its).items():
                    self._reached[name] += reference.events[name].reached(values)
                    self._totals[name] += len(values)
                late_n = times_N[its[1:] - 1] >= inference.shape["horizon"]
                self._late += int(late_n.sum())
                known = dataset.select(torch.from_numpy(np.flatnonzero(~late_n)))
                if len(known):
                    probabilities_nC = inference.probabilities(known)
                    samples["confidence"].append(probabilities_nC.max(1).astype(np.float32))
                    self._predicted += counts_of(probabilities_nC)
                meter.advance("parts", time.monotonic() - began, f"{part[1]} sequences")
        empty = np.zeros(0, dtype=np.float32)
        self._samples = {name: np.concatenate([empty, *parts]) for name, parts in samples.items()}

    def compared(self, source: str, uri: str) -> Drift:
        """Return the comparison with the reference."""
        reference = self._reference
        sketches = {**reference.sequences, "confidence": reference.confidence}
        trained, answered = sketches["length"].size, reference.confidence.size
        notes = [
            (
                f"file: {plural(self._sequences, 'sequence')}, {plural(self._events, 'event')}; reference: {trained:,} of training, and "
                f"answers to {answered:,} of {reference.held_out}"
            ),
            *(f"data: {note}" for note in self._notes),
        ]
        if self._late:
            notes.append(
                f"past the horizon {self._shape['horizon']:g}: {plural(self._late, 'sequence')} "
                f"({self._late / self._sequences:.1%}), which the model refuses; confidence and classes are those of the others"
            )
        return Drift(
            source=source,
            model=uri,
            compared=compare(sketches, self._samples, (reference.predicted, self._predicted)),
            sketches=sketches,
            samples=self._samples,
            events={name: (sketch, self._reached[name]) for name, sketch in reference.events.items()},
            totals=self._totals,
            class_names=self._shape["class_names"],
            unit=self._shape["time_unit"],
            notes=notes,
        )
