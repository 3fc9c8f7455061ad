"""The base of every config: frozen, closed, and documented field by field."""

from pydantic import BaseModel, ConfigDict


class ModelError(ValueError):
    """Input that a model cannot take; one line of the form `where: what must hold, got value. what to do`."""


class Config(BaseModel):
    """A node of the config tree: immutable, refuses unknown keys, and keeps each field's docstring as its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
