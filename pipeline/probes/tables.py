"""Measurements that need a trained model: (model, data set) -> table.

A new probe is a function and a line in PROBES. `analyze` runs it on the best checkpoint of every run of a study and
keeps the table with the run, under the digest of this code; `Results.probes` then holds the tables of all runs, with
`run_id`, `model` and `seed`. Probes get a fixed, stratified part of the test split, and compute in fp32.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from models import cards
from models.classifier import Classifier
from pipeline import checkpoint
from pipeline.config import RunConfig
from pipeline.data import DataError, EventDataset, Splits
from pipeline.data.split import stratified_order
from pipeline.probes import alterations, microscope
from pipeline.probes.alterations import ALTERATIONS, ORIGINAL, altered
from pipeline.seeding import seed_for, seeded
from pipeline.tracking import Tracker
from pipeline.training.evaluation import predict

SEQUENCES = 300
"""Test sequences that probes see: an audit of twenty runs then takes well under a minute."""
PREFIXES = (5, 10, 20, 40, 80)
"""Numbers of first events after which a model is asked for its answer."""
LEAST_AGREEMENT = 0.98
"""Share of the stored predictions that a rebuilt model must repeat; rounding in bf16 turns a few."""

Measurement = Callable[[Classifier, EventDataset], pd.DataFrame]


@dataclass(frozen=True)
class Probe:
    """A measurement, and whether it is also taken of the model before training (column `trained`)."""

    measure: Measurement
    before_training: bool = False


def time_use(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return accuracy under each alteration of the times, and the share of answers that it leaves as they were."""
    truth = predict(model, dataset).argmax(1)
    rows = [_answers(ORIGINAL, "everything", truth, truth, dataset)]
    for alteration in ALTERATIONS:
        generator = np.random.default_rng(seed_for(0, "probe", alteration.name))
        answers = predict(model, altered(dataset, alteration, generator)).argmax(1)
        rows.append(_answers(alteration.name, alteration.leaves, answers, truth, dataset))
    return pd.DataFrame(rows)


def _answers(
    name: str, leaves: str, answers: torch.Tensor, truth: torch.Tensor, dataset: EventDataset
) -> dict[str, object]:
    return {
        "alteration": name,
        "leaves": leaves,
        "sequences": len(dataset),
        "accuracy": float((answers == dataset.labels).double().mean()),
        "unchanged": float((answers == truth).double().mean()),
    }


def anytime(model: Classifier, dataset: EventDataset) -> pd.DataFrame:
    """Return accuracy after the first k events, k of all events (0) last, and the share of sequences that have more."""
    rows = []
    for events in (*(k for k in PREFIXES if bool((dataset.lengths > k).any())), 0):
        shown = dataset.truncate(events) if events else dataset
        accuracy = (predict(model, shown).argmax(1) == dataset.labels).double().mean()
        cut = (dataset.lengths > events).double().mean() if events else torch.tensor(0.0)
        rows.append({"events": events, "accuracy": float(accuracy), "cut": float(cut), "sequences": len(dataset)})
    return pd.DataFrame(rows)


PROBES: dict[str, Probe] = {
    "time_use": Probe(time_use),
    "anytime": Probe(anytime),
    "encoding": Probe(microscope.encoding, before_training=True),
    "kernel": Probe(microscope.kernel),
    "spectrum": Probe(microscope.spectrum),
    "frequencies": Probe(microscope.frequencies, before_training=True),
    "gates": Probe(microscope.gates),
}


def probe_tables(cells: Iterable[tuple[str, str, int]], tracker: Tracker) -> dict[str, pd.DataFrame]:
    """Return the table of every probe over the runs (run_id, model, seed); what cannot be measured is left out.

    That is a run whose data cannot be read here, or whose weights no longer give the predictions that it stored: its
    code has changed.
    """
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in PROBES}
    for run_id, model, seed in cells:
        subject: _Subject | None = None
        for name, probe in PROBES.items():
            path = f"probes/{name}-{_code()}.parquet"
            try:
                table = pd.read_parquet(tracker.fetch(run_id, path))
            except FileNotFoundError:
                subject = subject or _Subject.of(run_id, tracker)
                if subject is None:
                    break
                table = subject.measured(probe)
                _store(table, path, run_id, tracker)
            tables[name].append(table.assign(run_id=run_id, model=model, seed=seed))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}


def event_table(run_id: str, sample_ids: Sequence[int], tracker: Tracker) -> pd.DataFrame:
    """Return the events of test sequences, a row each (sample_id, time, horizon); empty where the data cannot be read here."""
    splits = _splits(run_id, tracker)
    if splits is None:
        return pd.DataFrame(columns=["sample_id", "time", "horizon"])
    chosen = splits.test.select(torch.tensor(sample_ids, dtype=torch.int64))
    owners = np.repeat(np.asarray(sample_ids), chosen.lengths.numpy())
    return pd.DataFrame({"sample_id": owners, "time": chosen.times.numpy(), "horizon": chosen.horizon})


def _splits(run_id: str, tracker: Tracker) -> Splits | None:
    """Return the data of a run; None where it cannot be read here, or is other data by now."""
    try:
        splits = _config(run_id, tracker).data.load()
    except DataError:
        return None
    return splits if splits.digest == tracker.get(run_id).tags["data_digest"] else None


def _config(run_id: str, tracker: Tracker) -> RunConfig:
    return RunConfig.model_validate_json(tracker.fetch(run_id, "config.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Subject:
    """A run's model, trained and before training, and the sequences to measure it on."""

    trained: Classifier
    untrained: Classifier
    dataset: EventDataset

    @classmethod
    def of(cls, run_id: str, tracker: Tracker) -> "_Subject | None":
        """Rebuild the model of a run; None where that cannot be done faithfully."""
        config, splits = _config(run_id, tracker), _splits(run_id, tracker)
        if splits is None:
            return None
        test, models = splits.test, []
        for _ in range(2):
            with seeded(config.seed, "init"):
                built = config.model.build(horizon=test.horizon, feature_dim=test.feature_dim, classes=test.classes)
            models.append(built.eval())
        chosen = np.sort(stratified_order(test.labels.numpy(), config.data.split_seed)[:SEQUENCES])
        stored = pd.read_parquet(tracker.fetch(run_id, "predictions.parquet")).set_index("sample_id")["predicted"]
        try:
            models[0].load_state_dict(checkpoint.load(tracker.fetch(run_id, "checkpoints/best.pt"))["model"])
        except RuntimeError:  # other names or shapes than the code of now
            return None
        dataset = test.select(torch.from_numpy(chosen))
        again = predict(models[0], dataset).argmax(1).numpy()
        if (again == stored.sort_index().to_numpy()[chosen]).mean() < LEAST_AGREEMENT:
            return None
        return cls(models[0], models[1], dataset)

    @torch.no_grad()
    def measured(self, probe: Probe) -> pd.DataFrame:
        """Return the table of one probe."""
        table = probe.measure(self.trained, self.dataset)
        if not probe.before_training:
            return table
        before = probe.measure(self.untrained, self.dataset)
        return pd.concat([table.assign(trained=True), before.assign(trained=False)], ignore_index=True)


def _store(table: pd.DataFrame, path: str, run_id: str, tracker: Tracker) -> None:
    folder, _, name = path.partition("/")
    with TemporaryDirectory() as scratch:
        table.to_parquet(Path(scratch) / name)
        tracker.log_file(run_id, Path(scratch) / name, folder)


@cache
def _code() -> str:
    """Return a digest of the code of the probes: a changed probe measures again."""
    files = (Path(__file__), Path(alterations.__file__), Path(cards.__file__), Path(microscope.__file__))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
