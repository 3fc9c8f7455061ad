"""What goes with a stored model: the modules of the project that it imports, packed, and pins of the packages that it needs."""

import ast
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from io import BytesIO
from pathlib import Path

from pipeline.code import PACKAGES
from pipeline.place import ROOT

INFERENCE = "pipeline.inference"
"""The module that a stored model calls."""
LIBRARIES = ("mlflow", "torch", "numpy", "pandas", "pyarrow", "pydantic", "numba", "llvmlite", "pykan")
"""Packages that the modules of a stored model import."""
OF_PYKAN = ("sympy", "matplotlib", "scikit-learn", "PyYAML", "tqdm")
"""Packages that pykan imports, which declares none."""
ALONE = "torch"
"""A package whose own needs are left to it: which libraries of CUDA it takes depends on the machine."""
PACKED = (1980, 1, 1, 0, 0, 0)
"""The time that packed files have, so that the same code is the same bytes; ZIP knows none before."""


@cache
def packed_code(root: str = INFERENCE) -> bytes:
    """Return a ZIP file with the modules of the project that importing `root` takes, from which Python can import them."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(modules_of(root).values()):
            file.writestr(
                zipfile.ZipInfo(path.relative_to(ROOT).as_posix(), PACKED), path.read_bytes(), zipfile.ZIP_DEFLATED
            )
    return archive.getvalue()


def modules_of(root: str) -> dict[str, Path]:
    """Return the files of the project that a module imports, at once or later, and that those import, by their names.

    Of a package that is there only because one of its modules is, what it imports later is left out.
    """
    found: dict[str, Path] = {}
    waiting = [root]
    while waiting:
        parts = waiting.pop().split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if parts[0] not in PACKAGES or name in found or not (path := _file(name)):
                continue
            found[name] = path
            waiting += imported(path, later=path.name != "__init__.py")
    return found


def imported(path: Path, *, later: bool) -> Iterator[str]:
    """Yield the dotted names that a file imports: only at its top level, or `later`, too, in functions and branches."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if later else tree.body:
        if isinstance(node, ast.Import):
            yield from (part.name for part in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{part.name}" for part in node.names)


def _file(module: str) -> Path | None:
    """Return the file of a module or a package; None where a dotted name is something within a module."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


@cache
def pins() -> tuple[str, ...]:
    """Return `name==version` of each package that a stored model needs, and of what these need, as installed here."""
    versions: dict[str, str] = {}
    waiting = [*LIBRARIES, *OF_PYKAN]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in versions:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # a need of another platform
            continue
        versions[name] = package.version.partition("+")[0]  # an index may have other builds than the one here
        needs = [] if name == ALONE else [need for need in package.requires or () if "extra ==" not in need]
        waiting += [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs]
    return tuple(f"{name}=={version}" for name, version in sorted(versions.items()))
