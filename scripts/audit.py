"""Checks the locked packages for known vulnerabilities: `make audit`.

The exit code is 0 if there are none, 1 if there are some, and 3 if the service does not answer, which proves nothing.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.console import say

ROOT = Path(__file__).resolve().parents[1]
NO_ANSWER = 3


def audited(requirements: list[str]) -> list[dict[str, Any]] | str:
    """Return the result of pip-audit for each pinned package, or one line with the reason why there is none."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "requirements.txt"
        file.write_text("\n".join(requirements))
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        done = subprocess.run(
            [*command, "--format", "json", "--requirement", file], capture_output=True, text=True, check=False
        )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return (done.stderr.strip().splitlines() or ["no output"])[-1][:300]
    return found


def verdict(found: list[dict[str, Any]] | str) -> tuple[int, list[str]]:
    """Return the exit code and the lines of the report."""
    if isinstance(found, str):
        return NO_ANSWER, [f"audit: a service of known vulnerabilities must answer, got {found}. Nothing was audited."]
    unknown = [package["name"] for package in found if "skip_reason" in package]
    if len(unknown) == len(found):
        got = f"none that knows any of {len(found)} packages"
        return NO_ANSWER, [f"audit: a service of known vulnerabilities must answer, got {got}. Nothing was audited."]
    lines = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no release'}"
        for package in found
        for flaw in package.get("vulns", [])
    ]
    left_out = f"; not known to the service: {', '.join(unknown)}" if unknown else ""
    return bool(lines), [*lines, f"audit: {len(lines)} known vulnerabilities in {len(found)} packages{left_out}"]


def main() -> None:
    """Audit requirements.lock, and torch, which the lock leaves out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    torch = [pin for pin in project["dependencies"] if pin.startswith("torch==")]
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    code, lines = verdict(audited([*torch, *(line.removesuffix(" \\") for line in lock if line[:1].isalnum())]))
    for line in lines:
        say(line)
    sys.exit(code)


if __name__ == "__main__":
    main()
