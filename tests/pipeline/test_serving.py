"""A stored model as MLflow serves it: what it takes, what it refuses in one line, and the same over HTTP."""

import json
import math
import types
import urllib.error
import urllib.request
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from pipeline.__main__ import main
from pipeline.bench.serving import served
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking.pyfunc import EventClassifier
from pipeline.train import run_cell

CLASSES = ("rise", "fall", "rest")


def loaded(files):
    """Return a stored model as MLflow loads it."""
    served = EventClassifier()
    served.load_context(types.SimpleNamespace(artifacts=dict(zip(("config", "weights"), map(str, files), strict=True))))
    return served


@pytest.fixture(scope="module")
def plain(untrained, tmp_path_factory):
    return loaded(untrained(tmp_path_factory.mktemp("plain"), **{"data.name": "synthetic"}))


@pytest.fixture(scope="module")
def featured(untrained, tmp_path_factory):
    return loaded(untrained(tmp_path_factory.mktemp("featured"), features=2, **{"data.name": "synthetic"}))


def probabilities(served, times, **columns):
    return np.array(served.predict(None, pd.DataFrame({"times": times, **columns}))["probabilities"].tolist())


def test_whole_numbers_fractions_arrays_and_empty_sequences_are_answered(plain):
    times = [[1, 5, 9], [], [0.5, 0.5, 19.9], [3]]
    answers = plain.predict(None, pd.DataFrame({"times": times}))
    rows = np.array(answers["probabilities"].tolist())
    assert rows.shape == (4, 3)
    assert rows.sum(1) == pytest.approx(1)
    assert answers["class"].tolist() == [CLASSES[number] for number in rows.argmax(1)]
    as_arrays = [
        np.array(row, dtype=kind) for row, kind in zip(times, ("int16", "float32", "float64", "uint8"), strict=True)
    ]
    assert probabilities(plain, as_arrays) == pytest.approx(rows)
    assert plain.predict(None, {"times": times}).equals(answers)
    assert plain.predict(None, [{"times": row} for row in times]).equals(answers)


def test_features_are_taken_as_the_training_data_had_them(featured):
    tables = [[[100, 90.5], [110, 130]], []]
    rows = probabilities(featured, [[1, 2], []], features=tables)
    as_parquet_has_them = [
        np.array([np.array(event) for event in table] + [None], dtype=object)[:-1] for table in tables
    ]
    assert probabilities(featured, [[1, 2], []], features=as_parquet_has_them) == pytest.approx(rows)
    moved = probabilities(featured, [[1, 2]], features=[[[100, 90.5], [110, 131]]])
    assert not np.allclose(moved[0], rows[0], atol=1e-7)


@pytest.mark.parametrize(
    "settings",
    [{}, {"data.threshold": 0.3, "data.max_events": 40}, {"data.intensities": True}],
    ids=["as they are", "darker and cut", "with intensities"],
)
def test_images_are_answered_as_their_events_are(untrained, tmp_path, settings):
    data = {"data.name": "mnist_sample", **settings}
    features = int("data.intensities" in settings)
    served = loaded(untrained(tmp_path, horizon=784.0, classes=tuple("0123456789"), features=features, **data))
    config = served._inference.config.data
    _, (images, _) = config.images(tmp_path)
    images = images[:20]
    images[3] = 0
    images[4, 0] = 255
    _, events = config.read(tmp_path)
    if config.max_events:
        events = events.truncate(config.max_events)
    rows = np.array(served.predict(None, pd.DataFrame({"images": images.tolist()}))["probabilities"].tolist())
    expected = served._inference.probabilities(events.select(torch.arange(20)))
    kept = [at for at in range(20) if at not in (3, 4)]
    assert rows[kept] == pytest.approx(expected[kept], abs=1e-6)
    if not features:
        times = [np.flatnonzero(image.reshape(-1) / 255 > config.threshold) for image in images]
        assert rows == pytest.approx(probabilities(served, times), abs=1e-6)
    as_parquet_has_them = [np.array([*image, None], dtype=object)[:-1] for image in images]
    again = served.predict(None, pd.DataFrame({"images": as_parquet_has_them}))
    assert np.array(again["probabilities"].tolist()) == pytest.approx(rows)


def test_events_that_training_cuts_off_do_not_count(untrained, tmp_path):
    served = loaded(untrained(tmp_path, features=1, **{"data.name": "synthetic", "data.max_events": 2}))
    times, tables = [[1, 5, 9, 300], [], [3, 4], [7]], [[[100], [110], [120], [130]], [], [[90], [95]], [[80]]]
    rows = probabilities(served, times, features=tables)
    assert rows == pytest.approx(
        probabilities(served, [row[:2] for row in times], features=[table[:2] for table in tables])
    )
    answers = served.predict(None, {"times": times, "features": tables}, {"anytime": True})
    assert [len(told) for told in answers["anytime_probabilities"]] == [2, 0, 2, 1]
    assert [told[-1] for told in answers["anytime_probabilities"] if told] == [
        told for told, row in zip(answers["probabilities"], times, strict=True) if row
    ]
    for wrong, said in (
        ([1, 20, 30], "and below 20"),
        ([1, 5, 9, 3], "must ascend"),
        ([1, 5, math.nan], "must be finite"),
    ):
        assert said in refusal(served, {"times": [wrong], "features": [[[100]] * len(wrong)]})


BLACK = [[0] * 28] * 28


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"images": [BLACK], "times": [[1]]}, "with the column times, or the column images, and no other, got images, times."),
        ({"images": [BLACK, BLACK[1:]]}, "image 1: must be 28 lists of 28 numbers, got 27 of 28."),
        ({"images": [[[0] * 27] * 28]}, "image 0: must be 28 lists of 28 numbers, got 28 of 27."),
        ({"images": [[0] * 784]}, "image 0: must be a list of lists of numbers, all equally long, got 0 in it."),
        ({"images": [[[256] * 28] * 28]}, "image 0: must be whole numbers from 0 to 255, got 256."),
        ({"images": [[[-1] * 28] * 28]}, "image 0: must be whole numbers from 0 to 255, got -1."),
        ({"images": [[[0.5] * 28] * 28]}, "image 0: must be whole numbers from 0 to 255, got 0.5."),
        ({"images": [[[math.nan] * 28] * 28]}, "image 0: must be whole numbers from 0 to 255, got nan."),
        ({"images": ["a picture"]}, "image 0: must be a list of lists of numbers, all equally long, got str."),
    ],
    ids=["both", "a row less", "a column less", "flat", "brighter", "darker", "scaled", "NaN", "words"],
)  # fmt: skip
def test_images_that_are_none_are_refused_in_one_line(untrained, tmp_path, request_, said):
    served = loaded(untrained(tmp_path, horizon=784.0, classes=tuple("0123456789"), **{"data.name": "mnist_sample"}))
    assert said in refusal(served, request_)


REFUSED = {
    "images of a model of other data": ({"images": [[[0]]]}, "with the column times and no other, got images."),
    "no rows": ({"times": []}, "request: must have a row for each sequence, got none."),
    "no columns": ({}, "request: must be a table with the column times and no other, got none."),
    "another column": ({"times": [[1.0]], "label": [1]}, "and no other, got times, label."),
    "features of a model without": ({"times": [[1.0]], "features": [[[1.0]]]}, "and no other, got times, features."),
    "a misspelt column": ({"time": [[1.0]]}, "request: must be a table with the column times and no other, got time."),
    "columns of two lengths": ({"times": [[1.0], [2.0]], "label": [1]}, "got another thing (All arrays must be of"),
    "a table of nothing": (None, "request: must be a table with the column times and no other, got none."),
    "a word for a request": ("times", "request: must be a table with the column times, got another thing"),
    "a number for a list": ({"times": [3.0]}, "times of sequence 0: must be a list of numbers, got float."),
    "a word for a list": ({"times": [[1], "1 2 3"]}, "times of sequence 1: must be a list of numbers, got str."),
    "nothing for a list": ({"times": [None]}, "times of sequence 0: must be a list of numbers, got NoneType."),
    "words": ({"times": [[1, "two"]]}, "times of sequence 0: must be a list of numbers, got 'two' in it."),
    "nothing among numbers": ({"times": [[1, None]]}, "times of sequence 0: must be a list of numbers, got None in it."),
    "truths": ({"times": [[True, False]]}, "times of sequence 0: must be a list of numbers, got True in it."),
    "lists in lists": ({"times": [[[1, 2]]]}, "times of sequence 0: must be a list of numbers, got [1, 2] in it."),
    "lists and numbers": ({"times": [[1, [2]]]}, "times of sequence 0: must be a list of numbers, got lists of several"),
    "NaN": ({"times": [[1, math.nan]]}, "must be finite, at least 0 and below 20, the horizon of the training data, got nan."),
    "infinite": ({"times": [[1, math.inf]]}, "times of sequence 0: must be finite, at least 0 and below 20"),
    "negative": ({"times": [[1], [-0.5]]}, "times of sequence 1: must be finite, at least 0 and below 20"),
    "the horizon": ({"times": [[1, 20]]}, "and below 20, the horizon of the training data, got 20."),
    "past the horizon": ({"times": [[1e300]]}, "and below 20, the horizon of the training data, got 1e+300."),
    "the horizon in float32": ({"times": [[19.9999999]]}, "the horizon of the training data, got 19.9999999."),
    "out of order": ({"times": [[1, 5, 3]]}, "times of sequence 0: must ascend, got 5 before 3. Sort the events by time."),
}  # fmt: skip
REFUSED_FEATURES = {
    "none": (None, "request: must be a table with the columns times and features and no other, got times."),
    "too few events": ([[1, 2]], "features of sequence 0: must be 2 lists of 2, one for each event, got 1 of 2."),
    "another width": ([[1], [2]], "features of sequence 0: must be 2 lists of 2, one for each event, got 2 of 1."),
    "no events": ([], "features of sequence 0: must be 2 lists of 2, one for each event, got 0 of 0."),
    "several widths": ([[1, 2], [3]], "must be a list of lists of numbers, all equally long, got lists of several"),
    "a flat list": ([1, 2], "must be a list of lists of numbers, all equally long, got 1 in it."),
    "words": ([["a", "b"], ["c", "d"]], "must be a list of lists of numbers, all equally long, got ['a', 'b'] in it."),
    "NaN": ([[1, 2], [3, math.nan]], "features of sequence 0: must be finite, and within 3.4028235e+38"),
    "too large": ([[1, 2], [3, 1e300]], "must be finite, and within 3.4028235e+38 when standardised, got 1e+300."),
}  # fmt: skip


def refusal(served, request):
    with pytest.raises(MlflowException) as caught:
        served.predict(None, request)
    error = caught.value
    assert error.get_http_status_code() == 400
    error.message = f"Failed to predict data '{request}'. \nError: {error.message}"  # as the server does
    said = json.loads(error.serialize_as_json())["message"]
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_cannot_be_answered_is_an_error_of_the_client_in_one_line(plain, name):
    request, said = REFUSED[name]
    assert said in refusal(plain, request)
    if name not in ("columns of two lengths", "a word for a request"):
        assert said in refusal(plain, pd.DataFrame(request))


@pytest.mark.parametrize("name", REFUSED_FEATURES)
def test_features_that_do_not_fit_are_an_error_of_the_client_in_one_line(featured, name):
    table, said = REFUSED_FEATURES[name]
    request = {"times": [[1, 2]]} | ({} if table is None else {"features": [table]})
    assert said in refusal(featured, request)


@pytest.mark.parametrize("embedding", ["kan_mammote", "kmote_spline", "sincos", "position", "position_gap", "log_gap"])
def test_no_encoding_answers_beyond_the_horizon(untrained, tmp_path, embedding):
    served = loaded(untrained(tmp_path, embedding=embedding))
    assert probabilities(served, [[0, 19]]).shape == (1, 3)
    assert "below 20, the horizon of the training data, got 20." in refusal(served, {"times": [[19, 20]]})


def test_a_table_refuses_times_between_its_rows_in_one_line(untrained, tmp_path):
    served = loaded(untrained(tmp_path, embedding="position"))
    assert "event times must be whole numbers in [0, 20) for a position table, got 2.5." in refusal(
        served, {"times": [[1, 2.5]]}
    )


@pytest.mark.parametrize("backbone", ["lstm", "gru", "transformer"])
def test_the_answers_after_each_event_are_those_of_the_events_up_to_there(untrained, tmp_path, backbone):
    settings = {"model.name": backbone, "model.hidden_dim": 8}
    served = loaded(untrained(tmp_path, features=1, embedding="kan_mammote", **settings))
    times, table = [0, 2.5, 2.5, 7, 19], [[90.0], [101], [99], [130], [70]]
    request = pd.DataFrame({"times": [times, [], [4]], "features": [table, [], [[80]]]})
    answers = served.predict(None, request, {"anytime": True})
    plainly = served.predict(None, request, {"anytime": False})
    assert answers[list(plainly)].equals(plainly)
    assert set(answers) - set(plainly) == {"anytime_class", "anytime_probabilities"}
    assert [len(rows) for rows in answers["anytime_probabilities"]] == [5, 0, 1]
    beginnings = range(1, 6)
    alone = probabilities(served, [times[:k] for k in beginnings], features=[table[:k] for k in beginnings])
    assert np.array(answers["anytime_probabilities"][0]) == pytest.approx(alone, abs=1e-6)
    assert answers["anytime_class"][0] == [CLASSES[number] for number in alone.argmax(1)]
    assert np.abs(np.diff(alone, axis=0)).max() > 1e-4


def post(address, request):
    """Return the status and the body of an answer."""
    asked = urllib.request.Request(  # noqa: S310 - the test's own server
        address, json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 - as above
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
def test_a_served_model_answers_the_test_set_as_the_study_reported(mlflow_store, mlflow_tracker, capsys):
    small = {"data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 16, "train.epochs": 2}
    cell = Cell("small", build_run({**small, "model.embedding.name": "kan_mammote", "model.embedding.dim": 4}))
    run_id = run_cell(cell, mlflow_tracker, device="cpu", report=lambda *_: None).run_id
    test = cell.config.data.model_copy(update={"max_events": None}).load().test
    times = [test.times[a:b].tolist() for a, b in pairwise(test.offsets.tolist())]
    assert max(map(len, times)) > 12
    assert isinstance(times[0][0], int)
    with served(f"runs:/{run_id}/small", mlflow_store) as port:
        address = f"http://127.0.0.1:{port}/invocations"
        status, body = post(address, {"dataframe_split": {"columns": ["times"], "data": [[row] for row in times]}})
        assert status == 200
        answers = body["predictions"]
        right = [told["predicted"] == label for told, label in zip(answers, test.labels.tolist(), strict=True)]
        assert sum(right) / len(right) == pytest.approx(mlflow_tracker.get(run_id).metrics["test_accuracy"], abs=1e-12)

        _, (images, _) = cell.config.data.images(mlflow_store.parent)
        status, body = post(address, {"dataframe_records": [{"images": image} for image in images[:20].tolist()]})
        assert status == 200
        of_images, of_times = ([told["probabilities"] for told in rows] for rows in (body["predictions"], answers[:20]))
        assert np.array(of_images) == pytest.approx(np.array(of_times), abs=1e-6)

        asked = {"dataframe_records": [{"times": times[0]}], "params": {"anytime": True}}
        status, body = post(address, asked)
        assert status == 200
        [told] = body["predictions"]
        assert told["anytime_class"][-1] == told["class"]
        assert len(told["anytime_probabilities"]) == min(len(times[0]), 12)

        for rows, said in {
            "[]": "request: must be a table with the column times, or the column images, and no other, got none.",
            '[{"times": [1, 784]}]': "times of sequence 0: must be finite, at least 0 and below 784",
            '[{"times": [5, 3]}]': "times of sequence 0: must ascend, got 5 before 3.",
            '[{"times": [1, NaN]}]': "the horizon of the training data, got nan.",
            '[{"times": [1], "label": "x"}]': "and no other, got times, label.",
            '[{"times": ["one"]}]': "times of sequence 0: must be a list of numbers, got 'one' in it.",
        }.items():
            status, body = post(address, {"dataframe_records": json.loads(rows)})
            assert status == 400, body
            assert said in body["message"]
            assert "\n" not in body["message"]

    # The same events as a file, by the model's name in the registry.
    mlflow_tracker._client.create_registered_model("digits")
    [of_run] = mlflow_tracker._client.get_run(run_id).outputs.model_outputs
    version = mlflow_tracker._client.create_model_version("digits", f"models:/{of_run.model_id}", run_id).version
    mlflow_tracker._client.set_registered_model_alias("digits", "champion", version)
    events = [(place, moment) for place, row in enumerate(times) for moment in row]
    pd.DataFrame(events, columns=["id", "time"]).to_csv("events.csv", index=False)
    told = {}
    for model in ("models:/digits@champion", f"runs:/{run_id}/small"):
        assert main(["predict", "--model", model, "--input", "events.csv", "--output", "scored.parquet"]) == 0
        told[model] = pd.read_parquet("scored.parquet")
    first, second = told.values()
    assert first.equals(second)
    filled = [place for place, row in enumerate(times) if row]
    assert first["id"].tolist() == filled
    assert first["class"].tolist() == [answers[place]["class"] for place in filled]
    expected = np.array([answers[place]["probabilities"] for place in filled])
    assert first.iloc[:, 2:].to_numpy() == pytest.approx(expected, abs=1e-6)
    capsys.readouterr()
    assert main(["predict", "--model", "models:/digits@best", "--input", "events.csv", "--output", "x.parquet"]) == 2
    assert "--model: must be a model of this project" in capsys.readouterr().err
