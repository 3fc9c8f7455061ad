"""Resolves the dependencies of pyproject.toml and pins them all: `make lock` writes requirements.lock and conda.yaml.

- requirements.lock holds the base set and the development tools: what `make` installs.
- conda.yaml holds the base set, for `mlflow run`. With virtualenv or uv, mlflow installs only its `pip:` list, and takes
  the Python version from it, which must then be whole.
- What a CUDA build of torch needs is left to torch's own pins: a CPU build must not drag in gigabytes of it.
"""

import json
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OF_TORCH_ON_CUDA = re.compile(r"nvidia-|cuda-|triton")
LOCK_HEAD = "# Every package of the environment, pinned. Written by `make lock` from pyproject.toml; do not edit.\n"
CONDA_HEAD = """\
# The environment of `mlflow run`. Written by `make lock` from pyproject.toml; do not edit.
name: time-embedding-comparison
channels: [conda-forge, nodefaults]
dependencies:
  - python={python}
  - pip
  - pip:
"""


def pins(requirements: list[str]) -> list[str]:
    """Return `name==version` of the requirements and of all that they need, sorted; nothing is installed."""
    report = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-qq",
            "--dry-run",
            "--ignore-installed",
            "--report",
            "-",
            *requirements,
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    found = [item["metadata"] for item in json.loads(report.stdout)["install"]]
    # A build of torch for one device calls itself 2.13.0+cpu; the pin holds for all of them.
    lines = {f"{package['name']}=={package['version'].partition('+')[0]}" for package in found}
    return sorted((line for line in lines if not OF_TORCH_ON_CUDA.match(line)), key=str.lower)


def main() -> None:
    """Write both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    everything = pins([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    (ROOT / "requirements.lock").write_text(LOCK_HEAD + "".join(f"{line}\n" for line in everything))
    base = {line.partition("==")[0] for line in pins(project["dependencies"])}
    lines = [f"      - {line}\n" for line in everything if line.partition("==")[0] in base]
    (ROOT / "conda.yaml").write_text(CONDA_HEAD.format(python=platform.python_version()) + "".join(lines))


if __name__ == "__main__":
    main()
