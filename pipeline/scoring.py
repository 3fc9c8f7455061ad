"""Classification of the sequences of a file with a stored model: neither the input nor the output needs to fit into memory.

- The file is read as in training (`pipeline/data/grouping.py`): its rows may have any order and are sorted by sequence on disk.
- Predictions are written in parts to a folder beside the output; complete parts are joined to the output. The same command
  continues an interrupted one, and gives the same bytes.
- Memory holds the ids, one part, and a batch of rows.

Letters: n sequences, C classes.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pyarrow import parquet

from analysis.wording import plural
from pipeline.console import Meter, phase, say
from pipeline.data import DataError, EventDataset
from pipeline.data.events_file import EventsFileConfig, opened
from pipeline.data.grouping import Request, Sequences, sequences
from pipeline.data.scratch import blocks
from pipeline.errors import DiskError, UsageError, writing
from pipeline.inference import Inference

PART = 2**18
"""Events of a part, or one sequence."""
FORM = 2
"""Form of the parts; another number where they change, so that old ones are not taken."""
ENDING = ".parquet"
ASKED = "asked.json"
"""File that describes the request whose answers the parts of a folder are."""


def score_file(model: tuple[Path, Path], source: Path, output: Path) -> None:
    """Write a row for each sequence of a file of events: `id`, `class`, and `probability_NAME` of each class.

    `model` are the files of its description and its weights. UsageError, without an output, if the file cannot be read or
    contains a value that the model does not accept.
    """
    check_places(source, output)
    inference = Inference(*model)
    request, settings = request_of(inference, source)
    folder = output.with_name(f"{output.name}.part")
    with _alone(folder, output), writing(folder):
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in model]
        asked = {
            "model": digests,
            "source": str(source.resolve()),
            "stamp": settings.stamp(),
            "part": PART,
            "form": FORM,
        }
        _keep_parts_of(folder, asked)
        phase(f"reading {source}")
        events = read_events(request, settings, folder / "events", inference)
        for note in events.elapsed.notes:
            say(f"data: {note}")
        parts = _score(inference, events, folder, f"{source}, features")
        whole = folder / f"whole{ENDING}"
        with parquet.ParquetWriter(whole, _schema(inference, events)) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part))
        whole.replace(output)
        rmtree(folder)
    say(f"{output}: {len(events.ids)} sequences")


def check_places(source: Path, output: Path) -> None:
    """Refuse an output that is not a `.parquet` file in an existing folder, or that is the input itself."""
    if output.suffix != ENDING or output.is_dir():
        raise UsageError(f"--output: must be a file that ends in {ENDING}, got {output}. Name one.")
    if not output.parent.is_dir():
        raise UsageError(f"--output: must be in a folder that is there, got {output}. Make the folder.")
    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError(f"--output: must be another file than --input, got {output} for both. Name another one.")


@contextmanager
def _alone(folder: Path, output: Path) -> Iterator[None]:
    """Create the folder of the parts, and lock it against other processes; after an interrupt its content is kept."""
    with writing(output):
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UsageError(
                f"--output: must be written by one process, got {output}, which another one writes. Wait for that to end."
            ) from None
    try:
        yield
    except UsageError as error:
        if not isinstance(error, DiskError):  # after a DiskError the same command can continue
            rmtree(folder)
        raise
    finally:
        lock.release()


def _keep_parts_of(folder: Path, asked: dict[str, object]) -> None:
    """Delete the parts of a folder unless they belong to the request `asked`."""
    text = json.dumps(asked)
    note = folder / ASKED
    if not note.is_file() or note.read_text() != text:
        for part in folder.glob(f"*{ENDING}"):
            part.unlink()
        note.write_text(text)


def request_of(inference: Inference, source: Path) -> tuple[Request, EventsFileConfig]:
    """Return how the file is to be read, from the settings of the data that the model was trained on.

    UsageError if the model's times count from the first time of its training file.
    """
    trained, shape = inference.config.data, inference.shape
    if isinstance(trained, EventsFileConfig):
        settings = trained.model_copy(update={"path": str(source)})
        if inference.time_origin == "file":
            raise UsageError(
                "--model: must be one whose times do not count from the first of its training file, got one with "
                "data.time_origin file. Train it on times from which that is subtracted."
            )
    else:
        names = tuple(f"feature_{number}" for number in range(shape["feature_dim"]))
        settings = EventsFileConfig(path=str(source), feature_columns=names, time_origin=inference.time_origin)
    request = Request(
        id_column=settings.id_column,
        time_column=settings.time_column,
        label_column="",
        feature_columns=settings.feature_columns,
        origin=settings.time_origin,
        time_unit=shape["time_unit"],
        centred=False,
        auto_origin=inference.time_origin,
    )
    return request, settings


def read_events(
    request: Request, settings: EventsFileConfig, scratch: Path, inference: Inference, *, late: bool = False
) -> Sequences:
    """Return the events of the file by sequence, in files of the folder `scratch`.

    DataError where the file cannot be read, or the time of an event that the model takes is past the horizon and `late` ones
    are not taken.
    """
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        table, _, error = opened(request, settings.path, settings.encoding)
    except DataError as refused:
        raise DataError(str(refused).replace("data.path:", "--input:", 1)) from refused
    try:
        events = sequences(table, request, error, scratch)
    except DataError as refused:
        if not str(refused).startswith("data.time_unit:"):
            raise
        rule = f"must be numbers in the unit {request.time_unit} of the training data"
        raise error(f"column {request.time_column}", rule, "dates or durations", "Convert them.") from refused
    horizon, largest, most = inference.shape["horizon"], events.elapsed.largest, inference.config.data.max_events
    if most is not None and np.diff(events.elapsed.offsets).max() > most:
        largest = events.elapsed.largest_of(most)
        events.elapsed.notes.append(f"only the first {plural(most, 'event')} of each sequence count, as in training")
    if not late and (largest >= horizon or np.float32(largest) >= horizon):
        rule = f"must be below {horizon:g}, the horizon of the training data"
        raise error(f"column {request.time_column}", rule, f"{largest:.12g}", "Leave such events out.")
    return events


def _score(inference: Inference, events: Sequences, folder: Path, where: str) -> list[Path]:
    """Write the parts that do not exist yet, and return the files of all parts."""
    offsets, features = events.elapsed.offsets, events.features
    count = sum(1 for _ in blocks(offsets, size=PART))
    schema = _schema(inference, events)
    parts = []
    with Meter({"parts": count}, {"parts": 0.0}, workers=1, unit="parts", what="scoring") as meter:
        for number, (a, b) in enumerate(blocks(offsets, events.elapsed.ticks, features, size=PART)):
            began = time.monotonic()
            part = folder / f"{number:06}{ENDING}"
            parts.append(part)
            if not part.is_file():
                probabilities_nC = inference.probabilities(dataset_of(inference, events, (a, b), where))
                columns = [events.ids[a:b], inference.names(probabilities_nC.argmax(1)), *probabilities_nC.T]
                scratch = part.with_suffix(".partial")
                parquet.write_table(pa.table(columns, schema=schema), scratch)
                scratch.replace(part)
            meter.advance("parts", time.monotonic() - began, f"{b} sequences")
    return parts


def dataset_of(inference: Inference, events: Sequences, part: tuple[int, int], where: str) -> EventDataset:
    """Return the sequences from the first to before the second number as the model takes them, with the events that it takes."""
    a, b = part
    offsets, features = events.elapsed.offsets, events.features
    table = None if features is None else features[offsets[a] : offsets[b]]
    dataset = EventDataset(
        times=torch.from_numpy(events.elapsed.units(a, b).astype(np.float32)),
        offsets=torch.from_numpy(offsets[a : b + 1] - offsets[a]),
        labels=torch.zeros(b - a, dtype=torch.int64),
        features=None if table is None else _as_tensor(inference, table, where),
        classes=inference.shape["classes"],
        horizon=inference.shape["horizon"],
        time_unit=inference.shape["time_unit"],
        name=where,
    )
    return inference.cut(dataset)


def _as_tensor(inference: Inference, table: NDArray[np.float64], where: str) -> torch.Tensor:
    return torch.from_numpy(inference.standardised(np.asarray(table), where).astype(np.float32))


def _schema(inference: Inference, events: Sequences) -> pa.Schema:
    """Return the columns of the output."""
    names = [f"probability_{name}" for name in inference.shape["class_names"]]
    ids = pa.array(events.ids).type
    return pa.schema([("id", ids), ("class", pa.string()), *((name, pa.float64()) for name in names)])
