"""The registry of models of an MLflow store."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from mlflow.exceptions import MlflowException

from pipeline.tracking.mlflow_tracker import IDS, MODE, MlflowTracker, _mapped
from pipeline.tracking.model_registry import ModelRegistry, Version

NO_SUCH = "RESOURCE_DOES_NOT_EXIST"


class MlflowRegistry(ModelRegistry):
    """Registered models beside the runs of a tracker."""

    def __init__(self, tracker: MlflowTracker) -> None:
        """Use the store of a tracker, and its link if the store is a server."""
        self.uri, self.link = tracker.uri, tracker.link
        self._client, self._experiment = tracker._client, tracker._experiment  # noqa: SLF001 - a part of the tracker

    @_mapped
    def versions(self, name: str) -> list[Version]:
        """Search for the versions, and look up the aliases, which a search leaves out."""
        try:
            aliases = self._client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != NO_SUCH:
                raise
            return []
        return sorted(self._search(f"name = '{name}'", aliases), key=lambda version: version.number)

    @_mapped
    def of_runs(self, run_ids: Collection[str]) -> list[Version]:
        """Search for the runs, `IDS` at a time."""
        wanted = [f"'{run_id}'" for run_id in run_ids]
        found: list[Version] = []
        for start in range(0, len(wanted), IDS):
            found += self._search(f"run_id IN ({', '.join(wanted[start : start + IDS])})", {})
        return found

    def _search(self, wanted: str, aliases: Mapping[str, str]) -> list[Version]:
        found: list[Version] = []
        token = None
        while True:
            page = self._client.search_model_versions(wanted, page_token=token)
            found += (_version(each, aliases) for each in page)
            token = page.token
            if not token:
                return found

    @_mapped
    def add(self, name: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """Register the newest model that was stored with the run."""
        models = self._client.search_logged_models([self._experiment], f"source_run_id = '{run_id}'")
        if not models:
            raise FileNotFoundError(f"run {run_id} has no model")
        model = max(models, key=lambda each: each.creation_timestamp)
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != NO_SUCH:
                raise
            self._client.create_registered_model(name)
        # The model is given by its place: MLflow would look for `models:/ID` in its active store, which is another one here.
        version = self._client.create_model_version(
            name, model.artifact_location, run_id, dict(tags), model_id=model.model_id
        )
        return _version(version, {})

    @_mapped
    def describe(self, version: Version, text: str) -> None:
        """Update the version."""
        self._client.update_model_version(version.name, str(version.number), text)

    @_mapped
    def point(self, alias: str, version: Version) -> None:
        """Set the alias; MLflow removes it from the version that had it."""
        self._client.set_registered_model_alias(version.name, alias, str(version.number))

    def page(self, version: Version) -> str:
        """Return the version's page in the MLflow UI."""
        return f"#/models/{quote(version.name)}/versions/{version.number}?{MODE}"


def _version(version: Any, aliases: Mapping[str, str]) -> Version:  # noqa: ANN401 - mlflow is untyped here
    number = int(version.version)
    own = tuple(sorted(alias for alias, of in aliases.items() if int(of) == number))
    return Version(version.name, number, version.run_id or "", dict(version.tags), own)
