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
TORCH = next(pin.removeprefix("torch==") for pin in PROJECT["dependencies"] if pin.startswith("torch=="))
INSTALLING = ("Dockerfile", "mlflow_server/Dockerfile", "mlflow_server/dashboard/Dockerfile", "conda-cuda.yaml")


def same_name(pin):
    return re.sub(r"\[.*\]", "", pin).lower().replace("_", "-")


def pins_of(name):
    """Return the packages of a lock, each with its hashes."""
    blocks = re.findall(r"^(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", (ROOT / name).read_text(), re.MULTILINE)
    return {pin: hashes.count("sha256") for pin, hashes in blocks}


LOCK = pins_of("requirements.lock")
LOCKS_OF_SERVERS = ["mlflow_server/requirements.lock", "mlflow_server/dashboard/requirements.lock"]


def pip_list(name):
    return yaml.safe_load((ROOT / name).read_text())["dependencies"][-1]["pip"]


def python_of(name):
    return next(
        entry for entry in yaml.safe_load((ROOT / name).read_text())["dependencies"] if entry.startswith("python=")
    )


def test_every_dependency_is_pinned_and_locked_as_pinned():
    pinned = {same_name(pin) for pin in PROJECT["dependencies"] + EXTRAS["dev"]}
    assert {pin for pin in pinned if pin not in LOCK} == {f"torch=={TORCH}"}  # every index has builds of its own
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in [*LOCK, *EXTRAS["cuda"]])


@pytest.mark.parametrize("name", ["requirements.lock", *LOCKS_OF_SERVERS])
def test_every_locked_package_has_its_hashes(name):
    lock = pins_of(name)
    assert all(lock.values())
    # Nothing else stands in the file than these lines and its head.
    lines = (ROOT / name).read_text().splitlines()
    assert len([line for line in lines if not line.startswith("#")]) == len(lock) + sum(lock.values())


def test_the_servers_have_the_versions_of_the_pipeline():
    server, dashboard = (pins_of(name) for name in LOCKS_OF_SERVERS)
    assert server.items() <= LOCK.items()
    assert {"mlflow", "psycopg", "psycopg-binary"} <= {pin.partition("==")[0] for pin in server}
    # The pipeline knows neither the dashboard nor what only that needs.
    own = {pin.partition("==")[0] for pin, _ in dashboard.items() - LOCK.items()}
    assert own == {"optuna-dashboard", "bottle"}


def test_every_installation_checks_hashes_and_torch_alone_has_none():
    torch = rf"torch=={re.escape(TORCH)}"
    steps = subprocess.run(
        ["make", "--always-make", "-n", "setup"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name, text in {"make": steps, **{file: (ROOT / file).read_text() for file in INSTALLING}}.items():
        calls = re.findall(r"pip install [^&;\n]*", text.replace("\\\n", ""))
        locked = [call for call in calls if "requirements.lock" in call]
        assert locked, name
        assert all("--no-deps --require-hashes" in call for call in locked), name
        others = [call for call in calls if call not in locked]
        allowed = rf"{torch}|pyproject.toml|EXTRA_PACKAGES|mamba-ssm"
        assert all(re.search(allowed, call) for call in others), others


def test_mlflow_run_builds_the_locked_environment():
    packages = [same_name(pin) for pin in pip_list("conda.yaml")]
    assert {same_name(pin) for pin in PROJECT["dependencies"]} <= set(packages) <= {*LOCK, f"torch=={TORCH}"}
    # A development tool that nothing of the base set needs stays out.
    assert not {line for line in packages if line.startswith(("pytest", "ruff", "mypy=="))}


@pytest.mark.parametrize("name", ["conda.yaml", "conda-cuda.yaml"])
def test_the_python_version_is_whole(name):
    assert re.fullmatch(r"python=3\.11\.\d+", python_of(name))


def test_the_cuda_environment_adds_its_packages_to_the_locked_ones():
    text = (ROOT / "conda-cuda.yaml").read_text()
    assert all(pin in text for pin in EXTRAS["cuda"])


def test_no_file_of_the_environment_names_the_host_of_a_registry():
    for name in (
        "requirements.lock",
        *LOCKS_OF_SERVERS,
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


def test_the_workflow_runs_what_a_submission_must_pass():
    job = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert {"python-version": "3.11"} in [step.get("with") for step in job["steps"]]


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]["text"]


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ("no network", 3, "got no network. Nothing was audited"),
        ([{"name": "a", "skip_reason": "Dependency not found"}], 3, "none that knows any of 1 packages"),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}],
            0,
            "not known to the service: b",
        ),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            1,
            "a 1: CVE-1, mended in 2",
        ),
    ],
    ids=["silent", "ignorant", "clean", "flawed"],
)
def test_an_audit_that_nobody_answers_is_no_success(found, code, said):
    from scripts.audit import verdict  # noqa: PLC0415

    given, lines = verdict(found)
    assert given == code
    assert said in "\n".join(lines)
