"""Removal of what deleted runs leave behind: entries of models, and files of an MLflow store on this machine.

MLflow only marks a run as deleted and keeps its files; `mlflow gc` removes the files of a server.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.entities import ViewType

from pipeline.tracking.mlflow_tracker import PAGE, MlflowTracker


def local_folder(place: str, run_id: str) -> Path | None:
    """Return the folder that holds all files of a run whose artifacts lie at `place`; None if it is not on this machine."""
    parts = urlsplit(place)
    folder = Path(unquote(parts.path))
    if parts.scheme not in ("", "file") or not folder.is_dir():
        return None
    return folder.parent if folder.parent.name == run_id else folder


def models_of(tracker: MlflowTracker, run_ids: list[str]) -> dict[str, Path | None]:
    """Return the models that were stored with these runs: model id to folder, None if the folder is not on this machine."""
    client, found = tracker._client, {}  # noqa: SLF001 - a part of the tracker
    for run_id in run_ids:
        for model in client.search_logged_models([tracker._experiment], f"source_run_id = '{run_id}'"):  # noqa: SLF001
            found[str(model.model_id)] = local_folder(str(model.artifact_location), str(model.model_id))
    return found


def delete_model(tracker: MlflowTracker, model_id: str) -> None:
    """Delete the entry of a model."""
    tracker._client.delete_logged_model(model_id)  # noqa: SLF001


def deleted_runs(tracker: MlflowTracker) -> dict[str, Path]:
    """Return the deleted runs that still have files on this machine: run id to folder."""
    client, found, token = tracker._client, {}, None  # noqa: SLF001
    while True:
        page = client.search_runs([tracker._experiment], "", ViewType.DELETED_ONLY, PAGE, page_token=token)  # noqa: SLF001
        for run in page:
            if folder := local_folder(run.info.artifact_uri, run.info.run_id):
                found[str(run.info.run_id)] = folder
        token = page.token
        if not token:
            return found


def statuses_of(tracker: MlflowTracker, cell: str) -> set[str]:
    """Return the statuses of the runs of a cell in every experiment of the store, DELETED for a run that was deleted."""
    client, found, token = tracker._client, set[str](), None  # noqa: SLF001
    experiments = [experiment.experiment_id for experiment in client.search_experiments(ViewType.ALL)]
    while True:
        page = client.search_runs(experiments, f"tags.cell = '{cell}'", ViewType.ALL, PAGE, page_token=token)
        found |= {run.info.status if run.info.lifecycle_stage == "active" else "DELETED" for run in page}
        token = page.token
        if not token:
            return found
