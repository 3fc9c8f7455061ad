"""Relocation of an SQLite store: it holds absolute addresses of its files, which a move of its folder leaves unchanged.

MLflow has no command that changes them. A copied store would continue to write into the folder that it was copied from.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import UsageError, one_line
from pipeline.tracking.ownership import FileLocks

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow that hold addresses of files."""
WAIT_SECONDS = 60
"""How long to wait while another process locks the database."""


def check_place(uri: str, database: Path, location: str) -> None:
    """Raise UsageError if a store's folder was moved or copied, or if its files are gone.

    `location` is the address of the artifacts of its experiment.
    """
    folder = _folder(location)
    if not folder:
        return
    beside = _beside(database, folder)
    elsewhere = beside != folder and not (folder.is_dir() and beside.is_dir() and beside.samefile(folder))
    if folder.is_dir() and not elsewhere:
        return
    with closing(sqlite3.connect(database, timeout=WAIT_SECONDS)) as connection:
        asked = "SELECT run_uuid FROM runs WHERE status = 'FINISHED' AND substr(artifact_uri, 1, ?) = ?"
        runs = [run for (run,) in connection.execute(asked, (len(location) + 1, f"{location}/"))]
    if elsewhere and any((beside / run).is_dir() for run in runs):
        raise UsageError(
            f"tracking store {uri}: must look for its files beside itself, in {beside}, got {folder}, because the folder was moved "
            "or copied. `python -m pipeline relocate` lets it use those beside it; or go to the folder that it was made in."
        )
    if runs and not folder.is_dir():
        raise UsageError(
            f"tracking store {uri}: must find the files of its runs in {folder}, got no such folder. If it was moved, move it back, "
            "or beside the store and run `python -m pipeline relocate`; if it is lost, make an empty one: `analyze` then "
            "names what to train again."
        )


def relocate(database: Path) -> list[tuple[str, str, int]]:
    """Point the addresses of an SQLite store to the files that lie beside it.

    Return, for each change, the old and the new beginning of addresses and the number of addresses that were changed. UsageError
    if `database` is no store of this MLflow.
    """
    try:
        with (
            FileLocks.beside(database).lock("store"),
            closing(sqlite3.connect(database, timeout=WAIT_SECONDS)) as connection,
            connection,
        ):
            locations = [row for (row,) in connection.execute("SELECT artifact_location FROM experiments")]
            changes = sorted({change for location in locations if (change := _change(database, location))})
            return [
                (old, new, sum(_replace(connection, old, new, *column) for column in ADDRESSES)) for old, new in changes
            ]
    except sqlite3.DatabaseError as error:
        raise UsageError(
            f"{database}: must be a store of this MLflow, got {one_line(error)}. Name it by MLFLOW_TRACKING_URI."
        ) from error


def _change(database: Path, location: str) -> tuple[str, str] | None:
    """Return the beginning of an experiment's address, and the one by which it would find the files beside the store.

    None if nothing has to change.
    """
    folder = _folder(location)
    if not folder or _beside(database, folder) == folder or not _beside(database, folder).is_dir():
        return None
    root = _beside(database, folder).parent
    return location.removesuffix(f"/{folder.name}"), root.as_uri() if location.startswith("file:") else str(root)


def _replace(connection: sqlite3.Connection, old: str, new: str, table: str, column: str) -> int:
    asked = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608 - of ADDRESSES
    return connection.execute(asked, (new, len(old) + 1, len(old) + 1, f"{old}/")).rowcount


def _folder(location: str) -> Path | None:
    """Return the folder at an address; None if it is not on this machine."""
    scheme = urlsplit(location).scheme
    if scheme not in ("", "file"):
        return None
    return Path(unquote(urlsplit(location).path) if scheme else location)


def _beside(database: Path, folder: Path) -> Path:
    """Return where an experiment's folder, such as mlruns/1, would lie beside a store."""
    return database.parent / folder.parent.name / folder.name
