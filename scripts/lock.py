"""Resolves the dependencies of pyproject.toml and pins them all, with hashes: `make lock` writes four files.

- requirements.lock holds the base set and the development tools: what `make` installs.
- mlflow_server/requirements.lock holds what the image of the tracking server needs of it, and mlflow_server/dashboard/requirements.lock
  what that of Optuna's dashboard needs, with the same versions.
- conda.yaml holds the base set, for `mlflow run`. With virtualenv or uv, mlflow installs only its `pip:` list, and takes the
  Python version from it, which must then be whole.

A package is pinned with the SHA-256 of each of its files, so that the lock fits every platform, and pip refuses another file.
torch has none: indexes carry builds of their own for CPUs and for versions of CUDA, and which is right depends on the machine.
It is installed first and without what it needs, which comes from the lock; only the libraries of CUDA that it pins itself come
without hashes, too.
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
# What a tracking server of MLflow does not use: they load and draw models.
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
    """Return `name==version` of the requirements and of all that they need, and the lines that pin it; nothing is installed."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-annotate", "--no-header"]
    command += ["--generate-hashes", "--python-version", f"{sys.version_info[0]}.{sys.version_info[1]}", *arguments]
    output = subprocess.run(command, cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout
    blocks = re.split(r"\n(?=\S)", output.strip())
    return {block.split()[0]: f"{block}\n" for block in blocks}


def write(path: Path, what: str, blocks: Iterable[str]) -> None:
    """Write a lock of these blocks of lines."""
    path.write_text(LOCK_HEAD.format(what=what) + "".join(blocks))


def main() -> None:
    """Write the files. What the present lock holds is kept where it still fits."""
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
