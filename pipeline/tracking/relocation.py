"""Where an SQLite store looks for its files: absolute addresses, which stay those of the folder that it was made in.

MLflow has no command that changes them. A folder that was copied would go on writing into the one that it was copied from.
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
"""How long another process may keep the database from being read or written."""


def check_place(uri: str, database: Path, location: str) -> None:
    """Refuse a store whose folder was moved or copied, and one whose files are gone; `location` is that of its experiment."""
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
    """Let an SQLite store use the files that lie beside it; return what addresses began with, begin with now, and their number."""
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
    """Return what the address of an experiment's files begins with, and with what it would find those beside the store."""
    folder = _folder(location)
    if not folder or _beside(database, folder) == folder or not _beside(database, folder).is_dir():
        return None
    root = _beside(database, folder).parent
    return location.removesuffix(f"/{folder.name}"), root.as_uri() if location.startswith("file:") else str(root)


def _replace(connection: sqlite3.Connection, old: str, new: str, table: str, column: str) -> int:
    asked = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608 - of ADDRESSES
    return connection.execute(asked, (new, len(old) + 1, len(old) + 1, f"{old}/")).rowcount


def _folder(location: str) -> Path | None:
    """Return the folder at an address; None where it is not on this machine."""
    scheme = urlsplit(location).scheme
    if scheme not in ("", "file"):
        return None
    return Path(unquote(urlsplit(location).path) if scheme else location)


def _beside(database: Path, folder: Path) -> Path:
    """Return where an experiment's folder, such as mlruns/1, would lie beside a store."""
    return database.parent / folder.parent.name / folder.name
