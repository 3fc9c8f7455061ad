"""The code of a stored model: a ZIP file of the project's modules that it imports, and pins of the packages that it needs."""

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
"""Packages that pykan imports without declaring them as dependencies."""
ALONE = "torch"
"""A package whose dependencies are not pinned: the CUDA libraries that it needs depend on the machine."""
PACKED = (1980, 1, 1, 0, 0, 0)
"""The time of all packed files, so that the same code gives the same bytes; it is the earliest that ZIP can store."""


@cache
def packed_code(root: str = INFERENCE) -> bytes:
    """Return a ZIP file with the project's modules that `root` imports; Python can import them from the file."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(modules_of(root).values()):
            file.writestr(
                zipfile.ZipInfo(path.relative_to(ROOT).as_posix(), PACKED), path.read_bytes(), zipfile.ZIP_DEFLATED
            )
    return archive.getvalue()


def modules_of(root: str) -> dict[str, Path]:
    """Return the project's modules that a module imports, directly or indirectly, also within functions: name to file.

    Of an `__init__.py`, only imports at its top level count: a package may be included only because one of its modules is.
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
    """Yield the dotted names that a file imports at its top level; with `later`, also those imported in functions and branches."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if later else tree.body:
        if isinstance(node, ast.Import):
            yield from (part.name for part in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{part.name}" for part in node.names)


def _file(module: str) -> Path | None:
    """Return the file of a module or a package; None if the dotted name is a name within a module."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


@cache
def pins() -> tuple[str, ...]:
    """Return `name==version` of each package that a stored model needs, and of their dependencies, as installed here."""
    versions: dict[str, str] = {}
    waiting = [*LIBRARIES, *OF_PYKAN]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in versions:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # a dependency on another platform only
            continue
        versions[name] = package.version.partition("+")[0]  # another machine's package index may have another build
        needs = [] if name == ALONE else [need for need in package.requires or () if "extra ==" not in need]
        waiting += [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs]
    return tuple(f"{name}=={version}" for name, version in sorted(versions.items()))
