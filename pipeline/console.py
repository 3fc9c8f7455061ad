"""Output in the terminal: lines, tables, and progress with the time left."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from pipeline.errors import printable

QUIET_SECONDS = 15.0
"""Least seconds between two lines of progress if the output is not a terminal."""

console = Console(highlight=False, width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 160)


def say(text: str = "") -> None:
    """Print one line; line breaks and other unprintable characters in it are escaped."""
    console.print(printable(text), markup=False, soft_wrap=True)


def phase(text: str) -> None:
    """Announce a phase of work that may take a while without output."""
    say(f"{text} ...")


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: columns of numbers align right, columns of words left."""
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", title_style="bold")
    for number, (column, *cells) in enumerate(zip(columns, *rows, strict=True)):
        numbers = sum(cell[:1].isdigit() or cell[:1] in {"-", "+"} for cell in cells)
        # Names stay on one line and other words are folded, never truncated, so that they can be copied.
        justify: Literal["right", "left"] = "right" if 2 * numbers > len(cells) else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console.print(table)


def duration(seconds: float) -> str:
    """Return seconds as words: 40 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if minutes < 2:  # noqa: PLR2004 - under two minutes, seconds say more
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"  # noqa: PLR2004


class Meter:
    """Progress over the epochs of several runs with different costs."""

    def __init__(
        self,
        epochs: Mapping[str, int],
        seconds: Mapping[str, float],
        workers: int,
        *,
        unit: str = "epochs",
        what: str = "training",
        beside: float = 0.0,
    ) -> None:
        """Take, by run, the number of epochs left and the seconds of one epoch, and the number of runs at a time.

        `unit` is the displayed name of epochs, `what` that of the work. `beside` are the seconds of a run outside of its epochs.
        """
        self._left = dict(epochs)
        self._seconds = dict(seconds)
        self._total = self._rest = sum(epochs.values())
        # A running sum: adding up thousands of runs after each epoch would be slow.
        self._cost = sum(count * seconds[run] + beside for run, count in epochs.items())
        self._beside = dict.fromkeys(epochs, beside)
        self._workers = workers
        self._unit = unit
        self._last_line = time.monotonic()
        count = TextColumn(f"{unit}, {{task.fields[left]}} left")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), count)
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._shown: Any = None
        """Display handle of the bar in a notebook: rich's own display there needs ipywidgets."""
        self._task = self._bar.add_task(what, total=self._total, left=duration(self.seconds_left))

    @property
    def seconds_left(self) -> float:
        """Estimated seconds until all runs have ended."""
        return max(0.0, self._cost) / self._workers

    def advance(self, run: str, seconds: float, text: str) -> None:
        """Count one epoch of a run, which took `seconds`; `text` describes its result."""
        self._set(run, max(self._left.get(run, 0) - 1, 0), seconds)
        done, left = self._total - self._rest, duration(self.seconds_left)
        self._bar.update(self._task, completed=done, left=left)
        if self._shown:
            self._shown.update(self._bar)
        elif not console.is_terminal and time.monotonic() - self._last_line > QUIET_SECONDS:
            self._last_line = time.monotonic()
            say(f"{done}/{self._total} {self._unit}, {left} left; {text}")

    def end(self, run: str) -> None:
        """Remove the rest of a run that stopped early, failed, or was finished by another process."""
        if run in self._left:
            self._set(run, 0, self._seconds[run])
            self._cost -= self._beside.pop(run, 0.0)

    def _set(self, run: str, left: int, seconds: float) -> None:
        before = self._left.get(run, 0)
        self._rest += left - before
        self._cost += left * seconds - before * self._seconds.get(run, 0.0)
        self._left[run], self._seconds[run] = left, seconds

    def __enter__(self) -> Self:
        self._bar.start()
        if console.is_jupyter:
            from IPython.display import display  # noqa: PLC0415 - a notebook has it

            self._shown = display(self._bar, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
