"""The base class of configs: immutable, without unknown keys, and documented field by field."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

LARGEST = 2**63 - 1
"""Largest whole number of a setting: tensors and databases store at most 64 bits."""


def listed(value: object) -> object:
    """Return a tuple from a list, because JSON has no tuples, or from names separated by commas, as on a command line."""
    if isinstance(value, str) and value:
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, list) else value


class ModelError(ValueError):
    """Input that a model does not accept; one line of the form `where: what must hold, got value. what to do`."""


class Config(BaseModel):
    """A node of the config tree: it is immutable, refuses unknown keys, and uses the docstring of each field as its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _fits_64_bits(cls, value: object) -> object:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"must be at most {LARGEST}")
        return value

    def idle(self) -> set[str]:
        """Return the settings that, given the others, change no number.

        They are not part of a run's identity. A setting that is added to the project is returned here if it has the value of earlier
        versions, so that the identities of earlier runs do not change.
        """
        return set()

    def effective(self) -> dict[str, Any]:
        """Return the settings that can change a number, as nested dictionaries."""
        idle = self.idle()
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in idle}
        return {name: value.effective() if isinstance(value, Config) else value for name, value in values.items()}
