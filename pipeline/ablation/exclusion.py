"""Mutual exclusion of all processes and machines that share a database, by the database itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Engine, text

from pipeline.config import digest_of

Exclusion = Callable[[str], AbstractContextManager[object]]
"""From the name of what is done to a context in which no other process does anything of that name."""


def exclusion(engine: Engine) -> Exclusion:
    """Return the exclusion of a database: a file beside an SQLite one, an advisory lock of a PostgreSQL server.

    Both fall with the process that holds them, however it ends.
    """
    if engine.dialect.name == "sqlite":
        database = Path(str(engine.url.database)).resolve()
        return lambda name: FileLock(database.with_name(f".{database.name}.{digest_of(name)[:12]}.lock"))

    @contextmanager
    def advisory(name: str) -> Iterator[None]:
        key = {"key": int(digest_of(name)[:15], 16)}
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), key)
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    return advisory


def clock(engine: Engine) -> float:
    """Return the time in seconds that all who share the database agree on."""
    if engine.dialect.name == "sqlite":
        return time.time()
    with engine.connect() as connection:
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
