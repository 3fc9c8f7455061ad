"""The tables of probes: measured on the trained models of a study, and stored with their runs.

For `analyze`, every probe is measured on the best checkpoint of every run; `Results.probes` then holds the tables of all
runs, with `run_id`, `model` and `seed`. Probes use a fixed, stratified part of the test split, and compute in fp32.

A table is stored under the digest of the code that measures it: `probes/NAME-DIGEST.parquet`. If the source of a probe changes, its
table is not found and is measured again; the tables of other probes are reused.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.classifier import Classifier
from models.config import ModelError
from models.time_embeddings import TimeEmbedding
from pipeline import checkpoint
from pipeline.code import PACKAGES, Definition, code_of, methods_of, place_of
from pipeline.config import RunConfig
from pipeline.data import DataError, EventDataset, Splits
from pipeline.data.split import stratified_order
from pipeline.evidence import PROBE_FOLDER, Evidence, check, found, read
from pipeline.identity import IDLE_CALLS, SKIPPED
from pipeline.probes.registry import PROBES, Probe
from pipeline.run_record import BEST_FILE, CONFIG_FILE, PREDICTIONS_FILE
from pipeline.seeding import seed_of, seeded
from pipeline.tracking import SEALED, Run, Tracker
from pipeline.training.evaluation import predict

SEQUENCES = 300
"""Number of test sequences that probes use: probing twenty runs then takes well under a minute."""
LEAST_AGREEMENT = 0.98
"""Share of the stored predictions that a rebuilt model must repeat; rounding in bf16 changes a few."""


def probe_tables(cells: Iterable[tuple[str, str, int]], tracker: Tracker) -> dict[str, pd.DataFrame]:
    """Return the table of every probe over the runs (run_id, model, seed); runs that cannot be measured are left out.

    A run cannot be measured if its data or weights cannot be read here, or if its weights no longer give the stored predictions
    because the code has changed.
    """
    paths = table_paths()
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in PROBES}
    cells = list(cells)
    runs = tracker.get_all([run_id for run_id, _, _ in cells])
    for run_id, model, seed in cells:
        run, evidence = runs[run_id], Evidence(tracker, run_id)
        # A process that is killed here leaves tables without digests, which are not used.
        stored = tracker.fetch_all(run_id, [path for path in paths.values() if SEALED + path in run.tags])
        subject = _Subject.of(run, tracker) if len(stored) < len(paths) else None
        for name, path in paths.items():
            if path in stored:
                check(run, path, stored[path], tracker)
                table = pd.read_parquet(stored[path])
            elif subject:
                table = subject.measured(PROBES[name])
                _store(table, path, evidence)
            else:
                continue
            tables[name].append(table.assign(run_id=run_id, model=model, seed=seed))
        evidence.seal()
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}


def table_paths() -> dict[str, str]:
    """Return, for each probe, the path of the artifact with its table, by the current code of the probe."""
    return {name: f"{PROBE_FOLDER}{name}-{_digest(probe)}.parquet" for name, probe in PROBES.items()}


def event_table(run_id: str, sample_ids: Sequence[int], tracker: Tracker) -> pd.DataFrame:
    """Return the events of test sequences, one row each (sample_id, time, horizon); empty if the data cannot be read here."""
    run = tracker.get(run_id)
    splits = _splits(_config(read(run, [CONFIG_FILE], tracker)[CONFIG_FILE]), run)
    if splits is None:
        return pd.DataFrame(columns=["sample_id", "time", "horizon"])
    chosen = splits.test.select(torch.tensor(sample_ids, dtype=torch.int64))
    owners = np.repeat(np.asarray(sample_ids), chosen.lengths.numpy())
    return pd.DataFrame({"sample_id": owners, "time": chosen.times.numpy(), "horizon": chosen.horizon})


def _splits(config: RunConfig, run: Run) -> Splits | None:
    """Return the data of a run; None if they cannot be read here, or if they have changed."""
    try:
        splits = config.data.load()
    except DataError:
        return None
    return splits if splits.digest == run.tags["data_digest"] else None


def _config(file: Path) -> RunConfig:
    return RunConfig.model_validate_json(file.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Subject:
    """A run's model, trained and before training, and the sequences to measure it on."""

    trained: Classifier
    untrained: Classifier
    dataset: EventDataset

    @classmethod
    def of(cls, run: Run, tracker: Tracker) -> "_Subject | None":
        """Rebuild the model of a run; None if that is impossible, or if the result does not repeat the stored predictions."""
        files = found(run, [CONFIG_FILE, PREDICTIONS_FILE, BEST_FILE], tracker)
        config = _config(files[CONFIG_FILE])
        splits = _splits(config, run)
        if splits is None or BEST_FILE not in files:
            return None
        try:
            trained, untrained = _built(config, splits.test), _built(config, splits.test)
        except ModelError:  # a user's own class, whose stored source is not executed
            return None
        try:
            trained.load_state_dict(checkpoint.load(files[BEST_FILE])["model"])
        except RuntimeError:  # weights with other names or shapes than the current code
            return None
        chosen = _chosen(splits.test, config)
        dataset = splits.test.select(torch.from_numpy(chosen))
        stored = pd.read_parquet(files[PREDICTIONS_FILE]).set_index("sample_id")["predicted"].sort_index()
        again = predict(trained, dataset).argmax(1).numpy()
        if (again == stored.to_numpy()[chosen]).mean() < LEAST_AGREEMENT:
            return None
        return cls(trained, untrained, dataset)

    @torch.no_grad()
    def measured(self, probe: Probe) -> pd.DataFrame:
        """Return the table of a probe."""
        table = probe.measure(self.trained, self.dataset)
        if not probe.before_training:
            return table
        before = probe.measure(self.untrained, self.dataset)
        return pd.concat([table.assign(trained=True), before.assign(trained=False)], ignore_index=True)


def _built(config: RunConfig, test: EventDataset) -> Classifier:
    """Return the model of a run before training."""
    with seeded(seed_of(config.seed, config.train.vary, "init"), "init"):
        model = config.model.build(horizon=test.horizon, feature_dim=test.feature_dim, classes=test.classes)
    return model.eval()


def _chosen(test: EventDataset, config: RunConfig) -> NDArray[np.int64]:
    """Return the indices of the test sequences that probes use."""
    return np.sort(stratified_order(test.labels.numpy(), config.data.split_seed)[:SEQUENCES])


def _store(table: pd.DataFrame, path: str, evidence: Evidence) -> None:
    folder, _, name = path.partition("/")
    with TemporaryDirectory() as scratch:
        table.to_parquet(Path(scratch) / name)
        evidence.log_file(Path(scratch) / name, folder)


# ------------------------------------------------------------------------------------------------ which code measures

MEASURING = tuple(map(place_of, (_Subject.measured, _built, _chosen, EventDataset.select)))
"""Code that every probe uses: its model, its sequences, and the measurement."""


@cache
def _digest(probe: Probe) -> str:
    """Return the digest of the code that a probe executes, and of whether it is also measured before training."""
    roots = [place_of(probe.measure), *MEASURING]
    code = code_of(roots, followed=PACKAGES, methods=_methods(), registries=True, idle_calls=IDLE_CALLS)
    return hashlib.sha256(f"{code.digest} {probe.before_training}".encode()).hexdigest()[:12]


@cache
def _methods() -> dict[str, list[Definition]]:
    """Return the methods that a probe can call on the model and the data set that it receives, by name.

    Of models, only methods that the identity of a run leaves out are included. The rest of a model is part of that identity: if it
    changes, there is another run, with tables of its own.
    """
    models = [kind for base in (Classifier, TimeEmbedding) for kind in (base, *_below(base))]
    ours = [kind for kind in models if kind.__module__.startswith("models.")]
    described = {name: places for name, places in methods_of(ours).items() if name in SKIPPED}
    return {**methods_of([EventDataset]), **described}


def _below(kind: type) -> list[type]:
    """Return all subclasses of a class, at any depth."""
    children: list[type] = kind.__subclasses__()
    return children + [found for child in children for found in _below(child)]
