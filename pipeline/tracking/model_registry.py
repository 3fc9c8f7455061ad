"""The registry of models: versions under a name, and the aliases by which they are loaded; and its twin in memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Version:
    """A model of a run, registered under a name."""

    name: str
    number: int
    run_id: str
    """The run that holds it; empty where it was registered without one."""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class ModelRegistry(ABC):
    """Where models are registered. Who writes to it keeps others from that by a run that stands for the name (`Tracker.own`)."""

    @abstractmethod
    def versions(self, name: str) -> list[Version]:
        """Return the versions that are registered under a name, the oldest first."""

    @abstractmethod
    def of_runs(self, run_ids: Collection[str]) -> list[Version]:
        """Return the versions of these runs, under whatever name, without their aliases."""

    @abstractmethod
    def add(self, name: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """Register the model of a run as a new version; FileNotFoundError where the run holds none."""

    @abstractmethod
    def describe(self, version: Version, text: str) -> None:
        """Give a version its description in Markdown, of at most MOST_LETTERS."""

    @abstractmethod
    def point(self, alias: str, version: Version) -> None:
        """Let an alias of the name point to a version, and to no other."""

    def page(self, version: Version) -> str:
        """Return the address of the version's page below the store's site; nothing where there are no pages."""
        del version
        return ""

    def of_alias(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias points to, where it points to one."""
        return next((version for version in self.versions(name) if alias in version.aliases), None)


MOST_LETTERS = 5000
"""Letters of a description that every database behind MLflow takes."""


class MemoryRegistry(ModelRegistry):
    """Versions in memory."""

    def __init__(self, has_model: Callable[[str], bool]) -> None:
        """Start empty; `has_model` says of a run whether it holds a model."""
        self._has_model = has_model
        self._versions: dict[str, list[Version]] = {}
        self.descriptions: dict[tuple[str, int], str] = {}

    def versions(self, name: str) -> list[Version]:
        """Return copies."""
        return list(self._versions.get(name, ()))

    def of_runs(self, run_ids: Collection[str]) -> list[Version]:
        """Look through all names."""
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
