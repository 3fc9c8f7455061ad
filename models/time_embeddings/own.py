"""A user's own embedding: the source of its class is a setting, so that it needs no file and no line in the registry.

The source is part of the config of a run. Workers, the analysis, and a served model build the class from it, even if it was
written in a notebook, in a script, or in a module that only its author has. `pipeline/api/source.py` collects the source.

Code from a store or a file is not executed. A source is executed only in the process in which the user handed over its class, in the
processes that this one launches, and if RUN_STORED_CODE allows it.
"""

import ast
import hashlib
import inspect
import json
import linecache
import os
import sys
from abc import abstractmethod
from functools import cache
from types import ModuleType
from typing import Any, Literal

from torch import Tensor, nn

from models.config import ModelError
from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding, TimeEmbedding, TimeEmbeddingConfig

ALLOWED = "RUN_STORED_CODE"
"""Environment variable that, set to `true`, allows sources to be executed that were not handed over in this process."""
_handed_over: set[str] = set()


class OwnEmbeddingConfig(TimeEmbeddingConfig):
    """A class of the user's own, by its source."""

    source: str
    """Python that defines the class and all of the user's own code that it uses."""
    kind: str
    """Name of the class in it."""
    arguments: str = "{}"
    """What its constructor is given beside `dim`: a JSON object."""

    @abstractmethod
    def build(self, *, horizon: float) -> TimeEmbedding:
        """Build the module for times below `horizon`."""

    def trust(self) -> None:
        """Allow the source to be executed in this process."""
        _handed_over.add(self.source)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Trust a source that is unpickled: pickles come only from the process that launched this one."""
        super().__setstate__(state)
        self.trust()

    def effective(self) -> dict[str, Any]:
        """Return the settings with the source in normalised form, so that comments and layout do not change the identity of a run."""
        return {**super().effective(), "source": ast.unparse(ast.parse(self.source))}

    def project_names(self) -> set[tuple[str, str]]:
        """Return (module, name) of each import from `models` in the source, because their code is part of a run's identity, too."""
        imports = [node for node in ast.walk(ast.parse(self.source)) if isinstance(node, ast.ImportFrom)]
        return {
            (node.module, name.name)
            for node in imports
            if node.module and node.module.split(".")[0] == "models"
            for name in node.names
        }

    def made(self, horizon: float) -> nn.Module:
        """Return an instance of the class, built with `dim`, the arguments, and `horizon` if the constructor takes it.

        ModelError if the source must not be executed here, or if the constructor does not take these arguments.
        """
        if self.source not in _handed_over and os.environ.get(ALLOWED) != "true":
            raise ModelError(
                f"model.embedding: must be a class that was handed over here, got {self.kind} as source from a store or a "
                f"file, which is not run. Call compare with the class, or set {ALLOWED}=true if you trust it."
            )
        kind = getattr(_module(self.source), self.kind)
        arguments = {"dim": self.dim, **json.loads(self.arguments)}
        if "horizon" in inspect.signature(kind).parameters:
            arguments["horizon"] = horizon
        try:
            made = kind(**arguments)
        except TypeError as error:
            given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            raise ModelError(
                f"model.embedding: must be built by {self.kind}({given}), got TypeError: {error}. Correct its constructor."
            ) from error
        assert isinstance(made, nn.Module)  # noqa: S101 - checked when the source was collected
        return made


class OwnPointwiseConfig(PointwiseConfig, OwnEmbeddingConfig):
    """An embedding of one number per event: a `PointwiseEmbedding`, or any module from numbers (U,) to codes (U, D)."""

    name: Literal["own"] = "own"

    def encoder(self, *, horizon: float) -> PointwiseEmbedding:
        """Build the module; `auto` leaves times in the unit of the data set."""
        made = self.made(horizon)
        return made if isinstance(made, PointwiseEmbedding) else OwnModule(self.dim, made)


class OwnSequenceConfig(OwnEmbeddingConfig):
    """An embedding that sees the whole sequence: a `TimeEmbedding`."""

    name: Literal["own_sequence"] = "own_sequence"

    def build(self, *, horizon: float) -> TimeEmbedding:
        """Build the module, which scales the times itself; `ModelError` for `time_scale: unit`."""
        if self.time_scale == "unit":
            raise ModelError(
                "model.embedding.time_scale: must be auto or raw for a class that sees whole sequences, got 'unit'. "
                f"Divide by horizon in {self.kind}."
            )
        made = self.made(horizon)
        assert isinstance(made, TimeEmbedding)  # noqa: S101 - as above
        return made


class OwnModule(PointwiseEmbedding):
    """A plain module, used as a pointwise embedding."""

    def __init__(self, dim: int, module: nn.Module) -> None:
        """Keep a module from numbers (U,) to codes (U, dim)."""
        super().__init__(dim)
        self.module = module

    @property
    def frequencies(self) -> object:
        """The module's attribute `frequencies`, which gets the learning rate of frequencies, as in this project's embeddings."""
        return getattr(self.module, "frequencies", None)

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        codes_UD: Tensor = self.module(times)
        return codes_UD


@cache
def _module(source: str) -> ModuleType:
    """Return a Python module with this source, which tracebacks and `inspect` can show."""
    name = f"own_embedding_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    module = sys.modules[name] = ModuleType(name)
    linecache.cache[f"<{name}>"] = (len(source), None, source.splitlines(keepends=True), f"<{name}>")
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - see `made`
    return module
