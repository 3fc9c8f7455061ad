"""Where the files are that come with the code: in a checkout beside the packages, in a wheel within this one."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the packages: the checkout, or `site-packages`."""
PACKED = Path(__file__).parent / "packed"
"""Where a wheel has them (`pyproject.toml`, `force-include`)."""
DISTRIBUTION = "time-embedding-comparison"
"""What the project is called where it is installed."""


def own_file(name: str) -> Path:
    """Return a file or folder of the project, such as `conda.yaml` or `config`."""
    return PACKED / name if PACKED.is_dir() else ROOT / name


def is_checkout() -> bool:
    """Say whether the code runs from a checkout, whose folders may be written to."""
    return (ROOT / "pyproject.toml").is_file()


def preset_or(path: Path) -> Path:
    """Return a path, or the preset of that name, `config/quick.json` say, where there is no file."""
    preset = own_file("config") / path.name
    return preset if path.parent == Path("config") and not path.exists() and preset.is_file() else path
