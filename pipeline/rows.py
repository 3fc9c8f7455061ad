"""The rows of a study's tables, and the scores that follow from what a run holds; without torch, as the manifest."""

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
"""Not of every run: older ones lack them, and not every system tells its memory."""
COUNTS = ("parameters", "best_epoch", "epochs")


def row_of_run(tags: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return what the tags and the final metrics of a finished run are in the table of runs; KeyError where one is missing."""
    numbers = {name: metrics[name] for name in SCORES} | {name: int(metrics[name]) for name in COUNTS}
    numbers |= {name: metrics.get(name, nan) for name in COSTS}
    # Runs from before these tags were written lack them; the kernel is of models with an LSTM alone.
    later = {
        "shared_code_digest": tags.get("shared_code_digest", "unknown"),
        "lstm_kernel": tags.get("lstm_kernel"),
        "processor": tags.get("processor"),
        **{name: int(tags[name]) for name in STREAM_COLUMNS.values() if name in tags},
    }
    return {**{name: tags[name] for name in DECIDES}, **later, **numbers}


def curves_of_history(history: History) -> pd.DataFrame:
    """Return one row an epoch, split and metric."""
    long = pd.DataFrame(history).melt(id_vars="epoch", var_name="name")
    parts = long["name"].str.rpartition("/")
    return pd.DataFrame(
        {"epoch": long["epoch"].astype(int), "split": parts[0], "metric": parts[2], "value": long["value"]}
    )


def scores_of_history(history: History) -> dict[str, float]:
    """Return the final metrics that follow from the epochs, times apart."""
    return {
        "best_accuracy": max(row["test/accuracy"] for row in history),
        "final_accuracy": history[-1]["test/accuracy"],
        "best_epoch": best_epoch(history),
        "epochs": len(history),
    }


def scores_of_predictions(predictions: pd.DataFrame) -> dict[str, float]:
    """Return the final metrics that follow from the answers to the test split."""
    return {"test_accuracy": float((predictions["label"] == predictions["predicted"]).mean())}
