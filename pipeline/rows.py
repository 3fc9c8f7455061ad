"""The rows of a study's tables, and the scores that follow from the files of a run; like the manifest, without torch."""

from collections.abc import Mapping
from math import nan
from typing import Any

import pandas as pd

from analysis.schema import STREAM_COLUMNS
from pipeline.training.choice import History, best_epoch

DECIDES = ("config_hash", "data_digest", "code_digest", "torch_version", "precision", "device", "dataset")
"""Tags of a run that the analyses compare between the runs of a study."""
SCORES = ("best_accuracy", "final_accuracy", "test_accuracy", "epoch_seconds", "total_seconds")
COSTS = ("flops", "peak_memory_bytes")
"""Metrics that a run may lack: older runs have none, and not every system reports its memory."""
COUNTS = ("parameters", "best_epoch", "epochs")


def row_of_run(tags: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the row of a finished run in the table of runs, from its tags and final metrics; KeyError if one is missing."""
    numbers = {name: metrics[name] for name in SCORES} | {name: int(metrics[name]) for name in COUNTS}
    numbers |= {name: metrics.get(name, nan) for name in COSTS}
    # Runs of earlier versions lack these tags; only models with an LSTM have a kernel.
    later = {
        "shared_code_digest": tags.get("shared_code_digest", "unknown"),
        "lstm_kernel": tags.get("lstm_kernel"),
        "processor": tags.get("processor"),
        **{name: int(tags[name]) for name in STREAM_COLUMNS.values() if name in tags},
    }
    return {**{name: tags[name] for name in DECIDES}, **later, **numbers}


def curves_of_history(history: History) -> pd.DataFrame:
    """Return a table with one row per epoch, split and metric."""
    long = pd.DataFrame(history).melt(id_vars="epoch", var_name="name")
    parts = long["name"].str.rpartition("/")
    return pd.DataFrame(
        {"epoch": long["epoch"].astype(int), "split": parts[0], "metric": parts[2], "value": long["value"]}
    )


def scores_of_history(history: History) -> dict[str, float]:
    """Return the final metrics that follow from the epochs, without the times."""
    return {
        "best_accuracy": max(row["test/accuracy"] for row in history),
        "final_accuracy": history[-1]["test/accuracy"],
        "best_epoch": best_epoch(history),
        "epochs": len(history),
    }


def scores_of_predictions(predictions: pd.DataFrame) -> dict[str, float]:
    """Return the final metrics that follow from the predictions on the test split."""
    return {"test_accuracy": float((predictions["label"] == predictions["predicted"]).mean())}
