"""Locations of the files that come with the code: beside the packages in a checkout, within this package in a wheel."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the packages: the checkout, or `site-packages`."""
PACKED = Path(__file__).parent / "packed"
"""Folder of these files in a wheel (`pyproject.toml`, `force-include`)."""
DISTRIBUTION = "time-embedding-comparison"
"""Name of the installed distribution."""


def own_file(name: str) -> Path:
    """Return a file or folder of the project, such as `conda.yaml` or `config`."""
    return PACKED / name if PACKED.is_dir() else ROOT / name


def is_checkout() -> bool:
    """Return whether the code runs from a checkout, whose folders may be written to."""
    return (ROOT / "pyproject.toml").is_file()


def preset_or(path: Path) -> Path:
    """Return a path unchanged if it exists; otherwise the project's preset of that name, such as `config/quick.json`, if any."""
    preset = own_file("config") / path.name
    return preset if path.parent == Path("config") and not path.exists() and preset.is_file() else path
