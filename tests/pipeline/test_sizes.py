"""How large a study is on disk: of each part so little that `config/quick.json` stays below 12 MB of results and 25 MB of store."""

import pytest

from pipeline.analyze import analyze_study
from pipeline.comparison import compare
from pipeline.stored_study import find_study
from pipeline.study import load_study

MB = 1e6
MODELS, SEEDS = ("none", "sincos"), (0, 1)
QUICK = {"models": 5, "runs": 15, "weights": 0.45}
"""`config/quick.json`, and megabytes of the weights of its largest model, KAN-MAMMOTE."""


def megabytes(*folders, without=()):
    """Return the size of all files, each counted once however many names it has."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and file.suffix not in without]
    return sum({file.stat().st_ino: file.stat().st_size for file in files}.values()) / MB


@pytest.mark.slow
@pytest.mark.usefixtures("browser")
def test_the_quick_study_stays_small(mlflow_tracker, mlflow_store, tiny):
    empty = mlflow_store.stat().st_size / MB
    compare(
        load_study(None, models=MODELS, seeds=SEEDS, overrides=tiny),
        mlflow_tracker,
        workers=1,
        device="cpu",
        probed=True,
    )
    study, results = find_study(mlflow_tracker), mlflow_store.parent / "results"
    analyze_study(study, mlflow_tracker, output=results, allow_missing=False)
    runs = mlflow_tracker.find(**{"mlflow.parentRunId": study.parent.id})
    assert len(runs) == len(MODELS) * len(SEEDS)
    weights = (".pt", ".pth")
    of_study = megabytes(_folder(mlflow_tracker, study.parent.id))
    everything = megabytes(mlflow_store.parent / "mlruns", without=weights)
    a_run = (everything - of_study) / len(runs)
    database = (mlflow_store.stat().st_size / MB - empty) / len(runs)
    of_results = megabytes(results, without=weights)
    told = f"MB: run {a_run:.3f}, study {of_study:.2f}, database {empty:.2f} + {database:.3f} a run, results {of_results:.2f}"
    more = 1.3  # what five models draw beside two
    assert QUICK["runs"] * (a_run + database + QUICK["weights"]) + more * of_study + empty < 25, told
    assert QUICK["models"] * QUICK["weights"] + more * of_results < 12, told
    assert a_run < 0.35, told


def _folder(tracker, run_id):
    from pipeline.tracking.removal import local_folder  # noqa: PLC0415 - it imports MLflow

    return local_folder(tracker.artifacts(run_id), run_id)
