"""A copy of the checkout whose stack runs in containers, for `make test-stack`."""

import os
import shutil
import subprocess

import pytest
from containers import BASES, Stack, free_port

from pipeline.identity import ROOT


def copy(folder):
    """Copy what git knows of the checkout, and what it would add."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope="session")
def stack(request, tmp_path_factory):
    """The stack of a fresh copy, built and up, with secrets that `make secrets` wrote. It is deleted in the end, images are kept."""
    report, capture = map(request.config.pluginmanager.get_plugin, ("terminalreporter", "capturemanager"))

    def say(line):
        with capture.global_and_fixture_disabled():
            report.write_line(f"    {line}")

    folder = tmp_path_factory.mktemp("stack") / "checkout"
    folder.mkdir()
    copy(folder)
    it = Stack(folder, say)
    it.give_back()
    it.run(ROOT / "tests/mlflow_server/stand_ins/make.sh", *BASES)
    it.book("make secrets")
    it.compose("--profile", "*", "down", "--volumes", "--remove-orphans")
    for name in ("MLFLOW_PORT", "SERVING_PORT", "DASHBOARD_PORT"):
        it.set(name, free_port())
    it.set("TORCH_INDEX", os.environ.get("TORCH_INDEX", ""))
    try:
        it.book("docker compose up --detach --build --wait")
        yield it
    finally:
        (folder.parent / "server.log").write_text(it.compose("logs", "--no-color", code=None))
        it.compose("--profile", "*", "down", "--volumes", "--remove-orphans", code=None)
