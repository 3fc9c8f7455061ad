import json

import numpy as np
import pytest

from analysis import run_analyses
from analysis.report.records import detailed_analysis, jsonable, summary, training_histories


@pytest.mark.parametrize("record", [detailed_analysis, summary])
def test_records_are_json_without_nan(record, study, draw, rates, findings):
    for found in (findings, run_analyses(study(draw(rates, seeds=1), epochs=1))):
        text = json.dumps(record(found), allow_nan=False)
        assert "lete" in text
        assert json.loads(text) == record(found)


def test_histories_list_every_epoch_by_model_and_seed(study, draw, rates):
    histories = training_histories(study(draw(rates), epochs=4))
    assert list(histories) == ["none", "sincos", "lete"]
    assert set(histories["lete"]["2"]) == {
        "seconds",
        *(f"{split}_{metric}" for split in ("train", "validation", "test") for metric in ("loss", "accuracy")),
    }
    assert histories["lete"]["2"]["test_accuracy"] == pytest.approx([0.9 - 0.4 / epoch for epoch in (1, 2, 3, 4)])


def test_numpy_scalars_and_gaps_become_plain_values():
    found = jsonable({np.int64(3): [np.float64("nan"), np.bool_(True), (np.int8(2), float("inf"))], "a": None})
    assert found == {"3": [None, True, [2, None]], "a": None}
    assert type(found["3"][1]) is bool
