"""Getting data, training, tracking and the verbs of the command line.

`from pipeline import compare` is the door for notebooks and scripts (`pipeline/api`). What it needs is imported when it is
asked for: `import pipeline` costs nothing.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.api import Report, Study, compare

__all__ = ["Report", "Study", "compare"]


def __getattr__(name: str) -> object:
    """Return a name of the API."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("pipeline.api"), name)


class _Package(ModuleType):
    """This package, in which `compare` is the function of the API.

    There is a module of that name, too, which Python would put in its place as soon as it is imported. It is reached by
    `from pipeline.compare import ...` alone.
    """

    def _compare(self) -> object:
        return import_module("pipeline.api").compare

    def _keep(self, _module: object) -> None:
        pass


setattr(_Package, "compare", property(_Package._compare, _Package._keep))  # noqa: B010, SLF001 - the name is typed above
sys.modules[__name__].__class__ = _Package
