"""The verb `bench`: measures some sections, shows them, and stores them."""

import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.bench.page import check_folder, origin, table, write
from pipeline.bench.record import Measured, Origin, Record, read_record
from pipeline.bench.registry import SECTIONS
from pipeline.console import duration, say, show
from pipeline.errors import UsageError, unknown
from pipeline.place import ROOT, is_checkout

INSTALLED = Path("results/bench")
"""Folder of the measurements of an installed package, which has no `docs`."""


def bench(*, only: Sequence[str] = (), quick: bool = False, output: Path | None = None) -> None:
    """Measure the sections `only`, or all, and write each into the folder `output` once it is measured.

    The default is `docs`, or `results/bench` for an installed package; with `quick`, nothing is written by default. Sections that are
    not measured are left unchanged there.
    """
    names = chosen(only, quick=quick)
    folder = output or (None if quick else ROOT / "docs" if is_checkout() else INSTALLED)
    record = Record()
    if folder:
        check_folder(folder)
        record = read_record(folder)
    left = [SECTIONS[name].quick_seconds if quick else SECTIONS[name].seconds for name in names]
    for place, name in enumerate(names):
        section = SECTIONS[name]
        say(f"{name}, {place + 1} of {len(names)}; about {duration(sum(left[place:]))} left")
        began = time.monotonic()
        lines = tuple(section.measure(quick=quick))
        measured = Measured(origin=Origin.here(began, quick=quick), lines=lines)
        if lines:
            columns, rows = table(lines)
            show(columns, rows, title=section.title)
            say(origin(name, measured.origin))
            say()
        if folder:
            record = record.with_section(name, measured)
            write(record, folder)
    if not only and quick:
        slow = ", ".join(name for name, section in SECTIONS.items() if not section.quick_seconds)
        say(f"left out by --quick, because they take minutes: {slow}. Run them with --only.")
    say(
        f"written to {folder}/benchmarks.md"
        if folder
        else "nothing was written; --output FOLDER keeps what is measured"
    )


def chosen(only: Sequence[str], *, quick: bool) -> list[str]:
    """Return the names of the sections to measure, in the order of the registry."""
    for name in only:
        if name not in SECTIONS:
            raise unknown("benchmark", name, SECTIONS)
        if quick and not SECTIONS[name].quick_seconds:
            raise UsageError(f"--only: must be benchmarks that can be quick, got {name}. Drop it, or --quick.")
    return [
        name for name, section in SECTIONS.items() if (name in only if only else section.quick_seconds or not quick)
    ]
