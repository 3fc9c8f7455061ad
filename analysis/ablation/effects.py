"""The effect of changing one factor, in words: contrasts where the design allows them, plain means otherwise."""

import numpy as np
import pandas as pd

from analysis.ablation.design import Design, design
from analysis.ablation.factors import (
    contrast_gaps,
    contrast_table,
    cube,
    interaction_table,
    level_of,
    level_table,
    marginal,
)
from analysis.ablation.trials import LEVEL, Trials, label, levels, short_names
from analysis.figures import Figure, Row, estimates_figure, interaction_figure
from analysis.findings import Finding
from analysis.wording import p_value, plural

ALPHA = 0.05
NAMED = 5
"""Number of contrasts that the summary names."""
PANELS = 6
"""Number of pairs of factors that the figure shows."""


def effects(trials: Trials) -> Finding:
    """Return main effects and interactions of a factorial, contrasts with a base point, or the means of each level."""
    found = design(trials)
    contrasts = contrast_table(trials, found)
    tables = {"levels": level_table(trials)}
    if contrasts.empty:
        summary = (
            f"{found.said} The table gives the plain mean of each level over its {plural(len(trials.scores), 'complete trial')} "
            "in all; these means also differ in what else was set, so no effect is claimed and no interval given. "
            "For effects, run every combination of the choices, or one factor at a time."
        )
        figures = {"ablation_levels": _level_figure(trials)} if len(trials.scores) and trials.factors else {}
        return Finding("effects", "Effects of the factors", summary, tables, figures, {"design": found.kind})
    tables["contrasts"] = contrasts
    figures = {"ablation_effects": _contrast_figure(trials, contrasts, found)}
    summary = f"{found.said} {_claims(trials, contrasts)}"
    if found.kind == "factorial" and len(trials.factors) > 1:
        interactions = tables["interactions"] = interaction_table(trials)
        if len(interactions):
            summary += f" {_interactions(trials, interactions)}"
            figures["ablation_interactions"] = _interaction_figure(trials, interactions)
    return Finding("effects", "Effects of the factors", summary, tables, figures, {"design": found.kind})


def _claims(trials: Trials, contrasts: pd.DataFrame) -> str:
    seeds = int(contrasts["seeds"].iloc[0])
    by_size = contrasts.reindex(contrasts["difference"].abs().sort_values(ascending=False, kind="stable").index)
    if seeds == 1:
        said = "; ".join(_contrast(trials, row) for _, row in by_size.head(NAMED).iterrows())
        return f"One seed, so no intervals and no p: an effect needs 2 seeds. Largest differences: {said}."
    held = by_size[by_size["p_holm"] < ALPHA]
    count = plural(len(contrasts), "contrast")
    shown = held if len(held) else by_size.head(1)
    said = "; ".join(_contrast(trials, row) for _, row in shown.head(NAMED).iterrows())
    lead = f"Of {count}, {len(held)} differ{'s' if len(held) == 1 else ''} from zero after Holm's correction over all of them"
    lead += (
        f", the largest {min(NAMED, len(held))}: " if len(held) > NAMED else ": " if len(held) else "; the largest is "
    )
    return (
        f"{lead}{said}. Paired over {plural(seeds, 'seed')} (t, df {seeds - 1}); the intervals, at {100 * LEVEL:g} %, "
        "are unadjusted, and hold for these validation sequences: other sequences are not in them. "
        "No significant difference does not mean none."
    )


def _contrast(trials: Trials, row: pd.Series) -> str:
    name = short_names(trials.factors)[row["factor"]]
    said = f"{name} {row['level']} against {row['reference']} {trials.show_gap(row['difference'])}"
    if pd.isna(row["low"]):
        return said
    gap = trials.sign * row["difference"]
    worth = "better" if gap > 0 else "worse" if gap < 0 else "the same"
    bounds = ", ".join(trials.show_gap(row[end]).removesuffix(" points") for end in ("low", "high"))
    return f"{said} [{bounds}] (Holm: {p_value(row['p_holm'])}), {worth}"


def _interactions(trials: Trials, table: pd.DataFrame) -> str:
    top = table.iloc[int(table["interaction"].abs().argmax())]
    names = short_names(trials.factors)
    cell = f"{names[top['factor_a']]} {top['level_a']} with {names[top['factor_b']]} {top['level_b']}"
    said = f"The largest two-way interaction is that of {cell}: {trials.show_gap(top['interaction'])} beyond the sum of both"
    if pd.isna(top["low"]):
        return f"{said}, without an interval."
    bounds = ", ".join(trials.show_gap(top[end]).removesuffix(" points") for end in ("low", "high"))
    own = _own_cells(table)
    clear = int(((own["low"] > 0) | (own["high"] < 0)).sum())
    mirrored = ", counting once what a factor of two levels mirrors," if len(own) < len(table) else ""
    return (
        f"{said} [{bounds}]; {clear} of {plural(len(own), 'cell')}{mirrored} {'has' if clear == 1 else 'have'} an interval "
        f"without zero, unadjusted, where chance alone gives about {(1 - LEVEL) * len(own):.2g}."
    )


def _own_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Drop redundant cells: for a factor with two levels, the second is the first with the opposite sign."""
    kept = pd.Series(data=True, index=table.index)
    for name in ("level_a", "level_b"):
        of_pair = table.groupby(["factor_a", "factor_b"], sort=False)[name]
        kept &= (of_pair.transform("nunique") != 2) | (table[name] == of_pair.transform("first"))  # noqa: PLR2004
    return table[kept]


def _contrast_figure(trials: Trials, contrasts: pd.DataFrame, found: Design) -> Figure:
    names = short_names(trials.factors)
    gaps = [gap_S for *_, gap_S in contrast_gaps(trials, found)]
    rows = [
        Row(
            label=f"{names[row['factor']]}: {row['level']} - {row['reference']}",
            value=row["difference"],
            points=tuple(gap_S),
            low=row["low"],
            high=row["high"],
            strong=bool(row["p_holm"] < ALPHA),
            note=f"Holm: {p_value(row['p_holm'])}",
        )
        for (_, row), gap_S in zip(contrasts.iterrows(), gaps, strict=True)
    ]
    against = "first level" if found.kind == "factorial" else f"base point (trial {found.base})"
    return estimates_figure(
        rows,
        title="Effects of the factors",
        subtitle=(
            f"Difference to the {against}; points: seeds, line: {100 * LEVEL:g} % interval, unadjusted.<br>"
            f"Blue: Holm-adjusted p under {ALPHA:g}. {trials.direction.capitalize()}: "
            f"{'right' if trials.sign > 0 else 'left'} is better"
        ),
        unit=f"Difference of {trials.goal}",
        percent=trials.is_rate,
        zero=True,
    )


def _level_figure(trials: Trials) -> Figure:
    names, table, rows = short_names(trials.factors), level_table(trials), []
    placed = {path: np.array(level_of(trials, path)[1]) for path in trials.factors}
    for _, row in table[table["trials"] > 0].iterrows():
        points = tuple(trials.means[placed[row["factor"]] == row["level"]])
        name = f"{names[row['factor']]}: {row['level']}"
        rows.append(Row(label=name, value=row["mean"], points=points, note=plural(int(row["trials"]), "trial")))
    return estimates_figure(
        rows,
        title="Trials by level",
        subtitle="Points: trials (means over seeds), bar: their mean.<br>Other settings differ too: no effect is claimed",
        unit=trials.goal,
        percent=trials.is_rate,
    )


def _interaction_figure(trials: Trials, table: pd.DataFrame) -> Figure:
    """Draw the pairs with the largest interactions; the axis shows the levels of the factor with more levels."""
    values, paths = cube(trials), trials.factors
    names = short_names(paths)
    sizes = table.assign(size=table["interaction"].abs()).groupby(["factor_a", "factor_b"], sort=False)["size"].max()
    panels = []
    for pair in sizes.sort_values(ascending=False, kind="stable").index[:PANELS]:
        across, lines = sorted(map(paths.index, pair), key=lambda i: -values.shape[i + 1])
        cells_SAB = marginal(values, across, lines)
        if lines < across:
            cells_SAB = cells_SAB.swapaxes(1, 2)
        known = [
            [label(level) for level in levels(trials.spaces[paths[i]], trials.per_trial[paths[i]])]
            for i in (across, lines)
        ]
        panels.append((names[paths[across]], known[0], names[paths[lines]], known[1], cells_SAB))
    cut = f"; the {PANELS} largest of {len(sizes)} pairs" if len(sizes) > PANELS else ""
    return interaction_figure(panels, unit=trials.goal, percent=trials.is_rate, cut=cut)
