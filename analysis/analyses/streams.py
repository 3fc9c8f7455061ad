"""Sources of randomness: the share of each random stream in the variance over seeds, and the gain of pairing by seed.

It applies to studies whose streams vary separately (`train.vary`). `analysis/statistics/streams.py` describes the model.

Letters: S runs of a model, F streams.
"""

from dataclasses import astuple
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.analyses.pairs import pairs
from analysis.analyses.primary import primary_metric
from analysis.analyses.variance import split as against_coin_flips
from analysis.figures import Figure, Row, estimates_figure
from analysis.findings import Finding
from analysis.results import Results
from analysis.schema import STREAM_COLUMNS
from analysis.statistics.randomness import stream
from analysis.statistics.streams import LEVEL, Interval, Pairing, Split, is_square, pairing, split
from analysis.statistics.two_way import LEAST_SEEDS, scores
from analysis.wording import bullets, listing, plural

REST = "rest"
WORDS = {"init": "initial values", "order": "order of the data", "dropout": "dropout", REST: "combinations"}
"""Names of the streams and of the rest in words."""
EXPLAINED = (
    "Combinations: what a run owes to none of its streams alone, but to their meeting (these initial values in this order), and to "
    "the noise of single answers. That noise alone, as coin flips with the chance that each sequence has of being right, would give the sd "
    "named last; where that is about the sd over seeds, more test sequences are needed before anything is seen of the streams. Dropout "
    "stands for all that training draws, the noise of a router included. "
    "The parts of a model add up to all of its variance; the intervals are of each part alone."
)
OVER = {
    True: "The correlation is over seeds that draw every stream anew, as those of an ordinary study do.",
    False: "The correlation is over these runs: seeds that draw every stream anew may have another.",
}
"""Sentence about the seeds behind the correlation, by whether several streams vary separately."""
WORTH = (
    "What pairing is worth: the runs of each model that a comparison without pairs needs for each pair of runs, as far as the variance "
    "over seeds goes."
)


def streams(results: Results) -> Finding:
    """Split the variance over seeds by random stream, and say what the models have in common over seeds."""
    metric, crossed = primary_metric(results.plan).title.lower(), len(results.streams) > 1
    values = {model: scores(correct_Sn, results.strata) for model, correct_Sn in results.correct.items()}
    known = [model for model in results.models if _is_whole(results, model)]
    splits = {model: split(values[model], _levels(results, model), stream("streams", model)) for model in known}
    shares, pairings = _share_table(results, splits), _pairing_table(results, values, known)
    said = [_design(results, metric)]
    said += [bullets(_split_line(results, model, found) for model, found in splits.items())] if splits else []
    if lacking := [model for model in results.models if model not in known]:
        said.append(f"Without every run of the design, nothing is said of {listing(lacking)}.")
    said += [EXPLAINED] if crossed and splits else []
    if len(pairings):
        said += [bullets(_pairing_line(row) for _, row in pairings.iterrows()), f"{OVER[crossed]} {WORTH}"]
    return Finding(
        name="streams",
        title="Which randomness?",
        summary="\n\n".join(said),
        tables={"shares": shares, "pairing": pairings},
        listed=(),
        figures={"streams": _figure(shares, metric)} if crossed and len(shares) else {},
    )


def _streams_of(results: Results, model: str) -> list[str]:
    """Return the separately varying streams that a model has."""
    runs = results.runs[results.runs["model"] == model]
    return [name for name in results.streams if runs[STREAM_COLUMNS[name]].notna().all()]


def _levels(results: Results, *models: str) -> NDArray[np.int64]:
    """Return the levels (S, F) of the streams that any of the models has; F = 0 if one stream varies, as runs are independent then."""
    names = [name for name in results.streams if any(name in _streams_of(results, model) for model in models)]
    chosen = names if len(results.streams) > 1 else []
    tables = {model: results.runs.loc[results.runs["model"] == model] for model in models}
    owner = {name: next(model for model in models if name in _streams_of(results, model)) for name in chosen}
    columns = [tables[owner[name]][STREAM_COLUMNS[name]].to_numpy(np.int64) for name in chosen]
    return np.array(columns, dtype=np.int64).T.reshape(len(tables[models[0]]), len(chosen))


def _is_whole(results: Results, model: str) -> bool:
    """Return whether a model has all runs that its split needs."""
    levels_SF = _levels(results, model)
    return is_square(levels_SF) if levels_SF.shape[1] else len(levels_SF) >= LEAST_SEEDS


def _share_table(results: Results, splits: dict[str, Split]) -> pd.DataFrame:
    """Return one row per model and part of its variance: the share with its interval, and the model's standard deviation."""
    rows = [
        {
            "model": model,
            "stream": name,
            **dict(zip(("share", "low", "high"), astuple(share), strict=True)),
            **dict(zip(("sd", "sd_low", "sd_high"), astuple(found.deviation), strict=True)),
        }
        for model, found in splits.items()
        for name, share in zip(_parts(results, model), found.shares, strict=True)
    ]
    return pd.DataFrame(rows)


def _parts(results: Results, model: str) -> list[str]:
    return [*_streams_of(results, model), REST] if len(results.streams) > 1 else list(results.streams)


def _pairing_table(results: Results, values: dict[str, NDArray[np.float64]], known: list[str]) -> pd.DataFrame:
    """Return one row per declared pair of models with the same seeds."""
    rows = []
    for pair in pairs(results):
        a, b = pair.model_a, pair.model_b
        if not pair.declared or not {a, b} <= set(known) or results.seeds(a) != results.seeds(b):
            continue
        both_S2 = np.stack([values[a], values[b]], axis=1)
        found: Pairing = pairing(both_S2, _levels(results, a, b), stream("streams", a, b))
        names = (f"{what}{end}" for what in ("correlation", "worth") for end in ("", "_low", "_high"))
        numbers = (*astuple(found.correlation), *astuple(found.worth))
        rows.append({"model_a": a, "model_b": b, **dict(zip(names, numbers, strict=True))})
    return pd.DataFrame(rows)


def _design(results: Results, metric: str) -> str:
    """Return in words which streams varied in these runs, and the limits of the design."""
    names = [WORDS[name] for name in results.streams]
    if len(names) > 1:
        levels = results.runs[STREAM_COLUMNS[results.streams[0]]].nunique()
        return (
            f"The seeds of this study draw {listing(names)} apart: each has {levels} values, the digits of a seed, and every two of them "
            f"meet once in each pair of values. So the variance of {metric} over seeds can be split. {levels} values leave "
            f"{plural(levels - 1, 'degree')} of freedom to each: the intervals ({100 * LEVEL:g} %) are wide. A share whose interval begins "
            "at 0 may be none, and one whose interval is short beside 0 is so by chance."
        )
    frozen = [
        WORDS[name] for name, column in STREAM_COLUMNS.items() if name not in results.streams and column in results.runs
    ]
    return (
        f"Of the random streams only {listing(names)} varied over the seeds of this study; {listing(frozen)} stayed as with seed 0. "
        f"Spread of {metric} over seeds, with {100 * LEVEL:g} % intervals:"
    )


def _split_line(results: Results, model: str, found: Split) -> str:
    spread = f"sd over seeds {_scaled(found.deviation, '.2f')} points"
    if results.plan.primary_metric == "test_accuracy":
        spread += (
            f", coin flips of single answers {100 * sqrt(against_coin_flips(results.correct[model]).predicted):.2f}"
        )
    if len(results.streams) < 2:  # noqa: PLR2004 - one stream has all of the variance
        return f"{model}: {spread}."
    parts = [
        f"{WORDS[name]} {_scaled(share, '.0f')} %"
        for name, share in zip(_parts(results, model), found.shares, strict=True)
    ]
    absent = [WORDS[name] for name in results.streams if name not in _streams_of(results, model)]
    left = f" It has no {listing(absent)}: that stream is left out." if absent else ""
    return f"{model}: {', '.join(parts)}; {spread}.{left}"


def _scaled(found: Interval, form: str) -> str:
    value, low, high = (f"{100 * number:{form}}" for number in astuple(found))
    return f"{value} [{low}, {high}]"


def _pairing_line(row: pd.Series) -> str:
    said = f"{row['model_a']} and {row['model_b']}"
    if pd.isna(row["worth"]):
        return f"{said}: the seeds do not differ."
    if np.isinf(row["worth"]):
        return (
            f"{said}: correlation over seeds {row['correlation']:.2f} [{row['correlation_low']:.2f}, {row['correlation_high']:.2f}]. "
            "The difference is the same in every pair, so that runs without pairs tell less, however many they are."
        )
    return (
        f"{said}: correlation over seeds {row['correlation']:.2f} [{row['correlation_low']:.2f}, {row['correlation_high']:.2f}]. "
        f"Pairing is worth {row['worth']:.2f} times the seeds [{row['worth_low']:.2f}, {row['worth_high']:.2f}]: 10 pairs tell as much "
        f"as about {round(10 * row['worth'])} runs of each model without pairs."
    )


def _figure(shares: pd.DataFrame, metric: str) -> Figure:
    rows = [
        Row(
            label=f"{row['model']}: {WORDS[row['stream']]}",
            value=row["share"],
            points=(),
            low=row["low"],
            high=row["high"],
            strong=row["stream"] != REST and row["low"] > 0,
            note=f"[{100 * row['low']:.0f}, {100 * row['high']:.0f}]",
        )
        for _, row in shares.iterrows()
    ]
    return estimates_figure(
        rows,
        title="Which randomness?",
        subtitle=(
            f"Share of the variance of {metric} over seeds, with {100 * LEVEL:g} % interval;<br>"
            "blue: a stream whose interval leaves out 0"
        ),
        unit="Share of the variance",
        percent=True,
    )
