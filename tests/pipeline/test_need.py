"""The certificate of need on data that are made to need times, and on data that are made not to."""

import json

import pytest

from analysis.analyses.need import need
from pipeline.comparison import compare
from pipeline.identity import ROOT
from pipeline.stored_study import find_study, load_results
from pipeline.study import load_study
from pipeline.tracking import MemoryTracker


@pytest.mark.parametrize(("told_by", "certificate"), [("time", "needed"), ("count", "not needed")])
def test_the_preset_tells_data_that_need_times_from_a_negative_control(tmp_path, told_by, certificate):
    preset = json.loads((ROOT / "config/need.json").read_text())
    del preset["$schema"]
    for left_out in ("sincos", "lete"):
        del preset["variants"][left_out]
    own = tmp_path / "need.json"
    own.write_text(json.dumps({**preset, "seeds": [0, 1, 2], "plan": {**preset["plan"], "margin": 0.05}}))
    smaller = {"data.name": "synthetic", "data.told_by": told_by, "data.train_size": 512, "data.test_size": 512}
    smaller |= {"model.hidden_dim": 16, "train.batch_size": 32, "train.learning_rate": 0.02, "train.epochs": 6}
    tracker = MemoryTracker(tmp_path / "store")
    study = load_study(own, overrides=smaller)
    compare(study, tracker, workers=1, device="cpu")
    results = load_results(find_study(tracker, study.id), tracker, allow_missing=False, probes=False)
    assert need(results).data["certificate"] == certificate
    means = results.runs.groupby("model", observed=True)["test_accuracy"].mean()
    # What times tell, the order does not: the chance of one of four classes; and what the count tells, it tells alone.
    assert (means["order"] < 0.4) == (told_by == "time")
    assert means["time_and_gap"] > 0.7
