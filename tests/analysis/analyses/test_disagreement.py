from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.analyses.confusion import confusion
from analysis.analyses.disagreement import EXAMPLES, disagreements, wanted_sequences
from analysis.figures.disagreement import raster
from analysis.plan import Plan

# Two seeds of three models on six sequences.
CORRECT = {
    "a": [[1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 0]],
    "b": [[0, 0, 0, 1, 1, 0], [0, 1, 0, 1, 1, 0]],
    "c": [[0, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 1]],
}


def events(samples, horizon=784.0):
    return pd.DataFrame({"sample_id": np.repeat(samples, 2), "time": [3, 29] * len(samples), "horizon": horizon})


def test_only_sequences_on_which_all_seeds_agree_are_counted(study):
    table = disagreements(study(CORRECT)).set_index(["right", "missed"])
    # a is always right on 0, 1, 4; b always wrong on 0, 2, 5; c always wrong on 0, 1, 3, 4.
    assert table["examples"].to_dict() == {
        ("a", "b"): [0],
        ("a", "c"): [0, 1, 4],
        ("b", "a"): [3],
        ("b", "c"): [3, 4],
        ("c", "a"): [5],
        ("c", "b"): [5],
    }
    assert table["count"].tolist() == [1, 3, 1, 2, 1, 1]


def test_what_is_drawn_is_of_the_declared_pairs_and_at_most_eight_each(study):
    results = study(CORRECT, plan=Plan(reference="c", family="reference"))
    assert wanted_sequences(results) == [0, 1, 3, 4, 5]
    wide = study({"a": np.ones((2, 30)), "b": np.zeros((2, 30))})
    assert len(wanted_sequences(wide)) == EXAMPLES
    assert disagreements(wide)["count"].tolist() == [30, 0]


def test_the_examples_are_drawn_from_their_events(study):
    results = study(CORRECT)
    figure = confusion(replace(results, probes={"events": events([0, 1, 3, 4, 5])})).figures["disagreements"]
    # Pixels 3 and 29 of 28 x 28: the first row's fourth, and the second row's second.
    tile = np.array(figure.data[0].z, dtype=float)[:28, :28]
    assert np.argwhere(tile == 1).tolist() == [[0, 3], [1, 1]]
    # Sequence 0 has label 0; where b is wrong it says 1.
    assert "0, not 1" in [note.text for note in figure.layout.annotations]


def test_long_names_of_classes_stand_in_two_lines_below_the_tiles(study):
    probes = {"events": events([0, 1, 3, 4, 5])}
    short, long = (
        confusion(replace(study(CORRECT), probes=probes, class_names=names)).figures["disagreements"]
        for names in (("a", "b", "c"), ("heron", "kingfisher of the bank", "wren"))
    )
    assert "a, not b" in [note.text for note in short.layout.annotations]
    assert "heron,<br>not kingf\u2026e bank" in [note.text for note in long.layout.annotations]
    assert long.layout.height > short.layout.height


@pytest.mark.parametrize("probes", [{}, {"events": events([0])[:0]}])
def test_without_events_the_counts_stand_alone(probes, study):
    finding = confusion(replace(study(CORRECT), probes=probes))
    assert set(finding.figures) == {"confusion_matrices"}
    assert "| a |  | 1 | 3 |" in finding.summary


def test_other_sequences_are_drawn_as_bars_over_time():
    tile = raster(np.array([0.1, 0.2, 9.9]), 10.0)
    assert tile.sum(axis=0).tolist() == [28] + [0] * 26 + [14]
    assert tile[-1, -1] == 1  # bars stand on the ground
    assert tile[0, -1] == 0


def test_one_model_has_nobody_to_disagree_with(study):
    assert "all seeds of the row" not in confusion(study({"a": CORRECT["a"]})).summary
