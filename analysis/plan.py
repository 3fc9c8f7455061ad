"""The plan of a study: what is claimed and how it is tested, declared before the runs.

It imports no more than pydantic, so that a command line can describe it at once.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Plan(BaseModel):
    """How the variants of a study are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    primary_metric: Literal["test_accuracy"] = "test_accuracy"
    """Metric the verdicts are about: test accuracy at the epoch that was best on validation."""
    reference: str = ""
    """Variant the others are held against; empty means the first variant."""
    family: Literal["all", "reference"] = "all"
    """Pairs the verdicts are declared for, and corrected over: all pairs, or every variant against the reference."""
    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Level of the tests; intervals are at 1 - alpha."""
    margin: float = Field(0.002, gt=0, lt=1)
    """Largest difference of accuracy, in [0, 1] units, that counts as equivalent."""
    pairing: Literal["paired", "unpaired"] = "paired"
    """Whether runs of one seed share their random streams across variants, and are compared seed by seed."""
    estimand: Literal["algorithm_new_images"] = "algorithm_new_images"
    """What is generalised over: re-trained models (seeds) on new images, both at once."""
