"""A machine without a home folder, a user name, a terminal, a text encoding, or a known time zone."""

import shutil
import subprocess

import pytest
from harness import check_same

NAMELESS = 54321
"""A user id without a name in the system, as in many containers."""
NAMES = ("USER", "LOGNAME", "LNAME", "USERNAME", "TERM", "LANG", "LC_ALL", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
POOR = {
    "no home and no name": {**dict.fromkeys(NAMES, ""), "HOME": "/nowhere"},
    "no letters but those of ASCII": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "no such time zone": {"TZ": "garbage"},
}


@pytest.fixture
def nameless(place):
    """A `Place` whose commands run as a user without a name, who has the permissions of the tests' user."""
    command = [
        "unshare",
        "-Um",
        f"--map-user={NAMELESS}",
        f"--map-group={NAMELESS}",
        "sh",
        "-c",
        "echo ready; read line",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        if shell.stdout.readline() != "ready\n":
            pytest.skip("no user can be made here")
        place.namespace = shell.pid
        yield place
        place.close()
        shell.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", POOR)
def test_a_study_is_trained_and_analysed_all_the_same(nameless, undisturbed, empty_store, tally, kind):
    shutil.copy(empty_store, nameless.folder / "mlflow.db")
    nameless.environment |= {**POOR[kind], "BROWSER_PATH": "/no/browser"}
    with tally.fault():
        trained = nameless.compare(workers=2).check()
        check_same(tally, nameless.folder / "mlflow.db", undisturbed())
        analysed = nameless.run("analyze").check()
        assert "\x1b" not in trained.out + trained.error + analysed.out  # colours and a bar need a terminal
