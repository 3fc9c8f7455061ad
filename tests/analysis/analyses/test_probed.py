"""The analyses of probes, on tables made by hand."""

from dataclasses import replace

import pandas as pd
import pytest

from analysis import run_analyses


def probe_tables():
    time_use, anytime, encoding = [], [], []
    for model, true, order in (("a", (0.8, 0.9), (0.1, 0.2)), ("b", (0.8, 0.8), (0.8, 0.8))):
        for seed in (0, 1):
            cell = {"run_id": f"{model}-{seed}", "model": model, "seed": seed}
            for name, accuracy in (("true times", true), ("rank only", order), ("jitter of sd 2", order)):
                rates = {"accuracy": accuracy[seed], "unchanged": 1.0}
                time_use.append({**cell, "alteration": name, "leaves": "", "sequences": 10, **rates})
            anytime += [{**cell, "events": k, "accuracy": true[seed], "cut": 0.0, "sequences": 10} for k in (5, 0)]
            for trained in (True, False):
                row = {"width": 4, "columns": 4, "effective_rank": 3.0 + seed - 2 * trained, "dt_10": 1.0, "dt_50": 2.0}
                encoding.append({**cell, "trained": trained, **row})
    return {"time_use": pd.DataFrame(time_use), "anytime": pd.DataFrame(anytime), "encoding": pd.DataFrame(encoding)}


@pytest.fixture
def results(study, draw):
    return study(draw({"a": 0.8, "b": 0.8}, seeds=2, images=60))


def finding(results, name):
    return run_analyses(results, [name])[0]


@pytest.mark.parametrize("name", ["time_use", "encoding"])
def test_an_analysis_without_its_probe_says_so(results, name):
    found = finding(results, name)
    assert found.summary.startswith("Not measured")
    assert not found.figures


def test_the_audit_says_who_uses_time_from_the_interval_over_seeds(results):
    found = finding(replace(results, probes=probe_tables()), "time_use")
    of_a, of_b = [line for line in found.summary.splitlines() if line.startswith("- ")]
    # Changes of a: -0.7 and -0.7; of b: 0 and 0.
    assert "(-70.00, [-70.00, -70.00]): it relies on the times" in of_a
    assert "(+0.00, [+0.00, +0.00]): the order is enough, within 10 points" in of_b  # one of ten sequences
    assert "a loss says what a model relied on" in found.summary
    assert "| Model | first 5 | all |" in found.summary
    assert found.tables["losses"].query("model == 'a' and alteration == 'rank only'")[
        "accuracy"
    ].item() == pytest.approx(0.15)
    assert set(found.figures) == {"time_use", "anytime_accuracy"}
    for figure in found.figures.values():
        assert "On 10 of 60 test sequences" in figure.layout.title.subtitle.text.replace("Accuracy on", "On")
    assert "Accuracy on 10 of 60 test sequences after" in found.summary


def test_the_microscope_compares_with_the_untrained_model(results):
    found = finding(replace(results, probes=probe_tables()), "encoding")
    # Means over seeds 0 and 1: 1.5 after training, 3.5 before.
    assert "effective rank 1.5 of 4 (3.5 before training); times told apart from 2 on" in found.summary


def test_the_microscope_counts_the_seeds_that_never_tell_times_apart(results):
    tables = probe_tables()
    encoding = tables["encoding"]
    one = encoding["trained"] & (encoding["model"] == "a") & (encoding["seed"] == 1)
    every = encoding["trained"] & (encoding["model"] == "b")
    encoding.loc[one | every, "dt_50"] = float("nan")
    of_a, of_b = finding(replace(results, probes=tables), "encoding").summary.splitlines()[2:]
    assert of_a.endswith("times told apart from 2 on by 1 of 2 seeds, by the others never.")
    assert of_b.endswith("times told apart never.")
