"""Checks of a stored study or an archive, each reported in a line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from analysis.results import ResultsError
from analysis.wording import plural
from models.config import ModelError
from pipeline.console import say
from pipeline.errors import UNREACHED, UsageError

WRONG = (UsageError, ResultsError, ModelError, FloatingPointError)
"""Errors that a failing check raises."""

T = TypeVar("T")


@dataclass
class Checks:
    """Checks of one study."""

    done: int = 0
    failed: list[str] = field(default_factory=list)

    def hold(self, what: str, check: Callable[[], tuple[str, T]]) -> T | None:
        """Make one check and print its outcome; return the value that it found, or None if it failed.

        `check` returns a description and a value, or raises an error of `WRONG`.
        """
        self.done += 1
        try:
            detail, value = check()
        except UNREACHED:
            raise
        except WRONG as error:
            self.failed.append(what)
            say(f"FAILS  {what}: {error}")
            return None
        say(f"holds  {what}: {detail}")
        return value

    def conclude(self, title: str) -> bool:
        """Print a summary, and return whether all checks hold."""
        if self.failed:
            say(f"{title} does not verify: {len(self.failed)} of {plural(self.done, 'check')} fail")
        else:
            say(f"{title} verifies: {plural(self.done, 'check')} hold")
        return not self.failed
