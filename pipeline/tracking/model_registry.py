"""The registry of models: versions under a name, and the aliases by which they are loaded; with a twin in memory for tests."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Version:
    """A model of a run, registered under a name."""

    name: str
    number: int
    run_id: str
    """The run that holds the model; empty if it was registered without a run."""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class ModelRegistry(ABC):
    """The registry of models of a store.

    A process that writes to it must own the run that stands for the registered name (`Tracker.own`), so that only one writes.
    """

    @abstractmethod
    def versions(self, name: str) -> list[Version]:
        """Return the versions that are registered under a name, the oldest first."""

    @abstractmethod
    def of_runs(self, run_ids: Collection[str]) -> list[Version]:
        """Return the versions of these runs, under any name, without their aliases."""

    @abstractmethod
    def add(self, name: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """Register the model of a run as a new version; FileNotFoundError if the run has no model."""

    @abstractmethod
    def describe(self, version: Version, text: str) -> None:
        """Set the description of a version, in Markdown, of at most `MOST_LETTERS` characters."""

    @abstractmethod
    def point(self, alias: str, version: Version) -> None:
        """Point an alias of the name to this version only."""

    def page(self, version: Version) -> str:
        """Return the address of the version's page, relative to the store's site; empty if the store has no pages."""
        del version
        return ""

    def of_alias(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias points to; None if the alias is not set."""
        return next((version for version in self.versions(name) if alias in version.aliases), None)


MOST_LETTERS = 5000
"""Length of a description, in characters, that every database behind MLflow takes."""


class MemoryRegistry(ModelRegistry):
    """Versions in memory."""

    def __init__(self, has_model: Callable[[str], bool]) -> None:
        """Start empty; `has_model` tells for a run id whether the run has a model."""
        self._has_model = has_model
        self._versions: dict[str, list[Version]] = {}
        self.descriptions: dict[tuple[str, int], str] = {}

    def versions(self, name: str) -> list[Version]:
        """Return a copy of the list of versions."""
        return list(self._versions.get(name, ()))

    def of_runs(self, run_ids: Collection[str]) -> list[Version]:
        """Search under all names."""
        return [version for known in self._versions.values() for version in known if version.run_id in run_ids]

    def add(self, name: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """Append a version."""
        if not self._has_model(run_id):
            raise FileNotFoundError(f"run {run_id} has no model")
        known = self._versions.setdefault(name, [])
        known.append(Version(name, len(known) + 1, run_id, dict(tags)))
        return known[-1]

    def describe(self, version: Version, text: str) -> None:
        """Keep the text."""
        self.descriptions[version.name, version.number] = text

    def point(self, alias: str, version: Version) -> None:
        """Take the alias from the version that has it."""
        moved = []
        for each in self._versions[version.name]:
            others = {*each.aliases} - {alias}
            moved.append(
                replace(each, aliases=tuple(sorted(others | {alias} if each.number == version.number else others)))
            )
        self._versions[version.name] = moved
