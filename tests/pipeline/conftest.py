"""Stores of runs for the tests of the pipeline, and work for its other processes."""

import importlib
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.tracking import MemoryTracker


class Trap:
    """What makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def trap(tmp_path_factory):
    """An object whose code, if it ever runs, is noticed when the test ends."""
    path = tmp_path_factory.mktemp("trap") / "ran"
    yield Trap(path)
    assert not path.exists()


@pytest.fixture
def launched(monkeypatch):
    """The module of the work of other processes, which find it by the path they are given."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # a fork server imports from there alone
    return importlib.import_module("launched")


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the project's code, which is what the digests of code read: a function that edits a file of it."""
    from pipeline import code, identity  # noqa: PLC0415
    from pipeline.probes import tables  # noqa: PLC0415

    for package in code.PACKAGES:
        shutil.copytree(code.ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def forget():
        for function in (value for module in (code, identity, tables) for value in vars(module).values()):
            if hasattr(function, "cache_clear"):
                function.cache_clear()

    monkeypatch.setattr(code, "ROOT", tmp_path)
    forget()

    def edit(path, before, after):
        text = (tmp_path / path).read_text()
        assert re.search(before, text), (path, before)
        (tmp_path / path).write_text(re.sub(before, after, text, count=1))
        forget()

    yield edit
    forget()


@pytest.fixture(scope="session")
def untrained():
    """What stores a model with its initial values: a function to the files of its description and its weights."""
    from pipeline import checkpoint  # noqa: PLC0415
    from pipeline.settings import build_run  # noqa: PLC0415

    def store(folder, *, features=0, embedding="lete", horizon=20.0, classes=("rise", "fall", "rest"), **settings):
        tiny = {"model.embedding.name": embedding, "model.embedding.dim": 4, "model.hidden_dim": 6}
        config = build_run({**tiny, **settings})
        torch.manual_seed(0)
        model = config.model.build(horizon=horizon, feature_dim=features, classes=len(classes))
        checkpoint.save(folder / "best.pt", {"model": model.state_dict()})
        standardization = {"means": [100.0] * features, "deviations": [10.0] * features} if features else None
        shape = {"horizon": horizon, "feature_dim": features, "classes": len(classes), "class_names": list(classes)}
        shape |= {"time_unit": "step", "standardization": standardization}
        described = {"config": config.model_dump(mode="json"), "shape": shape}
        (folder / "description.json").write_text(json.dumps(described))
        return folder / "description.json", folder / "best.pt"

    return store


@pytest.fixture
def memory(workplace):
    return MemoryTracker(workplace / "artifacts")


@pytest.fixture
def mlflow_tracker(mlflow_store):
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415

    return MlflowTracker(f"sqlite:///{mlflow_store}")


@pytest.fixture(scope="session")
def tiny():
    """Settings of runs that train in a tenth of a second, for two epochs."""
    return {
        "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 16, "data.test_size": 32,
        "model.embedding.dim": 4, "model.hidden_dim": 4, "train.epochs": 2,
    }  # fmt: skip


@pytest.fixture(scope="session")
def analysed(tiny, tmp_path_factory):
    """A store with a study of two models and two seeds, trained and analysed; its figures are not drawn."""
    from pipeline import analyze  # noqa: PLC0415
    from pipeline.comparison import compare  # noqa: PLC0415
    from pipeline.stored_study import find_study  # noqa: PLC0415
    from pipeline.study import load_study  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("analysed")
    tracker = MemoryTracker(folder / "store")
    compare(load_study(None, models=["none", "sincos"], seeds=[0, 1], overrides=tiny), tracker, workers=1, device="cpu")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
        analyze.analyze_study(find_study(tracker), tracker, output=folder / "out", allow_missing=False)
    return tracker


@pytest.fixture(scope="session")
def copied():
    """A function that copies a store of runs in memory to a folder."""

    def copied(tracker, folder):
        copy = MemoryTracker(shutil.copytree(tracker._folder, folder))
        copy._ids = itertools.count(len(tracker._runs))
        copy._runs = {run_id: replace(run, tags=dict(run.tags)) for run_id, run in tracker._runs.items()}
        copy.params = dict(tracker.params)
        copy.history = {run_id: list(rows) for run_id, rows in tracker.history.items()}
        copy.rows = {run_id: list(rows) for run_id, rows in tracker.rows.items()}
        return copy

    return copied


@pytest.fixture
def store(analysed, copied, workplace, monkeypatch):
    """A copy of that store, which the verbs open."""
    copy = copied(analysed, workplace / "store")
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (copy, None))
    return copy
