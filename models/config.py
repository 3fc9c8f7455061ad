"""The base of every config: frozen, closed, and documented field by field."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

LARGEST = 2**63 - 1
"""Largest whole number of a setting: tensors and databases hold no larger one."""


def listed(value: object) -> object:
    """Take a list for a tuple, as JSON has no other, and names with commas between them, as a command line has no list."""
    if isinstance(value, str) and value:
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, list) else value


class ModelError(ValueError):
    """Input that a model cannot take; one line of the form `where: what must hold, got value. what to do`."""


class Config(BaseModel):
    """A node of the config tree: immutable, refuses unknown keys, and keeps each field's docstring as its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _fits_64_bits(cls, value: object) -> object:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"must be at most {LARGEST}")
        return value

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
