"""Checks of what is stored or was sent, each of which is said."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from analysis.results import ResultsError
from analysis.wording import plural
from models.config import ModelError
from pipeline.console import say
from pipeline.errors import UNREACHED, UsageError

WRONG = (UsageError, ResultsError, ModelError, FloatingPointError)
"""What a check that does not hold raises, with one line."""

T = TypeVar("T")


@dataclass
class Checks:
    """Checks of one study."""

    done: int = 0
    failed: list[str] = field(default_factory=list)

    def hold(self, what: str, check: Callable[[], tuple[str, T]]) -> T | None:
        """Make one check, which raises an error of `WRONG` or returns what it found; say how it went."""
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
        """Say whether all of them hold."""
        if self.failed:
            say(f"{title} does not verify: {len(self.failed)} of {plural(self.done, 'check')} fail")
        else:
            say(f"{title} verifies: {plural(self.done, 'check')} hold")
        return not self.failed
