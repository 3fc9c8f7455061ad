"""The content of a cell's run besides its curves: its description, and at the end predictions, scores, matrices and the model."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from analysis.wording import as_words
from models.classifier import Classifier
from pipeline.costs import flops_of
from pipeline.data import EventDataset, Splits
from pipeline.evidence import Evidence, left_out, read
from pipeline.inference import Inference
from pipeline.machine import environment
from pipeline.reference import Reference
from pipeline.rows import scores_of_history, scores_of_predictions
from pipeline.settings import flat
from pipeline.study import Cell
from pipeline.tracking import SEALED, Recorder, Run, Tracker
from pipeline.training.choice import History
from pipeline.training.evaluation import predict

CONFIG_FILE, HISTORY_FILE, PREDICTIONS_FILE = "config.json", "history.json", "predictions.parquet"
ENVIRONMENT_FILE, LOG_FILE = "environment.json", "train.log"
CHECKPOINTS = "checkpoints"
"""Folder of artifacts of a run."""
BEST_FILE = f"{CHECKPOINTS}/best.pt"
"""Artifact of a run: the weights of its best epoch."""
CLASSES_FILE = "classes.json"
"""Artifact of a run: the names of the classes, in the order of their numbers."""
COLOUR = "mlflow.runColor"
"""The tag with the colour of a run in the tracking UI."""
OWN_SOURCE, SOURCE_FILE = "model.embedding.source", "embedding.py"
"""The setting with the source of a user's own embedding, and the artifact that holds that source instead of a param."""
PACKAGED = "packaged"
"""The tag of a run whose model is stored in the form that MLflow loads."""
TRUE_CLASS = "true  \\  predicted"
"""Head of the first column of a confusion matrix; it cannot be a class, because names of classes have no double blanks."""
MOST_CLASSES = 50
"""Most classes for which a page with the confusion matrix is written; with 500 it would take 30 MB."""
DARK = 0.5
"""Share of a row above which a cell of the confusion matrix has white text."""


def describe(cell: Cell, splits: Splits, tags: dict[str, str], evidence: Evidence) -> None:
    """Store the description of a run: its settings, its data and its machine."""
    recorder, run_id = evidence.recorder, evidence.run_id
    params = flat(cell.config)
    if source := params.pop(OWN_SOURCE, ""):
        evidence.log_text(SOURCE_FILE, source)
    recorder.log_params(run_id, params)
    evidence.log_text(CONFIG_FILE, cell.config.model_dump_json(indent=2))
    evidence.log_text(CLASSES_FILE, json.dumps(splits.test.class_names))
    profile = record_data(recorder, run_id, cell.config.data.name, splits)
    evidence.log_text(ENVIRONMENT_FILE, json.dumps({**environment(), **tags, **profile}, indent=2))


def note(cell: Cell) -> str:
    """Return the description of a run on its page in MLflow."""
    return (
        f"`{cell.model}` with seed {cell.config.seed} on {cell.config.data.name}. Its scores are the metrics without a group, such as "
        "`test_accuracy`; the curves by epoch are in the groups `train`, `validation` and `test`. Its settings are the parameters. "
        "Files, such as `confusion_matrix.html`, are artifacts, and tags that begin with `sha256/` are their digests."
    )


def record_data(recorder: Recorder, run_id: str, name: str, splits: Splits) -> dict[str, Any]:
    """Record a data set as the input of a run, and return the profile that was recorded."""
    sizes = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
    profile = {**sizes, "time_unit": splits.test.time_unit, "notes": list(splits.notes)}
    recorder.log_dataset(run_id, name=name, digest=splits.digest, profile=profile)
    return profile


def concluded(run: Run) -> bool:
    """Return whether a run has all its files, with digests, and its final metrics, so that no work on it is left."""
    return SEALED + PREDICTIONS_FILE in run.tags and "test_accuracy" in run.metrics


def log_line(row: dict[str, float], epochs: int) -> str:
    """Return one epoch as a line of text."""
    splits = [split for split in ("train", "validation", "test") if f"{split}/loss" in row]
    scores = [f"{split} loss {row[f'{split}/loss']:.4f} accuracy {row[f'{split}/accuracy']:.2%}" for split in splits]
    tail = f"{row['seconds']:.1f} s  learning rate {row['learning_rate']:g}  gradient norm {row['gradient_norm']:.3f}"
    return "  ".join([f"epoch {row['epoch']:.0f}/{epochs}", *scores, tail])


def record(
    cell: Cell,
    test: EventDataset,
    model: Classifier,
    history: History,
    costs: dict[str, float],
    *,
    precision: str,
    evidence: Evidence,
) -> dict[str, float]:
    """Score the test split with the weights of the best epoch, store the files that later steps read, and return the final metrics."""
    predictions = predictions_of(model, test, precision)
    evidence.log_text(HISTORY_FILE, json.dumps(history))
    lines = [log_line(row, cell.config.train.epochs) for row in history]
    evidence.log_text(LOG_FILE, "".join(f"{line}\n" for line in lines))
    confusion = _confusion(predictions, test.class_names)
    evidence.log_table("confusion_matrix.json", confusion)
    if len(confusion) <= MOST_CLASSES:
        evidence.log_text("confusion_matrix.html", _heat_map(confusion, cell.name))
    evidence.log_table("classification_report.json", _classification_report(confusion))
    with TemporaryDirectory() as scratch:
        parquet = Path(scratch) / PREDICTIONS_FILE
        predictions.to_parquet(parquet)
        evidence.log_file(parquet)
    return summary_of(model, history, predictions) | {"flops": flops_of(model, test), **costs}


def package(cell: Cell, tracker: Tracker, run_id: str) -> None:
    """Store the model of a run in the form that MLflow loads, unless that is done already or the run has no weights."""
    run = tracker.get(run_id)
    if PACKAGED not in run.tags and not left_out(run, BEST_FILE):
        pack(cell, tracker, run_id, best_of(run, tracker))


def best_of(run: Run, tracker: Tracker) -> Path:
    """Return a local file with the weights of a run's best epoch."""
    return read(run, [BEST_FILE], tracker)[BEST_FILE]


def pack(cell: Cell, recorder: Recorder, run_id: str, weights: Path) -> None:
    """Store these weights with a run, in the form that MLflow loads."""
    splits = cell.config.data.load()
    standardization = splits.standardization and asdict(splits.standardization)
    shape = {name: getattr(splits.test, name) for name in ("horizon", "feature_dim", "classes", "class_names")}
    shape |= {"time_unit": splits.test.time_unit, "time_origin": splits.time_origin, "standardization": standardization}
    with TemporaryDirectory() as scratch:
        description = Path(scratch) / "description.json"
        described = {"config": cell.config.model_dump(mode="json"), "shape": shape}
        description.write_text(json.dumps(described))
        reference = Reference.of(splits, Inference(description, weights))
        description.write_text(json.dumps({**described, "reference": reference.to_json()}))
        example = _example(splits)
        card = _card(cell, splits)
        recorder.log_model(run_id, name=cell.model, card=card, weights=weights, config=description, example=example)
    recorder.set_tags(run_id, {PACKAGED: "true"})


def summary_of(model: Classifier, history: History, predictions: pd.DataFrame) -> dict[str, float]:
    """Return the final metrics of a run; `test_accuracy` is that of the best epoch by validation."""
    seconds = [row["seconds"] for row in history]
    return {
        "parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        **scores_of_history(history),
        **scores_of_predictions(predictions),
        "epoch_seconds": sum(seconds) / len(seconds),
        "total_seconds": sum(seconds),
    }


def predictions_of(model: Classifier, dataset: EventDataset, precision: str) -> pd.DataFrame:
    """Return one row per sequence: id, length, label, predicted class, its probability, and the log-probability of the label."""
    log_probabilities_NC = predict(model, dataset, precision)
    labels_N = dataset.labels.cpu()
    highest_N, predicted_N = log_probabilities_NC.max(1)
    return pd.DataFrame(
        {
            "sample_id": range(len(dataset)),
            "length": dataset.lengths.cpu().numpy(),
            "label": labels_N.numpy(),
            "predicted": predicted_N.numpy(),
            "confidence": highest_N.exp().numpy(),
            "log_likelihood": log_probabilities_NC.gather(1, labels_N[:, None])[:, 0].numpy(),
        }
    )


def _confusion(predictions: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the confusion matrix: one row per true class, whose name is in the first column, one column per predicted class."""
    numbers = range(len(names))
    counts = pd.crosstab(predictions["label"], predictions["predicted"])
    square = counts.reindex(index=numbers, columns=numbers, fill_value=0).set_axis(list(names), axis="columns")
    square.insert(0, TRUE_CLASS, list(names))
    return square


def _heat_map(confusion: pd.DataFrame, name: str) -> str:
    """Return the confusion matrix as an HTML page; rows are labels, and each cell is shaded by its share of the row."""
    counts = confusion.set_index(TRUE_CLASS)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    shades = shares.map(
        lambda share: f"background: rgba(0, 114, 178, {share:.3f}); color: {'white' if share > DARK else 'black'}"
    )
    styled = counts.style.apply(lambda _: shades, axis=None).set_caption(
        f"{name}: test sequences by label (row) and prediction (column)"
    )
    for side in (0, 1):
        styled = styled.format_index(escape="html", axis=side)
    page: str = styled.set_table_styles(
        [{"selector": "td, th", "props": "padding: .3em .7em; text-align: right"}]
    ).to_html(doctype_html=True)
    return page


def _classification_report(confusion: pd.DataFrame) -> pd.DataFrame:
    """Return precision, recall, F1 and support of each class that occurs, and their means, as scikit-learn reports them.

    Importing scikit-learn would cost each training process 1.8 s and 60 MB, for only four divisions.
    """
    counts = confusion.set_index(TRUE_CLASS)
    right, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0).to_numpy()
    scores = pd.DataFrame(
        {
            "precision": right / predicted.clip(min=1),
            "recall": right / true.clip(lower=1),
            "f1-score": 2 * right / (true + predicted).clip(lower=1),
            "support": true.astype(float),
        }
    )[true + predicted > 0]
    support = scores["support"]
    scores.loc["macro avg"] = scores.mean()
    scores.loc["weighted avg"] = scores.iloc[:-1].mul(support, axis=0).sum() / support.sum()
    scores.loc[["macro avg", "weighted avg"], "support"] = support.sum()
    table: pd.DataFrame = scores.reset_index(names="class")
    return table


def _card(cell: Cell, splits: Splits) -> str:
    """Return the description of a stored model, in Markdown."""
    encoding = cell.config.model.embedding
    meaning = (type(encoding).__doc__ or "").partition("\n")[0]
    features = f" and `features`, {splits.test.feature_dim} numbers for each" if splits.test.feature_dim else ""
    return (
        f"**{as_words(cell.model)}**, seed {cell.config.seed}: classifies sequences of {cell.config.data.name} into "
        f"{splits.test.classes} classes by the times of their events.\n\n"
        f"- Encoding of time: `{encoding.name}`. {meaning}\n"
        f"- In: a row per sequence, with `times`, the list of its event times (unit: {as_words(splits.test.time_unit)})"
        f"{features}.\n"
        "- Out: `predicted` (number of the class), `class` (its name), `probabilities`.\n"
        "- Weights: those of the epoch that was best on validation. The metrics are on the test split.\n"
    )


def _example(splits: Splits) -> pd.DataFrame:
    """Return two test sequences as a table of raw lists, the form of input that the stored model takes."""
    dataset, standardization = splits.test, splits.standardization
    ends = dataset.offsets[:3].tolist()
    columns = {"times": dataset.times[: ends[-1]].float().numpy()}
    if dataset.features is not None:
        features = dataset.features[: ends[-1]].numpy()
        columns["features"] = standardization.undo(features) if standardization else features
    return pd.DataFrame({name: [rows[a:b].tolist() for a, b in pairwise(ends)] for name, rows in columns.items()})
