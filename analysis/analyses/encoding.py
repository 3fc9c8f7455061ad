"""The encoding microscope: which times the embeddings tell apart, before and after training."""

import pandas as pd

from analysis.analyses.probed import measured, not_measured, sequences_of
from analysis.figures import gates_figure, kernel_figure, spectrum_figure
from analysis.findings import Finding
from analysis.results import Results

NAME, TITLE = "encoding", "What the embeddings encode"
NEAR = 0.05
"""Relative distance within which a learned period counts as that of an image row."""
IMAGE_SIDE = 28
IMAGE_HORIZON = IMAGE_SIDE**2


def encoding(results: Results) -> Finding:
    """Describe the code of each embedding on the grid of times."""
    table = measured(results, "encoding")
    if table is None:
        return not_measured(NAME, TITLE, "encoding")
    models = encoding_table(table)
    tables, figures = {"models": models}, {}
    spectrum, kernel, gates = (measured(results, name) for name in ("spectrum", "kernel", "gates"))
    row_period = spectrum is not None and abs(float(spectrum["period"].max()) - IMAGE_HORIZON) < 1
    if spectrum is not None:
        means = spectrum.groupby(["model", "cycles", "period"], sort=False)["share"].mean().reset_index()
        tables["spectrum"] = means
        figures["encoding_spectrum"] = spectrum_figure(means, results.models, IMAGE_SIDE if row_period else None)
        if row_period:
            at_row = means[means["cycles"] % IMAGE_SIDE == 0].groupby("model")["share"].sum()
            models["row_period_share"] = models["model"].map(at_row)
    if kernel is not None:
        first = kernel[kernel["seed"] == kernel["seed"].min()]
        figures["encoding_kernel"] = kernel_figure(first, results.models)
    if gates is not None:
        audited = measured(results, "time_use")  # on the same sequences
        seen = "the probed test sequences" if audited is None else sequences_of(audited, results)
        loads = gates.groupby(["model", "start", "expert"], sort=False)["gate"].mean().reset_index()
        tables["gates"] = loads
        figures["gate_load"] = gates_figure(loads, results.models, seen)
    periods = period_table(measured(results, "frequencies"))
    if len(periods):
        tables["frequencies"] = periods
    apart = table[table["trained"]].groupby("model")["dt_50"].count()
    return Finding(NAME, TITLE, _summary(models, periods, apart), tables=tables, figures=figures, listed=())


def encoding_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model: means over seeds of the measurements, after and before training."""
    after = table[table["trained"]].groupby("model", sort=False)
    before = table[~table["trained"]].groupby("model", sort=False)["effective_rank"].mean()
    means = after[["width", "columns", "effective_rank", "dt_10", "dt_50"]].mean()
    return means.assign(effective_rank_before=before, seeds=after.size()).reset_index()


def period_table(frequencies: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row per model with frequencies: their number, and the share whose period is near that of an image row."""
    if frequencies is None:
        return pd.DataFrame()
    near = frequencies.assign(near=(frequencies["period"] / IMAGE_SIDE - 1).abs() < NEAR)
    rows = []
    for model, of_model in near.groupby("model", sort=False):
        after, before = of_model[of_model["trained"]], of_model[~of_model["trained"]]
        rows.append(
            {
                "model": model,
                "frequencies": len(after) // max(after["seed"].nunique(), 1),
                "shortest": after["period"].min(),
                "median": after["period"].median(),
                "median_before": before["period"].median(),
                "near_row": after["near"].mean(),
                "near_row_before": before["near"].mean(),
            }
        )
    return pd.DataFrame(rows)


def _summary(models: pd.DataFrame, periods: pd.DataFrame, apart: "pd.Series[int]") -> str:
    """Describe each model; `apart` counts, by model, the seeds whose code tells any two times apart."""
    lines = [
        (
            "The code that each trained embedding gives to a lone event at each time of the axis (or, if it encodes gaps, "
            "to each gap), columns standardised; means over seeds. Effective rank: how many directions the code uses. "
            "Told apart: the least difference of time at which two codes are half as far apart as unrelated ones."
        ),
        "",
    ]
    for _, row in models.iterrows():
        share = row.get("row_period_share")
        cycles = (
            "" if share is None or pd.isna(share) else f"; {100 * share:.1f} % of its variance repeats with the row"
        )
        seeds = apart[row["model"]]
        told = f"from {row['dt_50']:.3g} on" if seeds else "never"
        if 0 < seeds < row["seeds"]:
            told += f" by {seeds} of {row['seeds']:.0f} seeds, by the others never"
        lines.append(
            f"- {row['model']}: effective rank {row['effective_rank']:.1f} of {row['width']:.0f} "
            f"({row['effective_rank_before']:.1f} before training); times told apart {told}{cycles}."
        )
    for _, row in periods.iterrows():
        lines.append(
            f"- {row['model']} holds {row['frequencies']} frequencies: median period {row['median']:.3g} "
            f"({row['median_before']:.3g} before training), {100 * row['near_row']:.0f} % within "
            f"{100 * NEAR:.0f} % of {IMAGE_SIDE} ({100 * row['near_row_before']:.0f} % before)."
        )
    return "\n".join(lines)
