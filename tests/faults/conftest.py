"""Fixtures of the fault tests."""

import shutil
from pathlib import Path

import pytest
from harness import COMPARE, FULL, Place, Tally


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items):
    """Let `-m exhaustive` select the tests of this folder too, because with FAULTS=all they inject more faults."""
    for item in items:
        if FULL and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.exhaustive)
    if FULL:  # the longest test first, so that the others run in parallel to it
        items.sort(key=lambda item: item.path.stem != "test_soak")


@pytest.fixture
def tally(record_property):
    return Tally(record_property)


@pytest.fixture
def tmp_path(tmp_path_factory):
    """A folder with a short path, because the path of a socket in a temporary folder can have at most 107 bytes."""
    return tmp_path_factory.mktemp("at")


@pytest.fixture
def place(workplace):
    here = Place(workplace)
    here.study()
    yield here
    here.close()


@pytest.fixture(scope="session")
def undisturbed(empty_store, tmp_path_factory):
    """A function that trains a study without faults, once per set of arguments, and returns its store."""
    done = {}

    def train(command=COMPARE, **study):
        key = (command, *sorted(study.items()))
        if key not in done:
            here = Place(tmp_path_factory.mktemp("undisturbed"), {"BROWSER_PATH": "/no/browser"})
            here.study(**study)
            shutil.copy(empty_store, here.folder / "mlflow.db")
            here.run(*command).check()
            done[key] = here.folder / "mlflow.db"
        return done[key]

    return train
