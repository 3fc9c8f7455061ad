"""A disk that is full, and folders that cannot be written to: one line, nothing lost, and the same command goes on."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import BASE, FULL, check_same, wait_for

from pipeline import checkpoint

STUDY = {"models": ("none",), "seeds": 1, "epochs": 200}
SIZE = 32 << 20
"""Bytes of a disk, which hold all that a study writes."""
FOLDERS = ("store", "store/checkpoints", "mlruns", "tmp", "results")
NOBODY = 65534
MAY_WORK = [("store", "ls"), ("tmp", "train"), ("tmp", "analyze")]
"""What may need no room: reading; and Python takes another folder for what is temporary."""


class Disk:
    """A small file system on a folder, in a namespace of its own; it can be full or read-only."""

    def __init__(self, folder: Path) -> None:
        pipe = subprocess.PIPE
        script = f"mount -t tmpfs -o size={SIZE} faults '{folder}' && echo ready && while read line; do eval $line; echo; done"
        command = ["unshare", "-rm", "--propagation", "private", "sh", "-c", script]
        self.shell = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        if self.shell.stdout.readline() != "ready\n":
            pytest.skip(f"no file system can be mounted here: {self.shell.stderr.read().strip()}")
        self.folder, self.pid = folder, self.shell.pid
        self.seen = Path(f"/proc/{self.pid}/root{folder}")
        """The folder, as this process sees it."""

    def call(self, line):
        self.shell.stdin.write(f"{line}\n")
        self.shell.stdin.flush()
        self.shell.stdout.readline()

    def set(self, state, place=None):
        if state == "full":
            with suppress(OSError), (self.seen / "ballast").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 12))
        elif state == "read-only":
            self.call(f"mount -o remount,ro,size={SIZE} '{self.folder}'")
        else:  # nobody but the owner may write; who may do all becomes somebody else
            self.seen.chmod(0o555)
            place.user = 0 if os.getuid() else NOBODY

    def copy(self):
        """Copy what is on the disk to the folder below it, which this process sees as all others do."""
        shutil.copytree(self.seen, self.folder, dirs_exist_ok=True)

    def mend(self, place=None):
        self.call(f"mount -o remount,rw,size={SIZE} '{self.folder}'")
        (self.seen / "ballast").unlink(missing_ok=True)
        self.seen.chmod(0o755)
        if place:
            place.user = 0


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
    """Return all cases, or those of the sample."""
    return them if FULL else [case for case in them if case in sample]


@pytest.fixture
def here(place):
    place.study(**STUDY)
    place.environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place.folder}/store/mlflow.db",
        "TMPDIR": str(place.folder / "tmp"),
    }
    return place


@pytest.fixture
def disk(here, empty_store, name):
    """The disk on one of the folders, with an empty store."""
    with disk_on(here, name) as disk:
        for folder in FOLDERS:
            (disk.root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, disk.root / "store/mlflow.db")
        yield disk


# A file system on which a file is open for writing, as that of a database is, cannot be made read-only.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "state"),
    cases(
        *((name, "full") for name in ("store", "store/checkpoints", "mlruns", "tmp")),
        *((name, "read-only") for name in ("store/checkpoints", "mlruns", "tmp")),
        sample=[],
    ),
)
def test_a_training_without_room_ends_by_one_line_and_the_same_command_goes_on(here, disk, undisturbed, tally, state):
    running = here.start("compare", "--config", "tiny.json", "--workers", "1")
    checkpoints = disk.root / "store/checkpoints"
    with tally.fault():
        wait_for(lambda: list(checkpoints.glob("*/previous.pt")) or running.ended(), "two epochs")
        disk.set(state)
        running.end().refused()
        [last] = checkpoints.glob("*/last.pt") if disk.name == "mlruns" else checkpoints.glob("*/previous.pt")
        checkpoint.load(last, older=False)
    with tally.fault():
        again = here.compare()
        if disk.name != "tmp" or again.code:  # without room there, Python takes another folder for what is temporary
            again.refused()
    disk.mend()
    here.compare().check()
    disk.copy()
    check_same(tally, here.folder / "store/mlflow.db", undisturbed(**STUDY))


VERBS = [
    *((name, "train") for name in ("store", "store/checkpoints", "mlruns", "tmp")),
    *((name, "analyze") for name in ("store", "mlruns", "tmp", "results")),
    ("results", "ablate"), ("store", "ls"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verb", "state"),
    cases(
        *((*each, state) for each in VERBS for state in ("full", "read-only", "forbidden")),
        sample=[("mlruns", "train", "read-only")],
    ),
)
def test_a_verb_that_cannot_write_ends_by_one_line_and_works_when_it_can(here, disk, tally, verb, state):
    commands = {
        "train": ("train", "--models", "none", "--config", "tiny.json"),
        "analyze": ("analyze",), "ablate": ("ablate", "--config", "ablation.json"), "ls": ("ls", "studies"),
    }  # fmt: skip
    here.environment["BROWSER_PATH"] = "/no/browser"  # drawing takes long, and is no part of this
    here.study(models=("none", "sincos"), seeds=2, epochs=1)
    (here.folder / "ablation.json").write_text(json.dumps({**BASE, "train.epochs": 1, "time_embedding_dim": [2, 4]}))
    if verb in ("analyze", "ls"):
        here.compare().check()
    before = files_in(disk.root)
    with tally.fault():
        disk.set(state, here)
        ended = here.run(*commands[verb])
        disk.mend(here)
        if ended.code or (disk.name, verb) not in MAY_WORK:
            ended.refused()
        assert not [path for path in files_in(disk.root) - before if path.endswith(".tmp")]
        here.run(*commands[verb]).check()


def files_in(root):
    return {str(path.relative_to(root)) for path in root.rglob("*")}
