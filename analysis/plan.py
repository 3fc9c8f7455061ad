"""The plan of a study: its claims and their tests, declared before the runs.

This module imports only pydantic, so that the command line can use it quickly.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

PrimaryMetric = Literal["test_accuracy", "balanced_accuracy"]
_NO_MEAN = (
    "it is no mean over sequences, so that the two-way test over seeds and sequences has no standard error for it"
)
REFUSED_METRICS = {
    "best_accuracy": "it is the highest over epochs on the test split: a checkpoint chosen on test scores too high",
    "final_accuracy": "the last epoch was not chosen on validation",
    "macro_f1": (
        f"{_NO_MEAN}; balanced_accuracy answers the same need: each class counts the same, however rare it is"
    ),
    "negative_log_likelihood": (
        "it has no bound, so that a few sequences on which a model is sure and wrong decide its mean, and a test split without "
        "one says nothing of them: of pairs that differ by more than the margin, 61 % were called equivalent in simulation"
    ),
    "brier_score": (
        "it is that of the predicted class alone, by which a model that guesses among ten classes and is as sure as that (0.09) "
        "is ahead of one that is right in 60 % and as sure as that (0.24)"
    ),
    "calibration_error": _NO_MEAN,
    "risk_coverage": _NO_MEAN,
    "validation_accuracy": "the epoch was chosen by it",
}
"""Metrics that must not be the primary metric, with the reason."""
_NO_IMAGES = "It takes these sequences as given, and is shown beside the verdict."
_UNPAIRED = "it treats answers to the same sequences as independent samples"
_EPOCHS = "epochs of one run are no replicates: it finds a difference that is not there in 78 % of studies"
REFUSED_TESTS = {
    "epochs": _EPOCHS,
    "epoch_t": _EPOCHS,
    "chi_squared": _UNPAIRED,
    "two_proportions": _UNPAIRED,
    "unpaired_t_over_images": _UNPAIRED,
    "mcnemar": "it is about these weights, not the algorithm, and wrong in 23 % of studies; it is shown beside the verdict",
    "bootstrap_images": "it is about these weights, not the algorithm, and wrong in 23 % of studies",
    "bootstrap_seeds": "with 5 seeds its 95 % interval covers 83 %",
    "welch": f"it is wrong in 8 % of studies at 5 seeds, and in more with more seeds. {_NO_IMAGES}",
    "paired_t": f"it is wrong in 8 % of studies at 5 seeds. {_NO_IMAGES}",
    "wilcoxon": (
        "with S seeds its smallest two-sided p is 2 / 2^S, which is 0.0625 with 5 seeds and above 0.05: it can never be "
        f"significant with fewer than 6, or with fewer than 8 after Holm over six pairs. {_NO_IMAGES}"
    ),
    "sign_flip": f"its smallest p is that of Wilcoxon's test: 0.0625 with 5 seeds. {_NO_IMAGES}",
    "mann_whitney": (
        "its smallest two-sided p is 0.1 with 3 seeds, 0.029 with 4 and 0.0079 with 5, just under 0.05 / 6. "
        + _NO_IMAGES
    ),
}
"""Tests that must not give the verdicts, with the reason."""
FIRST_LOOK, LAST_LOOK = 3, 1000
"""Fewest seeds of a look, because fewer give no verdict, and most seeds."""
LOOKS = {5: 0.1, 10: 0.3, 20: 0.6}
"""The looks of a study that runs until it is decided: number of seeds to the share of alpha that the look spends."""
FRACTIONS = (0.4, 0.6, 0.8, 1.0)
"""The looks of such a study with a limit of its own, as fractions of the limit."""
LEAST_MOST = 8
"""Least such limit: its first look is at three seeds."""
LONGEST_NAME = 100
NAME = re.compile(rf"\w[\w .-]{{0,{LONGEST_NAME - 1}}}")
"""What a study and a variant may be called: their names become parts of names of folders, files, runs and models."""
NAMED = f"up to {LONGEST_NAME} letters, digits, spaces and _ . - that begin with a letter, a digit or _"
"""The same in words."""


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"must be {NAMED}, got {text!r}")
    return text


Name = Annotated[str, AfterValidator(_name)]
"""Such a name, as a field."""


def _listed(value: object) -> object:
    """Return a list as a tuple, because JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _pairs(value: object) -> object:
    """Return pairs of names in alphabetical order, because no order is part of the claim and the plan is hashed."""
    if not isinstance(value, list | tuple) or not all(map(_is_pair, value)):
        raise ValueError('must be a list of pairs of variants, such as [["lete", "position"], ["lete", "sincos"]]')
    return tuple(sorted((min(pair), max(pair)) for pair in value))


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2  # noqa: PLR2004 - of a pair
        and all(isinstance(name, str) and NAME.fullmatch(name) for name in value)
    )


class Plan(BaseModel):
    """How the variants of a study are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    primary_metric: PrimaryMetric = "test_accuracy"
    """Metric the verdicts are about, at the epoch that was best on validation: test accuracy, or its mean over the classes that occur."""
    test: Literal["two_way"] = "two_way"
    """Test that gives the verdicts: two-way test over seeds and images, in the form of Behrens and Fisher."""
    reference: str = ""
    """Variant the others are held against; empty means the first variant."""
    family: Literal["all", "reference", "pairs"] = "all"
    """Pairs the verdicts are declared for, and corrected over: all pairs, every variant against the reference, or those of `pairs`."""
    pairs: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = ()
    """The declared pairs of variants, such as [["lete", "position"], ["lete", "sincos"]], if the family is `pairs`."""
    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Level of the tests; intervals are at 1 - alpha."""
    margin: float = Field(0.002, gt=0, lt=1)
    """Largest difference of the primary metric, in [0, 1] units, that counts as equivalent."""
    pairing: Literal["paired", "unpaired"] = "paired"
    """Whether runs of one seed share their random streams across variants, and are compared seed by seed."""
    estimand: Literal["algorithm_new_images"] = "algorithm_new_images"
    """What is generalised over: re-trained models (seeds) on new images, both at once."""
    exclusions: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Runs or sequences that are left out on purpose, each with its reason, in words; empty for none."""
    looks: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()
    """Numbers of seeds at which the verdicts are looked at, ascending; empty for one look, at all seeds."""
    levels: Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed)] = ()
    """Level of the tests at each look; together no more than alpha."""

    def idle(self) -> set[str]:
        """Return the fields that claim nothing and are therefore left out of hashes.

        A field that is added to the project is listed here if it has the value of earlier versions, so that their hashes do not change.
        """
        unused = set() if self.looks else {"looks", "levels"}
        return unused if self.pairs else unused | {"pairs"}

    def declares(self, one: str, other: str, *, reference: str) -> bool:
        """Return whether a verdict is declared for two variants; `reference` is the name of the reference."""
        if self.family == "pairs":
            return (min(one, other), max(one, other)) in self.pairs
        return self.family == "all" or reference in (one, other)

    def effective(self) -> dict[str, Any]:
        """Return the fields that are part of hashes, as plain values."""
        return self.model_dump(mode="json", exclude=self.idle())

    def study_of(self, variants: Mapping[str, str]) -> str:
        """Return the id of a study by its plan and the hashes of its variants' configs.

        What says how many seeds there are is not in it, so that a study that is asked for with other looks is found to be the
        one that was declared.
        """
        claimed = {"plan": self.at(self.alpha).effective(), "variants": dict(variants)}
        return hashlib.sha256(json.dumps(claimed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]

    def at(self, level: float) -> Self:
        """Return the plan of a single look of this plan, at the level of that look."""
        return self.model_copy(update={"alpha": level, "looks": (), "levels": ()})

    def until_decided(self, most_seeds: int | None = None) -> Self:
        """Return this plan with looks at `LOOKS`, or at `FRACTIONS` of `most_seeds` with O'Brien-Fleming levels."""
        if most_seeds is None:
            levels = tuple(round(share * self.alpha, 12) for share in LOOKS.values())
            return self.model_copy(update={"looks": tuple(LOOKS), "levels": levels})
        looks = tuple(round(part * most_seeds) for part in FRACTIONS)
        return self.model_copy(update={"looks": looks, "levels": spent(looks, self.alpha)})

    @field_validator("looks")
    @classmethod
    def _check_looks(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        ascending = list(looks) == sorted(set(looks))
        if not ascending or any(not FIRST_LOOK <= seeds <= LAST_LOOK for seeds in looks):
            raise ValueError(f"must be numbers of seeds from {FIRST_LOOK} to {LAST_LOOK}, each above the one before")
        return looks

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if len(self.levels) != len(self.looks):
            raise ValueError(f"levels: must be one for each of the {len(self.looks)} looks, got {len(self.levels)}")
        if sum(self.levels) > self.alpha * (1 + 1e-9):
            raise ValueError(f"levels: must add up to at most alpha, {self.alpha:g}, got {sum(self.levels):g}")
        return self

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if (self.family == "pairs") != bool(self.pairs):
            raise ValueError(
                f"pairs: must be named if the family is 'pairs', and only then, got {len(self.pairs)} with family {self.family!r}"
            )
        if same := [one for one, other in self.pairs if one == other]:
            raise ValueError(f"pairs: must each be of two variants, got {same[0]} twice in one")
        if len(set(self.pairs)) < len(self.pairs):
            twice = next(one for one, other in pairwise(self.pairs) if one == other)
            raise ValueError(f"pairs: must each be named once, got {' and '.join(twice)} twice")
        return self

    @field_validator("primary_metric", mode="before")
    @classmethod
    def _refuse_metric(cls, name: object) -> object:
        if isinstance(name, str) and name in REFUSED_METRICS:
            allowed = " or ".join(map(repr, get_args(PrimaryMetric)))
            raise ValueError(f"must be {allowed} ({REFUSED_METRICS[name].rstrip('.')})")
        return name

    @field_validator("test", mode="before")
    @classmethod
    def _refuse_test(cls, name: object) -> object:
        if isinstance(name, str) and name in REFUSED_TESTS:
            raise ValueError(f"must be 'two_way' ({REFUSED_TESTS[name].rstrip('.')})")
        return name


def spent(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the level of each look: the increment of Lan and DeMets' spending function (1983) of the O'Brien-Fleming type.

    At the fraction t of the seeds, 2 - 2 Phi(z / sqrt t) is spent, where z is the upper normal quantile of alpha / 2. The levels add
    up to alpha, so they are valid for any dependence of the looks (Bonferroni). They are rounded down to multiples of alpha / 10,000,
    because the plan is hashed.
    """
    normal = NormalDist()
    sums = [0.0, *(2 * normal.cdf(normal.inv_cdf(alpha / 2) / (seeds / looks[-1]) ** 0.5) for seeds in looks)]
    parts = [int(10_000 * (after - before) / alpha) / 10_000 for before, after in pairwise(sums)]
    return tuple(round(part * alpha, 12) for part in parts)


class Declaration(BaseModel):
    """All that was fixed before the runs of a study; what it says is never overwritten."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Plan
    seeds: tuple[int, ...]
    identity: dict[str, dict[str, str]]
    """What decides the numbers of each variant's runs: config, code, data, torch, precision and device."""
    declared: str = ""
    """When, in ISO 8601."""
    finished_before: tuple[str, ...] = ()
    """Runs that were finished already when the plan was declared, and might have been seen."""

    @property
    def hash(self) -> str:
        """Return the SHA-256 of plan, seeds and identities: the same wherever the same study is declared."""
        claimed = self.model_dump(mode="json", exclude={"declared", "finished_before"}) | {
            "plan": self.plan.effective()
        }
        return hashlib.sha256(json.dumps(claimed, sort_keys=True).encode()).hexdigest()
