"""The columns of the three tables, and the checks of tables against them."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Literal

import pandas as pd
from pandas.api import types

Kind = Literal["text", "integer", "number"]

RUNS: Mapping[str, Kind] = {
    "run_id": "text",
    "model": "text",
    "dataset": "text",
    "seed": "integer",
    "status": "text",
    "config_hash": "text",
    "parameters": "integer",
    "best_accuracy": "number",
    "final_accuracy": "number",
    "test_accuracy": "number",
    "best_epoch": "integer",
    "epochs": "integer",
    "epoch_seconds": "number",
    "total_seconds": "number",
    "data_digest": "text",
    "code_digest": "text",
    "shared_code_digest": "text",
    "torch_version": "text",
    "precision": "text",
    "device": "text",
}
STREAM_COLUMNS = {"init": "init_seed", "order": "order_seed", "dropout": "dropout_seed"}
"""Additional columns of runs whose random streams vary separately: the seed of each stream."""
TIMELESS = ("none", "order")
"""Embeddings that do not see times, by the additional column `embedding` of runs."""
CURVES: Mapping[str, Kind] = {
    "run_id": "text",
    "model": "text",
    "seed": "integer",
    "epoch": "integer",
    "split": "text",
    "metric": "text",
    "value": "number",
}
PREDICTIONS: Mapping[str, Kind] = {
    "run_id": "text",
    "model": "text",
    "seed": "integer",
    "sample_id": "integer",
    "length": "integer",
    "label": "integer",
    "predicted": "integer",
    "confidence": "number",
    "log_likelihood": "number",
}
ADVICE: Mapping[str, Kind] = {
    "model": "text",
    "besides": "text",
    "verdict": "text",
    "rank": "number",
    "reference": "number",
    "resolved": "number",
    "median_gap": "number",
    "unit": "text",
}
"""Advice of the encoding doctor on each model before training; `besides` is equal for models that differ only in the encoding."""
ACCURACIES = ("best_accuracy", "final_accuracy", "test_accuracy")
PREDICTION_RANGES: Mapping[str, tuple[float, float, str]] = {
    "label": (0, inf, "Number the classes from 0, and give every sequence its class."),
    "predicted": (0, inf, "Number the classes from 0."),
    "confidence": (0, 1, "Give the probability of the predicted class, not percent."),
    "log_likelihood": (-inf, 0, "Give the natural logarithm of the true class's probability."),
}
"""Smallest and largest value of a column, and the remedy for values outside of that range."""


class ResultsError(ValueError):
    """Tables that must not be analysed. The message says where, what must hold, and what to do."""


def check_columns(where: str, table: pd.DataFrame, columns: Mapping[str, Kind]) -> None:
    """Refuse a table that lacks a column, or has one of another kind."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ResultsError(
            f"{where}: must have the columns {', '.join(columns)}, got none named {', '.join(missing)}. "
            "Build the table with every column."
        )
    for name, kind in columns.items():
        if not _is(kind, table[name]):
            raise ResultsError(
                f"{where}.{name}: must hold {kind} values without gaps, got dtype {table[name].dtype}"
                f"{' with gaps' if table[name].isna().any() else ''}. Convert the column."
            )


def check_range(where: str, values: pd.Series, low: float, high: float, remedy: str) -> None:
    """Refuse values outside [low, high], and NaN."""
    wrong = values[~values.between(low, high)]
    if len(wrong):
        must = f"at least {low:g}" if high == inf else f"at most {high:g}" if low == -inf else f"in [{low:g}, {high:g}]"
        raise ResultsError(f"{where}: must lie {must}, got {wrong.iloc[0]}. {remedy}")


def check_unique(where: str, table: pd.DataFrame, keys: list[str]) -> None:
    """Refuse a table in which two rows share a key."""
    twice = table.duplicated(keys)
    if twice.any():
        row = table.loc[twice, keys].iloc[0]
        key = ", ".join(f"{name}={row[name]}" for name in keys)
        raise ResultsError(f"{where}: must have one row for each {', '.join(keys)}, got two for {key}. Drop one.")


def check_one(where: str, values: Iterable[object], what: str, remedy: str) -> None:
    """Refuse more than one distinct value."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 1:
        got = ", ".join(map(str, distinct))
        raise ResultsError(f"{where}: must be one {what}, got {len(distinct)}: {got}. {remedy}")


def _is(kind: Kind, column: pd.Series) -> bool:
    if kind == "text":
        values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
        return bool(types.is_string_dtype(values)) and not bool(column.isna().any())
    if types.is_bool_dtype(column) or not types.is_numeric_dtype(column):
        return False
    if kind == "integer":  # a nullable integer column may have missing values, which the check must skip
        return not column.isna().any() and (bool(types.is_integer_dtype(column)) or bool((column % 1 == 0).all()))
    return True
