"""Loading of data, training, tracking, and the verbs of the command line.

`from pipeline import compare` is the entry point for notebooks and scripts (`pipeline/api`). Its modules are imported on
first use, so `import pipeline` itself is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.api import Report, Study, compare

__all__ = ["Report", "Study", "compare"]


def __getattr__(name: str) -> object:
    """Return a name of the API."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("pipeline.api"), name)
