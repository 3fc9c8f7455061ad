"""Resolves and pins all dependencies of pyproject.toml, with hashes: `make lock` writes four files.

- requirements.lock holds the base set and the development tools that `make` installs.
- mlflow_server/requirements.lock holds the subset for the image of the tracking server, and mlflow_server/dashboard/requirements.lock
  that for the image of Optuna's dashboard, with the same versions.
- conda.yaml holds the base set, for `mlflow run`. With virtualenv or uv, mlflow installs only its `pip:` list, and takes the
  Python version from it, which must therefore be complete (major.minor.patch).

A package is pinned with the SHA-256 of each of its files, so that the lock fits every platform and pip refuses any other file.
torch has no hashes: indexes carry separate builds for CPUs and for versions of CUDA, and the right one depends on the machine.
It is installed first and without its dependencies, which come from the lock; only the CUDA libraries that it pins itself come
without hashes as well.
"""

import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).resolve().parents[1]
LOCK, SERVER_LOCK = ROOT / "requirements.lock", ROOT / "mlflow_server/requirements.lock"
DASHBOARD_LOCK = ROOT / "mlflow_server/dashboard/requirements.lock"
OF_TORCH = re.compile(r"torch==|nvidia-|cuda-|triton")
OF_SERVER = "mlflow[auth]\npsycopg[binary]\n"
# Dependencies of MLflow that a tracking server does not use: they load and draw models.
NOT_OF_SERVER = "matplotlib\nscikit-learn\nscipy\nskops\n"
OF_DASHBOARD = "optuna-dashboard==0.21.0\npsycopg[binary]\n"
LOCK_HEAD = "# {what}, pinned with hashes. Written by `make lock` from pyproject.toml; do not edit.\n"
CONDA_HEAD = """\
# The environment of `mlflow run`. Written by `make lock` from pyproject.toml; do not edit.
name: time-embedding-comparison
channels: [conda-forge, nodefaults]
dependencies:
  - python={python}
  - pip
  - pip:
"""


def resolved(*arguments: str, given: str = "") -> dict[str, str]:
    """Return {`name==version`: the lines that pin it} for the requirements and their dependencies; nothing is installed."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-annotate", "--no-header"]
    command += ["--generate-hashes", "--python-version", f"{sys.version_info[0]}.{sys.version_info[1]}", *arguments]
    output = subprocess.run(command, cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout
    blocks = re.split(r"\n(?=\S)", output.strip())
    return {block.split()[0]: f"{block}\n" for block in blocks}


def write(path: Path, what: str, blocks: Iterable[str]) -> None:
    """Write a lock file from blocks of lines."""
    path.write_text(LOCK_HEAD.format(what=what) + "".join(blocks))


def main() -> None:
    """Write the four files; versions in the present lock are kept if they still fit."""
    everything = resolved("pyproject.toml", "--extra", "dev", "--output-file", str(LOCK))
    locked = {pin: block for pin, block in everything.items() if not OF_TORCH.match(pin)}
    write(LOCK, "Every package of the environment but torch", locked.values())
    with NamedTemporaryFile("w", suffix=".txt") as left_out:
        left_out.write(NOT_OF_SERVER)
        left_out.flush()
        of_server = resolved("-", "--constraint", str(LOCK), "--excludes", left_out.name, given=OF_SERVER)
    write(SERVER_LOCK, "The packages of the tracking server", (locked[pin] for pin in of_server))
    write(
        DASHBOARD_LOCK,
        "The packages of Optuna's dashboard",
        resolved("-", "--constraint", str(LOCK), given=OF_DASHBOARD).values(),
    )
    base = [
        pin
        for pin in resolved("pyproject.toml", "--constraint", str(LOCK))
        if pin in locked or pin.startswith("torch==")
    ]
    lines = [f"      - {pin}\n" for pin in base]
    (ROOT / "conda.yaml").write_text(CONDA_HEAD.format(python=platform.python_version()) + "".join(lines))


if __name__ == "__main__":
    main()
