"""Stores of runs for the tests of the pipeline, and work for its other processes."""

import importlib
import re
import shutil
from pathlib import Path

import pytest

from pipeline.tracking import MemoryTracker


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


@pytest.fixture
def memory(workplace):
    return MemoryTracker(workplace / "artifacts")


@pytest.fixture
def mlflow_tracker(mlflow_store):
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415

    return MlflowTracker(f"sqlite:///{mlflow_store}")
