"""A full disk and read-only folders: the error is one line, nothing is lost, and the same command resumes the study."""

import shutil
import subprocess
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest
from harness import ABLATE, COMPARE, FULL, check_same, wait_for

from pipeline import checkpoint

STUDY = {"models": ("none",), "seeds": 1, "epochs": 80}
SIZE = 32 << 20
"""Size of a disk in bytes; large enough for everything that a study writes."""
FOLDERS = ("store", "store/checkpoints", "mlruns", "queue", "tmp", "results")
MAY_WORK = [("store", "ls"), ("tmp", "train"), ("tmp", "analyze"), ("tmp", "ablate")]
"""Cases that may succeed without space: reading, and temporary files, for which Python uses another folder."""


class Disk:
    """A small file system mounted on a folder, in its own namespace; it can be made full or read-only."""

    def __init__(self, folder: Path) -> None:
        pipe = subprocess.PIPE
        script = f"mount -t tmpfs -o size={SIZE} faults '{folder}' && echo ready && while read line; do eval $line; echo; done"
        command = ["unshare", "-rm", "--propagation", "private", "sh", "-c", script]
        self.shell = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        if self.shell.stdout.readline() != "ready\n":
            pytest.skip(f"no file system can be mounted here: {self.shell.stderr.read().strip()}")
        self.folder, self.pid = folder, self.shell.pid
        self.seen = Path(f"/proc/{self.pid}/root{folder}")
        """Path of the mounted folder, from this process."""

    def call(self, line):
        self.shell.stdin.write(f"{line}\n")
        self.shell.stdin.flush()
        self.shell.stdout.readline()

    def set(self, state, place=None):
        if state == "full":
            with (self.seen / "ballast").open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12):
                    with suppress(OSError):
                        while file.write(bytes(size)):
                            pass
        elif state == "read-only":
            self.call(f"mount -o remount,ro,size={SIZE} '{self.folder}'")
        else:
            self.permit(0)
            place.bound = True

    def permit(self, write):
        for path in (self.seen, *self.seen.rglob("*")):
            path.chmod(path.stat().st_mode & 0o555 | write)

    def copy(self):
        """Copy the content of the disk to the folder under the mount point, which this process, like all others, sees."""
        shutil.copytree(self.seen, self.folder, dirs_exist_ok=True)

    def mend(self, place=None):
        self.call(f"mount -o remount,rw,size={SIZE} '{self.folder}'")
        (self.seen / "ballast").unlink(missing_ok=True)
        self.permit(0o200)
        if place:
            place.bound = False


@contextmanager
def disk_on(place, name):
    folder = place.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    disk = Disk(folder)
    disk.name, disk.root = name, Path(f"/proc/{disk.pid}/root{place.folder}")
    place.namespace = disk.pid
    try:
        yield disk
    finally:
        place.close()
        disk.shell.kill()
        disk.shell.communicate()


def cases(*them, sample):
    """Return all cases if FULL, else only `sample`."""
    return them if FULL else sample


def identifier(value):
    return "+".join(value) if isinstance(value, tuple) else None


@pytest.fixture
def here(place):
    place.study(**STUDY)
    place.environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place.folder}/store/mlflow.db",
        "OPTUNA_STORAGE": f"sqlite:///{place.folder}/queue/optuna.db",
        "TMPDIR": str(place.folder / "tmp"),
        "BROWSER_PATH": "/no/browser",  # drawing is slow, and not tested here
    }
    return place


@pytest.fixture
def disk(here, empty_store, name):
    """A `Disk` mounted on one of the folders, with an empty store."""
    with disk_on(here, name) as disk:
        for folder in FOLDERS:
            (disk.root / folder).mkdir(parents=True, exist_ok=True)
        disk.place = here
        shutil.copy(empty_store, disk.root / "store/mlflow.db")
        yield disk


# A file system cannot be made read-only while a file on it, such as a database, is open for writing.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name", "state"),
    cases(
        *(("compare", name, "full") for name in ("store", "store/checkpoints", "mlruns", "tmp")),
        *(("compare", name, "read-only") for name in ("store/checkpoints", "mlruns", "tmp")),
        *(("compare by two", name, "full") for name in ("store", "mlruns")),
        *(("ablate", name, "full") for name in ("queue", "store", "store/checkpoints", "mlruns")),
        *(("ablate by two", name, "full") for name in ("queue", "store")),
        ("ablate", "store/checkpoints", "read-only"),
        sample=[],
    ),
)
def test_a_study_without_room_ends_by_one_line_and_the_same_command_goes_on(disk, undisturbed, tally, command, state):
    here, workers = disk.place, 2 if "two" in command else 1
    verb, seeds = (ABLATE, 1) if "ablate" in command else (COMPARE, workers)  # an ablation study has two trials
    here.study(**{**STUDY, "seeds": seeds})
    command = (*verb, "--workers", str(workers))
    running = here.start(*command)
    checkpoints = disk.root / "store/checkpoints"
    with tally.fault():
        wait_for(lambda: list(checkpoints.glob("*/previous.pt")) or running.ended(), "two epochs")
        disk.set(state)
        running.end().refused()
        for last in checkpoints.glob("*/last.pt" if disk.name == "mlruns" else "*/previous.pt"):
            checkpoint.load(last, older=False)
    with tally.fault():
        again = here.run(*command)
        if disk.name != "tmp" or again.code:  # without space there, Python uses another temporary folder
            again.refused()
    disk.mend()
    here.run(*command).check()
    disk.copy()
    check_same(tally, here.folder / "store/mlflow.db", undisturbed(verb, **{**STUDY, "seeds": seeds}))


@pytest.mark.exhaustive
@pytest.mark.slow
def test_what_waits_for_a_server_without_room_ends_by_one_line_and_the_same_command_goes_on(
    place, server, undisturbed, tally
):
    place.study(**STUDY)
    place.environment["MLFLOW_TRACKING_URI"] = server
    with disk_on(place, "checkpoints") as disk:
        running = place.start(*COMPARE, "--workers", "1")
        with tally.fault():
            wait_for(lambda: list(disk.seen.glob("*/previous.pt")) or running.ended(), "two epochs")
            disk.set("full")
            running.end().refused("checkpoints")
        with tally.fault():
            again = place.compare()
            if again.code:  # sending frees space
                again.refused("checkpoints")
        disk.mend()
        place.compare().check()
    check_same(tally, place.folder / "mlflow.db", undisturbed(**STUDY), server)


STATES = ("full", "read-only", "forbidden")
VERBS = [
    *product(("store", "store/checkpoints", "mlruns"), ["train"], [STATES]),
    *(("tmp", "train", (state,)) for state in STATES),  # one state each: a command may succeed here and leave the next one nothing to do
    *product(("store", "mlruns", "tmp", "results"), ["analyze"], [STATES]),
    *product(("queue", "results"), ["ablate"], [STATES]),
    *product(("store", "store/checkpoints", "mlruns", "tmp"), ["ablate"], [("full",)]),
    ("store", "ls", STATES), ("results", "export", ("full", "forbidden")), ("results", "doctor", ("full",)),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verb", "states"), cases(*VERBS, sample=[("mlruns", "train", ("read-only",))]), ids=identifier
)
def test_a_verb_that_cannot_write_ends_by_one_line_and_works_when_it_can(here, disk, tally, verb, states):
    command = {
        "train": ("train", "--models", "none", "--config", "tiny.json"),
        "analyze": ("analyze",), "ablate": ABLATE, "ls": ("ls", "studies"),
        "export": ("export", "tiny", "results/tiny.zip"), "doctor": ("doctor", "--data.name", "synthetic"),
    }[verb]  # fmt: skip
    here.study(models=("none", "sincos"), seeds=2, epochs=1)
    if verb in ("analyze", "ls", "export"):
        here.compare().check()
    for state in states:
        before = files_in(disk.root)
        with tally.fault():
            disk.set(state, here)
            ended = here.run(*command)
            disk.mend(here)
            if ended.code or (disk.name, verb) not in MAY_WORK:
                ended.refused()
            assert not [path for path in files_in(disk.root) - before if path.endswith(".tmp")]
    here.run(*command).check()


def files_in(root):
    return {str(path.relative_to(root)) for path in root.rglob("*")}
