"""A stored file with one flipped bit is named with exit code 2, or repaired with a message; it is never accepted silently."""

import contextlib
import io
import shutil

import pytest
from harness import FULL, Place

from pipeline import analyze
from pipeline.__main__ import main
from pipeline.evidence import ADVICE_FILE, MANIFEST_FILE, PLAN_FILE
from pipeline.tracking import connect

PLACES = range(10) if FULL else (0, 6)
OF_STUDY = (MANIFEST_FILE, PLAN_FILE, ADVICE_FILE)
OF_RUN = (
    "checkpoints/best.pt", "predictions.parquet", "history.json", "config.json", "environment.json", "train.log",
    "classes.json", "probes/time_use-*.parquet",
)  # fmt: skip
UNREAD = ("checkpoints/best.pt", "classes.json")
"""Files that an analysis of this study does not read; only `verify` reads them."""
NAMES = (*OF_STUDY, *OF_RUN) if FULL else (MANIFEST_FILE, "predictions.parquet")
OUTPUTS = (
    "summary.json",
    "results_summary.csv",
    "significance.csv",
    "detailed_analysis.json",
    "training_histories.json",
)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory, empty_store):
    """A `Place` with a study that was trained and analysed."""
    here = Place(tmp_path_factory.mktemp("analysed"))
    here.study()
    shutil.copy(empty_store, here.folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched, contextlib.chdir(here.folder):
        patched.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(["main", "--config", "tiny.json", "--workers", "1"])
        assert code == 0, said.getvalue()
    return here


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place * (len(content) - 1) // 9] ^= 1
    path.write_bytes(content)


def outputs(here):
    return {name: (here.folder / "results/tiny" / name).read_bytes() for name in OUTPUTS}


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_named_wherever_it_has_changed(analysed, monkeypatch, capsys, tally, name):
    monkeypatch.chdir(analysed.folder)
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    tracker = connect()
    [parent], cell = tracker.find(kind="study"), tracker.find(model="sincos")[0]
    run = parent if name in OF_STUDY else cell
    [path] = tracker.fetch(run.id, PLAN_FILE if run is parent else "config.json").parent.glob(name)
    whole, before = path.read_bytes(), outputs(analysed)
    verify = name in UNREAD
    for place in PLACES:
        flip(path, place)
        with tally.fault():
            code = main(["verify", "--no-retrain"] if verify else ["analyze"])
            said = capsys.readouterr()
            path.write_bytes(whole)
            changed = code == 0 and outputs(analysed) != before
            tally.add(changed=changed)
            assert not changed
            assert code == 2 - verify, (place, said)
            assert path.name in (said.out if verify else said.err)
            assert verify or said.err.count("\n") == 1
    assert main(["analyze"]) == 0
    assert outputs(analysed) == before
