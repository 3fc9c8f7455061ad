"""The base of every config: frozen, closed, and documented field by field."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class ModelError(ValueError):
    """Input that a model cannot take; one line of the form `where: what must hold, got value. what to do`."""


class Config(BaseModel):
    """A node of the config tree: immutable, refuses unknown keys, and keeps each field's docstring as its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    def idle(self) -> set[str]:
        """Return the settings that change no number beside the others.

        They are no part of a run's identity. A setting that is new is listed here at the value that keeps what was, so that
        runs from before it stay what they are.
        """
        return set()

    def effective(self) -> dict[str, Any]:
        """Return the settings that can change a number, nested as they are."""
        idle = self.idle()
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in idle}
        return {name: value.effective() if isinstance(value, Config) else value for name, value in values.items()}
