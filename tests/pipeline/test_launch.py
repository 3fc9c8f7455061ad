import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline import launch
from pipeline.errors import DiskError, RunError
from pipeline.launch import run_tasks
from pipeline.place import ROOT


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_ends_with_its_result_or_its_error(launched, workers):
    messages = []
    results = dict(run_tasks([1, 13, 3], launched.double, workers=workers, notify=messages.append))
    assert (results[1][0], results[3][0]) == (2, 6)
    assert isinstance(results[13], ValueError)
    assert sorted(messages) == [("working on", 1), ("working on", 3), ("working on", 13)]
    assert (results[1][1] == os.getpid()) is (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_is_full_is_told_by_its_worker(launched, workers):
    results = list(run_tasks([1, 2], launched.fill_the_disk, workers=workers, notify=print))
    assert all(isinstance(result, DiskError) for _, result in results)
    assert str(results[0][1]).startswith("/full: must have room and be writable, got one that is not (No space left")


def test_a_killed_worker_is_said_and_the_others_are_stopped(launched):
    began = time.monotonic()
    with pytest.raises(RunError, match="workers: must run to their end"):
        list(run_tasks(["die", "wait"], launched.wait_or_die, workers=2, notify=lambda _: None))
    assert time.monotonic() - began < 50  # of the 100 seconds that the other would take


def test_an_interrupt_of_the_launcher_stops_the_workers(launched):
    def interrupt(_message):
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks([1, 2], launched.interrupt_first, workers=2, notify=interrupt))
    assert time.monotonic() - began < 50  # of the 100 seconds that the other would take


@pytest.mark.parametrize("started", [0, 1])
def test_a_worker_that_cannot_be_started_ends_the_others_and_leaves_ctrl_c_as_it_was(launched, monkeypatch, started):
    submit, before = launch.ProcessPoolExecutor.submit, multiprocessing.active_children()

    def full(pool, *task):
        if len(pool._processes) == started:
            raise OSError(errno.EMFILE, "Too many open files")
        return submit(pool, *task)

    monkeypatch.setattr(launch.ProcessPoolExecutor, "submit", full)
    with pytest.raises(
        RunError, match=r"^--workers: must be as many as this machine can start, got 2 \(OSError: .*Too many"
    ):
        list(run_tasks([1, 2], launched.double, workers=2, notify=print))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert multiprocessing.active_children() == before


INTERRUPTED = """
import signal
import sys
import launched
from pipeline.launch import run_tasks
from pipeline.place import ROOT

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
try:
    list(run_tasks([1, 2], launched.interrupt_first, workers=2, notify=lambda _: None))
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


def starting(launcher):
    """Say whether a process has begun to start that from which workers are forked."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return any(b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


def test_ctrl_c_while_workers_start_is_one_line(launched):
    """It reaches all processes of the terminal: here, of a session."""
    path = os.pathsep.join([str(Path(launched.__file__).parent), os.environ["PYTHONPATH"]])
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not starting(process.pid):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate()[1] == "interrupted\n"


PREPARED = """
from multiprocessing.forkserver import _forkserver
from pathlib import Path
from pipeline.launch import prepare_workers

prepare_workers()
print(Path(f"/proc/{_forkserver._forkserver_pid}/status").read_text())
"""


def test_ctrl_c_waits_in_the_process_that_workers_are_forked_from():
    """Whatever it imports just then: it would end by a traceback, and its launcher with it."""
    said = subprocess.run([sys.executable, "-c", PREPARED], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [blocked] = re.findall(r"SigBlk:\s*(\w+)", said)
    assert int(blocked, 16) >> (signal.SIGINT - 1) & 1


def test_sockets_of_workers_fit_in_the_longest_folder_that_is_taken():
    with TemporaryDirectory(dir="/tmp") as short:  # the folder of pytest is too long
        for length, said in (
            (launch.LONGEST_FOLDER, ""),
            (launch.LONGEST_FOLDER + 1, "TMPDIR: must have a path of at most 71 bytes"),
        ):
            folder = Path(short) / ("x" * (length - len(short) - 1))
            folder.mkdir()
            code = "from pipeline.launch import prepare_workers; prepare_workers()"
            environment = {**os.environ, "TMPDIR": str(folder)}
            command = [sys.executable, "-c", code]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert (bool(done.returncode), said in done.stderr) == (bool(said), True), done.stderr


def test_a_worker_that_does_not_end_when_it_is_asked_to_is_killed_after_a_while(launched, monkeypatch):
    monkeypatch.setattr(launch, "GRACE_SECONDS", 1)
    workers = []

    def interrupt(worker):
        workers.append(worker)
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks([1, 2], launched.ignore_interrupts, workers=2, notify=interrupt))
    assert time.monotonic() - began < 50  # of the 100 seconds that it would take
    with pytest.raises(ProcessLookupError):
        os.kill(workers[0], 0)


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(launched, tmp_path):
    (tmp_path / "script.py").write_text(
        "from launched import double\n"
        "from pipeline.launch import run_tasks\n"
        "print('begins')\n"
        "print(sorted(result[0] for _, result in run_tasks([1, 2], double, workers=2, notify=lambda _: None)))\n"
    )
    path = f"{os.environ['PYTHONPATH']}:{Path(launched.__file__).parent}"
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.split("\n"), done.stderr) == (["begins", "[2, 4]", ""], "")


def ended(process):
    """Say whether a process that is nobody's child any more has ended; who adopts it may not have asked for its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="how processes are looked at")
@pytest.mark.parametrize("work", ["compute", "ignore_interrupts"])
def test_workers_end_with_a_launcher_that_was_killed(launched, workplace, work):
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    launcher = context.Process(target=launched.launch, args=(work, told))
    launcher.start()
    workers = [heard.recv() for _ in range(2)]
    launcher.kill()
    deadline = time.monotonic() + 60  # it is seconds
    while not all(map(ended, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    closed = [] if work == "ignore_interrupts" else workers
    assert {path.name for path in workplace.glob("*.closed")} == {f"{worker}.closed" for worker in closed}


@pytest.mark.parametrize("tasks", [["now", "now"], ["end", "late"]], ids=["both", "beside an idle one"])
def test_workers_that_were_interrupted_end_the_launcher_as_interrupted_not_as_killed(launched, monkeypatch, tasks):
    monkeypatch.setattr(launch, "POLL_SECONDS", 60)  # the pool sees it first, while other workers still end
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(tasks, launched.interrupt_itself, workers=2, notify=lambda _: None))


def test_an_interrupt_while_python_cleans_up_is_not_dropped(launched, capfd):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks([1, 2], launched.interrupt_while_python_cleans_up, workers=2, notify=print))
    assert time.monotonic() - began < launch.GRACE_SECONDS
    assert "Traceback" not in capfd.readouterr().err


def test_an_answer_that_cannot_be_read_is_no_interrupt(launched):
    with pytest.raises(BrokenProcessPool) as caught:
        list(run_tasks([1, 2], launched.fail_unreadably, workers=2, notify=lambda _: None))
    assert "missing 1 required positional argument" in str(caught.value.__cause__)
