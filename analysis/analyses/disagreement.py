"""The test sequences that every seed of one model gets right and every seed of another gets wrong."""

from itertools import permutations

import numpy as np
import pandas as pd

from analysis.analyses.pairs import pairs
from analysis.results import Results

EXAMPLES = 8
"""Number of sequences that the figure shows for each ordered pair of models."""


def disagreements(results: Results) -> pd.DataFrame:
    """Return one row per ordered pair of models: the number of such sequences, and their first sample ids.

    `declared` says whether the plan compares the pair.
    """
    right = {model: correct.all(axis=0) for model, correct in results.correct.items()}
    missed = {model: ~correct.any(axis=0) for model, correct in results.correct.items()}
    declared = {frozenset((pair.model_a, pair.model_b)) for pair in pairs(results) if pair.declared}
    rows = []
    for a, b in permutations(results.models, 2):
        found = np.flatnonzero(right[a] & missed[b])
        rows.append(
            {
                "right": a,
                "missed": b,
                "declared": frozenset((a, b)) in declared,
                "count": len(found),
                "examples": results.test_set.sample_id[found[:EXAMPLES]].tolist(),
            }
        )
    return pd.DataFrame(rows, columns=["right", "missed", "declared", "count", "examples"])


def wanted_sequences(results: Results) -> list[int]:
    """Return the sample ids, ascending, of the sequences that the figure of examples shows and whose events it needs."""
    table = disagreements(results)
    return sorted({sample for examples in table.loc[table["declared"], "examples"] for sample in examples})


def examples(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per sequence to draw: the pair, sample_id, label, and the prediction of the first seed of `missed`."""
    place = {int(sample): i for i, sample in enumerate(results.test_set.sample_id)}
    rows = [
        {
            "right": row["right"],
            "missed": row["missed"],
            "sample_id": sample,
            "label": int(results.test_set.label[place[sample]]),
            "said": int(results.predicted[row["missed"]][0, place[sample]]),
        }
        for _, row in table[table["declared"]].iterrows()
        for sample in row["examples"]
    ]
    return pd.DataFrame(rows)
