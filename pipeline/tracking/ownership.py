"""Ownership of runs: at most one of the processes that share a store works on a run.

The mechanism depends on what the store can do:

| store | ownership | released after its process dies |
|---|---|---|
| SQLite | a lock on a file beside the database | at once |
| PostgreSQL, or a server with one beside it | an advisory lock of its own connection | at once, or when keep-alives fail |
| a server alone | a lease, renewed by a heartbeat | when the heartbeat has stood still for `DEAD_SECONDS` |

The API of MLflow has no compare-and-set. The lease is taken by Fischer's timed mutual exclusion (Lamport, "A fast mutual
exclusion algorithm", ACM Transactions on Computer Systems 5, 1987): a process that finds the run free writes its name, waits
for longer than a write takes, and owns the run if its name is still there. The last process that wrote owns the run, and an
owner checks its ownership before it records anything.
"""

import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from pipeline.config import digest_of
from pipeline.console import say
from pipeline.errors import RunError, UsageError
from pipeline.tracking.link import at_once
from pipeline.tracking.run import Run

Result = TypeVar("Result")
Check = Callable[[], None]
"""Raises LostError if the run is no longer owned."""
Waits = Callable[[], None]
"""Called once when another process is found to own the run."""

HOLD_SECONDS = 2.0
"""How long a process waits for a run even if it does not want to wait: `sweep` owns a run only for a moment."""
POLL_SECONDS = 0.2
"""Seconds between two attempts to take a lock of a database."""
KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}
"""Settings of a PostgreSQL session: 30 s after the last sign of a client's machine, the server ends the session and frees its
locks."""
ANSWERS = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
"""The same limits for the client: it waits 30 s for a sign of the server's machine."""
BEAT_SECONDS = 10.0
"""Seconds between two heartbeats, which renew a lease."""
DEAD_SECONDS = 45.0
"""Seconds without a heartbeat, by the clock of the watching process, after which the owner of a lease counts as gone."""
SETTLE_SECONDS = 1.0
"""How long a process waits between writing its name on a run and reading it back; a write must take less."""
WATCH_SECONDS = 2.0
"""Seconds between two looks at a lease. A watcher that could not look for three times as long starts watching anew."""
AWAY_SECONDS = 60.0
"""How long to wait for a database that does not answer, for example because it restarts."""
RESTARTS = 10
"""How many restarts of the database work survives. Without a limit, a database that drops every connection would be retried
forever."""
OLD_SECONDS = 60.0
"""A lease whose last heartbeat is younger than this, by comparing the clocks of both machines, is not watched at all."""


class BusyError(UsageError):
    """Another process works on the run."""


class LostError(RunError):
    """The run was taken over by another process: nothing may be recorded any more."""


class BrokenError(LostError):
    """The lock of the run was released because its connection broke, as in a restart of the database; it can be taken again."""


def retaken(work: Callable[[], Result]) -> Result:
    """Return the result of `work`, which owns runs; repeat it up to `RESTARTS` times if a broken connection releases its locks.

    `work` must skip what is already done.
    """
    for _ in range(RESTARTS):
        with suppress(BrokenError):
            return work()
    return work()


def whoami() -> str:
    """Return a readable name of this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class Ownership(ABC):
    """Owns runs, by their ids, against all processes that share the store."""

    kind: str
    """The name of the mechanism: owners are only seen by processes that use the same one. It must not contain quotes."""

    @abstractmethod
    def tags(self) -> dict[str, str]:
        """Return the ownership tags of a run that this process creates."""

    @abstractmethod
    def own(self, run_id: str, patience: float, waits: Waits) -> AbstractContextManager[Check]:
        """Own a run while the context is open; BusyError if another process still owns it after `patience` seconds."""

    def inherit(self, leases: Sequence[str]) -> None:  # noqa: B027 - most kinds have nothing to do here
        """Treat the owners of `leases`, processes of this machine, as gone; locks are released without such a hint."""

    @abstractmethod
    def orphans(self, runs: Sequence[Run]) -> Iterator[str]:
        """Yield those of the runs, all RUNNING, whose owner is gone; each is owned here while the caller handles it."""

    @abstractmethod
    def first(self, what: str, find: Callable[[], str | None], create: Callable[[], str]) -> tuple[str, str | None]:
        """Return the run that `find` returns, or else one that `create` makes: all processes get the same run.

        The second value is a run that was created in vain, because another process created an older one; otherwise None.
        """


# ------------------------------------------------------------------------------------------------------------- locks


class Locks(Protocol):
    """Locks by name, which are released when the process dies."""

    def lock(self, name: str, patience: float = inf) -> AbstractContextManager[Check]:
        """Hold the lock `name` while the context is open; BusyError after `patience` seconds of waiting."""


@dataclass(frozen=True)
class FileLocks:
    """Locks on files of a folder: they bind every process that sees the folder, whatever its working folder is."""

    folder: Path

    @classmethod
    def beside(cls, database: Path) -> "FileLocks":
        """Return the locks of an SQLite database."""
        return cls(database.with_name(f"{database.name}.locks"))

    @contextmanager
    def lock(self, name: str, patience: float = inf) -> Iterator[Check]:
        """Lock the file of `name`.

        The file is deleted while it is still locked: a process that waits for it finds it gone and tries again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = FileLock(self.folder / f"{digest_of(name)[:24]}.lock")
        try:
            file.acquire(timeout=-1 if patience == inf else patience)
        except Timeout:
            raise _busy(name) from None
        try:
            yield lambda: None
        finally:
            Path(file.lock_file).unlink(missing_ok=True)
            file.release()


@dataclass(frozen=True)
class DatabaseLocks:
    """Advisory locks of a PostgreSQL database, each held by a connection of its own."""

    engine: Engine

    @classmethod
    def of(cls, url: str) -> "DatabaseLocks":
        """Return the locks of the database with this address."""
        return cls(create_engine(url, poolclass=NullPool, connect_args=ANSWERS))

    @property
    def identity(self) -> str:
        """A text that identifies this database, whatever address reaches it."""
        with self.engine.connect() as connection:
            asked = "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())"
            return "-".join(map(str, connection.execute(text(f"{asked} FROM pg_control_system()")).one()))

    @contextmanager
    def lock(self, name: str, patience: float = inf) -> Iterator[Check]:
        """Lock a number that is computed from `name`.

        An error within the context is raised as BrokenError if the lock was released in the meantime: that is its cause.
        """
        key = {"key": int(digest_of(name)[:15], 16)}
        with self._connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                for setting, value in KEEPALIVES.items():
                    connection.execute(text(f"SET {setting} = {value}"))
                self._wait(connection, key, name, patience)
            except SQLAlchemyError as error:
                raise _broken(name) from error
            try:
                yield lambda: self._check(connection, key, name)
            except Exception:
                self._check(connection, key, name)
                raise
            finally:
                with suppress(SQLAlchemyError):  # the lock of a broken connection is released already
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    @staticmethod
    def _wait(connection: Connection, key: Mapping[str, int], name: str, patience: float) -> None:
        if patience == inf:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), key)
            return
        deadline = time.monotonic() + patience
        while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one():
            if time.monotonic() >= deadline:
                raise _busy(name)
            time.sleep(POLL_SECONDS)

    def _check(self, connection: Connection, key: Mapping[str, int], name: str) -> None:
        asked = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
            "AND (classid::bigint << 32 | objid::bigint) = :key"
        )
        try:
            held = connection.execute(text(asked), key).scalar_one()
        except SQLAlchemyError:
            held = 0
            with suppress(SQLAlchemyError):
                self._connect().close()
        if not held:
            raise _broken(name)

    def _connect(self) -> Connection:
        """Return a connection, waiting for a database that restarts."""
        deadline = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < deadline:
            with suppress(SQLAlchemyError):
                return self.engine.connect()
            time.sleep(POLL_SECONDS)
        return self.engine.connect()


def locks_of(engine: Engine) -> Locks:
    """Return the locks of a database: files beside an SQLite one, advisory locks of a PostgreSQL one."""
    if engine.dialect.name == "sqlite":
        return FileLocks.beside(Path(str(engine.url.database)).resolve())
    return DatabaseLocks(engine)


def clock(engine: Engine) -> float:
    """Return the time, in seconds since 1970, that all processes that share the database agree on."""
    if engine.dialect.name == "sqlite":
        return time.time()
    with engine.connect() as connection:
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


@dataclass(frozen=True)
class ByLocks(Ownership):
    """Ownership by locks."""

    kind: str
    locks: Locks

    def tags(self) -> dict[str, str]:
        """Return tags that name the creator of the run; the lock alone decides who owns it."""
        return {"ownership": self.kind, "owner": whoami()}

    @contextmanager
    def own(self, run_id: str, patience: float, waits: Waits) -> Iterator[Check]:
        """Hold the lock of the run."""
        with ExitStack() as held:
            try:
                check = held.enter_context(self.locks.lock(run_id, 0))
            except BusyError:
                waits()
                check = held.enter_context(self.locks.lock(run_id, patience))
            yield check

    def orphans(self, runs: Sequence[Run]) -> Iterator[str]:
        """Yield the runs whose lock is free."""
        for run in runs:
            with suppress(BusyError), self.locks.lock(run.id, 0):
                yield run.id

    def first(self, what: str, find: Callable[[], str | None], create: Callable[[], str]) -> tuple[str, str | None]:
        """Find or create the run under a lock that other processes need for the same."""
        with self.locks.lock(what):
            return find() or create(), None


# ------------------------------------------------------------------------------------------------------------- lease


class Tags(Protocol):
    """The part of a store that a lease needs."""

    def get(self, run_id: str) -> Run:
        """Return a run."""

    def get_all(self, run_ids: Sequence[str]) -> dict[str, Run]:
        """Return runs by their ids."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""


class Lease(Ownership):
    """Ownership by tags of the run: `lease`, the name of the owner, and `beat`, the time of its last heartbeat."""

    kind = "lease"

    def __init__(self, store: Tags) -> None:
        """Own runs of `store`."""
        self._store = store
        self._name = uuid.uuid4().hex
        self._mutex = threading.Lock()
        self._owned: set[str] = set()
        self._inherited: set[str] = set()

    def inherit(self, leases: Sequence[str]) -> None:
        """Take over runs of these leases without waiting for their heartbeats."""
        self._inherited.update(leases)

    def tags(self) -> dict[str, str]:
        """Return tags by which the run is owned from its creation on."""
        return {"ownership": self.kind, "owner": whoami(), "lease": self._name, "beat": repr(time.time())}

    @contextmanager
    def own(self, run_id: str, patience: float, waits: Waits) -> Iterator[Check]:
        """Take the lease, and renew it in a thread."""
        with self._mutex:
            if run_id in self._owned:
                raise _busy(run_id)
            self._owned.add(run_id)
        try:
            self._take(run_id, patience, waits)
            with self._beating(run_id):
                yield lambda: self._check(run_id)
        finally:
            with self._mutex:
                self._owned.discard(run_id)

    def _take(self, run_id: str, patience: float, waits: Waits) -> None:
        began, watch, told = time.monotonic(), _Watch(), False
        while True:
            tags = self._store.get(run_id).tags
            if tags.get("lease") == self._name:  # created here, or not given back because the store was unreachable
                return
            free = tags.get("lease", "") in {"", *self._inherited}
            if (free or watch.dead(tags)) and self._win([run_id]):
                return
            if not told:
                waits()
                told = True
            if watch.alive and time.monotonic() - began >= patience:
                raise _busy(run_id)
            time.sleep(WATCH_SECONDS)

    def _win(self, run_ids: Sequence[str]) -> list[str]:
        """Write this process's name on runs, wait until that has settled, and return the runs that still bear it."""
        for run_id in run_ids:
            self._store.set_tags(run_id, self.tags())
        time.sleep(SETTLE_SECONDS)
        return [run.id for run in self._store.get_all(run_ids).values() if run.tags["lease"] == self._name]

    def _check(self, run_id: str) -> None:
        tags = self._store.get(run_id).tags
        if tags.get("lease") != self._name:
            raise _lost(run_id, f"{tags.get('owner', 'another process')} has it")

    @contextmanager
    def _beating(self, run_id: str) -> Iterator[None]:
        done = threading.Event()

        def beat() -> None:
            last, late = time.time(), False
            while not done.wait(BEAT_SECONDS):
                # Once a beat was late the lease may be another's, and beats must not keep that alive when its owner is gone.
                now = time.time()
                late = late or now - last > DEAD_SECONDS / 2
                try:
                    if late:
                        self._check(run_id)
                    self._store.set_tags(run_id, {"beat": repr(now)})
                    last = now
                except LostError:
                    return
                except (UsageError, RunError):  # a store that is away for a while gets the next beat
                    pass

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(BEAT_SECONDS)
            with suppress(LostError, UsageError), at_once():  # without the store, the lease expires with its heartbeat
                self._check(run_id)
                self._store.set_tags(run_id, {"lease": "", "beat": ""})

    def orphans(self, runs: Sequence[Run]) -> Iterator[str]:
        """Watch all runs whose last heartbeat looks old at the same time, and yield those without a new one."""
        old = [run for run in runs if time.time() - float(run.tags.get("beat") or 0) > OLD_SECONDS]
        if old:
            say(f"watching for {DEAD_SECONDS:.0f} s whether the owners of {len(old)} run(s) are gone")
        watches = {run.id: _Watch() for run in old}
        still = set(watches)
        dead: set[str] = set()
        while still - dead:
            found = self._store.get_all(sorted(still))
            for run in found.values():
                if watches[run.id].dead(run.tags):
                    dead.add(run.id)
                elif watches[run.id].alive:
                    still.discard(run.id)
            still &= found.keys()  # one that is deleted meanwhile is not to be ended
            dead &= still
            if still - dead:
                time.sleep(WATCH_SECONDS)
        for run_id in self._win(sorted(dead)) if dead else []:
            yield run_id
            self._store.set_tags(run_id, {"lease": "", "beat": ""})

    def first(self, what: str, find: Callable[[], str | None], create: Callable[[], str]) -> tuple[str, str | None]:
        """Create the run, and check whether another process created one at the same moment: the older one stays."""
        del what
        if known := find():
            return known, None
        made = create()
        time.sleep(SETTLE_SECONDS)
        chosen = find()
        assert chosen  # noqa: S101 - there is at least the one made here
        return chosen, None if chosen == made else made


class _Watch:
    """What one process sees of the heartbeats of another, by its own clock."""

    def __init__(self) -> None:
        self._mark: tuple[str, str] | None = None
        self._since = self._looked = 0.0
        self.alive = False
        """Whether a heartbeat was seen."""

    def dead(self, tags: Mapping[str, str]) -> bool:
        """Look at a lease, and return whether it has had no heartbeat for `DEAD_SECONDS`."""
        now, mark = time.monotonic(), (tags.get("lease", ""), tags.get("beat", ""))
        if mark != self._mark:
            self.alive = self._mark is not None
            self._mark, self._since = mark, now
        elif now - self._looked > 3 * WATCH_SECONDS:  # the store was unreachable, for the owner too
            self._since = now
        self._looked = now
        return now - self._since >= DEAD_SECONDS


def _busy(name: str) -> BusyError:
    return BusyError(f"run {name}: must be free, got one that another process works on. Wait for that to end.")


def _lost(name: str, why: str, kind: type[LostError] = LostError) -> LostError:
    return kind(
        f"run {name}: must be owned to its end, got one that was lost: {why}. Run the same command again, it goes on."
    )


def _broken(name: str) -> LostError:
    return _lost(name, "the connection to its database has broken off", BrokenError)
