"""The record of the published protocols, from a store that holds other runs, too."""

import pytest
from mlflow.tracking import MlflowClient

from scripts.published import histories


def test_runs_of_train_and_of_ablations_are_no_part_of_the_record(mlflow_store):
    store = f"sqlite:///{mlflow_store}"
    client = MlflowClient(store)
    experiment = client.create_experiment("any", artifact_location=str(mlflow_store.parent))

    def add(parent=None, accuracies=(), **tags):
        nested = {"mlflow.parentRunId": parent} if parent else {}
        run = client.create_run(experiment, tags=tags | nested).info.run_id
        for epoch, accuracy in enumerate(accuracies, start=1):
            client.log_metric(run, "test/accuracy", accuracy, step=epoch)
        return run

    add(accuracies=[0.1], model="lete")  # by `train`
    trial = add(add(study_name="ablation"), kind="trial")
    add(trial, [0.2], model="lete")
    add(add(study_name="another"), [0.3], model="lete")
    add(add(study_name="lete_paper"), [0.4, 0.5], model="lete")
    found = histories(store)
    assert list(found) == ["lete_paper lete"]
    assert found["lete_paper lete"].to_dict() == {1: pytest.approx(40), 2: pytest.approx(50)}
