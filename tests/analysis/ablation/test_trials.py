import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.ablation import Bounds, Trials, ablation_findings, ablation_report
from analysis.ablation.design import design
from analysis.ablation.effects import effects
from analysis.ablation.factors import contrast_table, interaction_table, level_table
from analysis.ablation.ranking import trial_table
from analysis.ablation.trials import label, short_names
from analysis.schema import ResultsError

NAME, DIM = "model.embedding.name", "model.embedding.dim"
SPACES = {NAME: ["none", "lete"], DIM: [16, 32]}
CORNERS = [{NAME: name, DIM: dim} for name, dim in itertools.product(*SPACES.values())]
SCORES = [[0.90, 0.92, 0.91], [0.91, 0.92, 0.93], [0.93, 0.93, 0.95], [0.97, 0.96, 0.99]]
STUDIES = [
    "factorial",
    "one seed",
    "one at a time",
    "random",
    "pruned",
    "no model",
    "lete failed",
    "none complete",
    "one trial",
    "loss",
    "no factor",
]


def test_trials_are_ranked_with_the_interval_of_scipy(trials_of):
    table = trial_table(trials_of(states={0: "PRUNED"}))
    assert table["trial"].tolist() == [3, 2, 1, 0]
    assert table["best"].tolist() == [True, False, False, False]
    low, high = stats.t.interval(0.95, 2, np.mean(SCORES[2]), stats.sem(SCORES[2]))
    assert table.loc[1, ["low", "high"]].tolist() == pytest.approx([low, high])
    assert table.loc[1, "sd"] == pytest.approx(np.std(SCORES[2], ddof=1))
    assert table.loc[0, "high"] == 1  # .9733 + 4.303 * .0088 = 1.011, and an accuracy ends at 1
    assert table.loc[3, ["mean", "low"]].isna().all()


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_becomes_findings_and_a_report(study, studies):
    trials = studies[study]
    findings = ablation_findings(trials)
    assert [finding.name for finding in findings] == ["trials", "effects", "expected_best", "certificate", "pareto"]
    document = ablation_report(trials, findings)
    assert set(re.findall(r"!\[[^\]]+\]\((\w+)\.png\)", document.markdown)) == set(document.figures)
    assert "nan" not in document.markdown.replace("n/a", "")
    for figure in document.figures.values():
        assert json.loads(figure.to_json())["layout"]["width"] >= 600


def test_the_best_of_many_is_called_optimistic(trials_of):
    assert "The best of 4 validation scores is optimistic" in ablation_findings(trials_of())[0].summary
    assert "optimistic" not in ablation_findings(trials_of(CORNERS[:1], SCORES[:1]))[0].summary


@settings(deadline=None, max_examples=15)
@given(st.randoms(use_true_random=False), st.sampled_from(["factorial", "one at a time", "pruned"]))
def test_the_order_of_rows_never_matters(studies, random, study):
    trials = studies[study]
    rows = list(range(len(trials.table)))
    random.shuffle(rows)
    shuffled = Trials(trials.table.iloc[rows], trials.objective, trials.direction, trials.spaces)
    for left, right in zip(ablation_findings(trials), ablation_findings(shuffled), strict=True):
        assert left.summary == right.summary
        for name in left.tables:
            pd.testing.assert_frame_equal(left.tables[name], right.tables[name])


@settings(deadline=None, max_examples=15)
@given(st.permutations([0, 1, 2]), st.permutations(range(4)))
def test_the_names_of_seeds_and_trials_never_matter(trials_of, seeds, numbers):
    trials = trials_of()
    table = trials.table.assign(
        seed=trials.table["seed"].map(dict(enumerate(seeds))), trial=trials.table["trial"].map(dict(enumerate(numbers)))
    )
    renamed = Trials(table, trials.objective, trials.direction, trials.spaces)
    for of in (lambda its: contrast_table(its, design(its)), interaction_table, level_table):
        pd.testing.assert_frame_equal(of(trials), of(renamed))


def test_swapping_the_direction_mirrors_every_number(trials_of):
    higher = trials_of(objective="score")
    mirrored = higher.table.assign(value=-higher.table["value"])
    lower = Trials(mirrored, "score", "minimize", SPACES)
    up, down = (
        dict(zip(["rank", "effect", "best", "cost"], tables, strict=True)) for tables in map(_tables, (higher, lower))
    )
    assert up["rank"]["trial"].tolist() == down["rank"]["trial"].tolist()
    assert (up["effect"]["difference"] + down["effect"]["difference"]).abs().max() < 1e-12
    assert up["effect"]["p_holm"].tolist() == pytest.approx(down["effect"]["p_holm"].tolist())
    assert up["best"]["best"].tolist() == pytest.approx((-down["best"]["best"]).tolist())
    assert up["best"]["low"].tolist() == pytest.approx((-down["best"]["high"]).tolist())
    assert up["cost"]["front"].tolist() == down["cost"]["front"].tolist()
    assert "better" in effects(higher).summary
    assert effects(higher).summary.count("better") == effects(lower).summary.count("better")


def _tables(trials):
    found = {finding.name: finding.tables for finding in ablation_findings(trials)}
    effect = found["effects"]["contrasts"]
    return found["trials"]["trials"], effect, found["expected_best"]["expected_best"], found["pareto"]["pareto"]


def spoil(column, value, row=0):
    def change(table):
        changed = table.astype({column: object})
        changed.loc[row, column] = value
        return changed.infer_objects()

    return change


REFUSALS = {
    "no column": (lambda table: table.drop(columns="epochs"), "none named epochs"),
    "no factor": (lambda table: table.drop(columns=DIM), f"must have a column for each factor, got none for {DIM}"),
    "empty": (lambda table: table.iloc[:0], "at least one trial"),
    "twice": (lambda table: pd.concat([table, table]), "one row for each trial, seed"),
    "state": (spoil("state", "RUNNING"), "must be among COMPLETE, PRUNED, FAILED, got 'RUNNING'"),
    "two states": (
        spoil("state", "PRUNED"),
        "trials.state: must be the same for all seeds of a trial, got 2 for trial 0",
    ),
    "two settings": (spoil(DIM, 64), f"trials.{DIM}: must be the same for all seeds of a trial"),
    "no value": (spoil("value", np.nan), "must be finite for a complete trial, got nan for trial 0 seed 0"),
    "percent": (spoil("value", 97.0), r"accuracy must lie in \[0, 1\], got 97"),
    "seeds": (lambda table: table.iloc[1:], "must share their seeds, got none for trial 0 seed 0"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_trials_are_refused_with_what_to_do(case, rows_of):
    change, message = REFUSALS[case]
    with pytest.raises(ResultsError, match=message) as error:
        Trials(change(rows_of(CORNERS, SCORES)), "accuracy", "maximize", SPACES)
    assert str(error.value).endswith(".")


def test_bad_spaces_and_directions_are_refused(trials_of):
    with pytest.raises(ResultsError, match="0 < low < high, got low 0 and high 1"):
        Bounds(0, 1, log=True)
    with pytest.raises(ResultsError, match="must list distinct choices"):
        trials_of(spaces={NAME: ["none", "none"]})
    with pytest.raises(ResultsError, match="'maximize' or 'minimize', got 'up'"):
        trials_of(direction="up")
    with pytest.raises(ResultsError, match="cost: must be one of parameters, epoch_seconds, got 'price'"):
        ablation_findings(trials_of(), cost="price")


def test_names_are_as_short_as_they_can_be_told_apart():
    assert short_names(["model.dropout", "model.embedding.dropout", "train.learning_rate"]) == {
        "model.dropout": "model.dropout",
        "model.embedding.dropout": "embedding.dropout",
        "train.learning_rate": "learning_rate",
    }
    assert [label(value) for value in (True, 16.0, 1e-3, "lete", 1234567)] == ["true", "16", "0.001", "lete", "1234567"]
