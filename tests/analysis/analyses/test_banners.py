import pandas as pd
import pytest

from analysis import run_analyses
from analysis.analyses.banners import banners
from analysis.plan import Plan
from analysis.report.markdown import report
from analysis.results import Results

RATES = {"none": 0.6, "sincos": 0.9, "lete": 0.91}


def change(column, value, rows=0):
    def changed(runs, curves, predictions):
        runs.loc[rows, column] = value
        return runs, curves, predictions

    return changed


def one_class(runs, curves, predictions):
    wrong = (predictions["model"] == "lete") & (predictions["seed"] == 1)
    predictions.loc[wrong, "predicted"] = 0
    runs.loc[runs["run_id"] == "lete-1", "test_accuracy"] = (predictions.loc[wrong, "label"] == 0).mean()
    return runs, curves, predictions


def same_seeds(runs, curves, predictions):
    rows = predictions["model"] == "lete"
    columns = ["predicted", "log_likelihood"]
    first = predictions.loc[rows & (predictions["seed"] == 0), columns].to_numpy()
    predictions.loc[rows & (predictions["seed"] == 2), columns] = first
    runs.loc[runs["run_id"] == "lete-2", "test_accuracy"] = runs.loc[runs["run_id"] == "lete-0", "test_accuracy"].item()
    return runs, curves, predictions


def same_models(runs, curves, predictions):
    none, lete = (predictions["model"] == model for model in ("none", "lete"))
    columns = ["predicted", "log_likelihood"]
    predictions.loc[lete, columns] = predictions.loc[none, columns].to_numpy()
    runs.loc[runs["model"] == "lete", "test_accuracy"] = runs.loc[runs["model"] == "none", "test_accuracy"].to_numpy()
    return runs, curves, predictions


def tuned(runs, curves, predictions):
    runs["tuning_trials"] = (runs["model"] == "lete") * 30
    return runs, curves, predictions


def kernels(*names):
    def changed(runs, curves, predictions):
        # A model without an LSTM has none, which makes no difference.
        runs["lstm_kernel"] = [*names, *[None] * (len(runs) - len(names))]
        return runs, curves, predictions

    return changed


def gradients(norms):
    def changed(runs, curves, predictions):
        last = curves[(curves["metric"] == "seconds")]
        return (
            runs,
            pd.concat([curves, last.assign(metric="gradient_norm", value=last["model"].map(norms))]),
            predictions,
        )

    return changed


FAR = gradients({"none": 2.0, "sincos": 350.0, "lete": 30.0})
NEAR = gradients({"none": 2.0, "sincos": 39.0, "lete": 30.0})
BANNERS = {
    "gradients": (FAR, "Gradient norms are far apart: 350 for sincos and 2 for none"),
    "shared code": (change("shared_code_digest", "other", [6, 7, 8]), "code that all models share"),
    "tuning": (tuned, "Unequal tuning budgets: none 0 trials, sincos 0 trials and lete 30 trials."),
    "precision": (change("precision", "bf16"), "different precisions: bf16 and fp32"),
    "torch": (change("torch_version", "2.12.0"), "different builds of torch: 2.12.0 and 2.13.0"),
    "device": (change("device", "cuda"), "different devices: cpu and cuda"),
    "kernel": (kernels("compiled", "torch"), "different kernels of the LSTM: compiled and torch"),
    "code": (change("code_digest", "other"), "trained by different code: none."),
    "epochs": (change("epochs", 5), "between 5 and 6 epochs"),
    "missing": (change("status", "FAILED"), "Missing cells: none seed 0."),
    "recorded": (change("test_accuracy", 0.123), "recorded test accuracy of none seed 0 (12.30 %)"),
    "one class": (one_class, "All predictions are one class: lete seed 1."),
    "same seeds": (same_seeds, "Seeds of lete gave identical results"),
    "same models": (same_models, "none and lete gave identical results with seeds 0, 1 and 2"),
}


@pytest.mark.parametrize("case", BANNERS)
def test_what_a_reader_must_know_stands_at_the_head(case, tables, draw):
    spoil, said = BANNERS[case]
    results = Results(*spoil(*tables(draw(RATES))), plan=Plan(), allow_missing=True)
    found = banners(results)
    assert [said in banner for banner in found].count(True) == 1
    # A seed that answers with one class lies far from the others, too.
    assert len(found) == 1 + (case == "one class")
    text = report(run_analyses(results, ["overview"]))
    assert text.index(said) < text.index("## Verdict")


def test_a_sound_study_has_no_banner(study, draw):
    assert banners(study(draw(RATES))) == []


def test_too_few_epochs_or_seeds_are_said(study, draw):
    found = " ".join(banners(study(draw(RATES, seeds=1), epochs=4)))
    assert "Convergence needs 5 epochs, and these runs have 4 epochs" in found
    assert "One seed per model: nothing can be decided about the algorithms. Train at least 3" in found


def test_gradient_norms_within_a_factor_of_twenty_are_no_note(tables, draw):
    assert banners(Results(*NEAR(*tables(draw(RATES))), plan=Plan())) == []
