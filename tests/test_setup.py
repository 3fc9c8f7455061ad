"""The files that make the environment agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = TOOLS["project"]
EXTRAS = PROJECT["optional-dependencies"]


def same_name(pin):
    return re.sub(r"\[.*\]", "", pin).lower().replace("_", "-")


def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [same_name(line) for line in lines if not line.startswith("#")]


def pip_list(name):
    return yaml.safe_load((ROOT / name).read_text())["dependencies"][-1]["pip"]


def python_of(name):
    return next(
        entry for entry in yaml.safe_load((ROOT / name).read_text())["dependencies"] if entry.startswith("python=")
    )


def test_every_dependency_is_pinned_and_locked_as_pinned():
    assert {same_name(pin) for pin in PROJECT["dependencies"] + EXTRAS["dev"]} <= set(locked())
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in [*locked(), *EXTRAS["cuda"]])


def test_mlflow_run_builds_the_locked_environment():
    packages = [same_name(pin) for pin in pip_list("conda.yaml")]
    assert {same_name(pin) for pin in PROJECT["dependencies"]} <= set(packages) <= set(locked())
    # A development tool that nothing of the base set needs stays out.
    assert not {line for line in packages if line.startswith(("pytest", "ruff", "mypy=="))}


@pytest.mark.parametrize("name", ["conda.yaml", "conda-cuda.yaml"])
def test_the_python_version_is_whole(name):
    assert re.fullmatch(r"python=3\.11\.\d+", python_of(name))


def test_the_cuda_environment_adds_its_packages_to_the_locked_ones():
    assert pip_list("conda-cuda.yaml") == ["-r requirements.lock"]
    text = (ROOT / "conda-cuda.yaml").read_text()
    assert all(pin in text for pin in EXTRAS["cuda"])


def test_no_file_of_the_environment_names_the_host_of_a_registry():
    for name in (
        "requirements.lock",
        "conda.yaml",
        "conda-cuda.yaml",
        "Makefile",
        "pyproject.toml",
        ".pre-commit-config.yaml",
    ):
        assert "://" not in (ROOT / name).read_text(), name


def test_ci_runs_what_make_test_runs():
    commands = (ROOT / ".ci/run").read_text().splitlines()
    assert commands[-1] == "make test"
    steps = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "check-jsonschema", "hadolint", "pytest"):
        assert f".venv/bin/{tool}" in steps
