"""A study: variants of one base config, trained over the same seeds, and the plan by which they are compared.

A study file is JSON: `{"base": {path: value}, "variants": {name: {path: value}}, "seeds": [0, 1], "plan": {...}}`.
Any other key is a setting of the base. A setting that only some variants have applies to those only.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from analysis.plan import FIRST_LOOK, LAST_LOOK, LEAST_MOST, LONGEST_NAME, NAME, NAMED, Plan
from analysis.wording import shortened
from models.config import LARGEST
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.config import RunConfig, config_hash
from pipeline.errors import UsageError, shown, unknown, validate
from pipeline.settings import Values, build_run, fits, misfit, resolve_all
from pipeline.streams import seeds_apart

DEFAULT_MODELS = ("position", "sincos", "lete", "kan_mammote")
"""Variants of a study that names none: the four required models, the baseline first."""
DEFAULT_SEEDS = (0, 1, 2, 3, 4)
"""Seeds of a study that names none."""
LABEL = 9
"""Characters of a model's name in the name of its run. The seed is then within the first twelve, and lists of runs show few more."""
LARGEST_FILE = 2**26
"""Largest size of a JSON file, in bytes."""
DEEPEST = 20
"""Deepest nesting of brackets in a JSON file."""
STUDY_KEYS = ("base", "variants", "seeds", "plan", "tuning_trials")


@dataclass(frozen=True)
class Cell:
    """One config with one seed, under the name of its variant."""

    model: str
    config: RunConfig
    label: str = ""
    """First part of the run's name, by default the name of the variant."""
    colour: str = ""
    """The colour of the variant in figures, if it has one."""

    @property
    def name(self) -> str:
        """Return the name of the cell in messages."""
        return f"{self.model}/seed-{self.config.seed}"

    @property
    def run_name(self) -> str:
        """Return the name of the cell's run, short enough for lists of runs to show it completely."""
        return f"{shortened(self.label or self.model, LABEL)} s{self.config.seed}"


@dataclass(frozen=True)
class Study:
    """Variants x seeds, and how they are compared."""

    name: str
    """The stem of the study's file, with characters that names cannot contain replaced."""
    variants: dict[str, RunConfig]
    """Each variant's config, with seed 0."""
    seeds: tuple[int, ...]
    plan: Plan
    tuning_trials: dict[str, int] = field(default_factory=dict)
    """Number of trials from which the settings of each variant were chosen; the report warns if the numbers differ."""

    @cached_property
    def id(self) -> str:
        """The hash of the plan and the variants."""
        return self.plan.study_of({name: config_hash(config) for name, config in self.variants.items()})

    def cells(self) -> list[Cell]:
        """Return every cell, seed by seed, so that an early stop leaves complete seeds."""
        labels = labels_of(self.variants)
        return [
            Cell(name, config.model_copy(update={"seed": seed}), labels[name])
            for seed in self.seeds
            for name, config in self.variants.items()
        ]


def labels_of(names: Iterable[str]) -> dict[str, str]:
    """Return a label of at most `LABEL` characters for each name.

    Long names lose their middle; if two labels would be equal, all are numbered instead.
    """
    labels = {name: shortened(name, LABEL) for name in names}
    if len(set(labels.values())) < len(labels):
        return {name: f"{number} {name}"[:LABEL] for number, name in enumerate(labels)}
    return labels


def name_of(path: Path) -> str:
    """Return the name of a file's study; it is used as the name of a folder and of a run, and in reports."""
    return re.sub(r"[^\w .-]|^\W", "_", path.stem.removesuffix("_config"))[:LONGEST_NAME]


def read_json(path: Path) -> Values:
    """Read a JSON object from a file; `UsageError` if it cannot be read, or is no valid JSON object."""
    try:
        tree = json.loads(_content(path).decode(), object_pairs_hook=_without_duplicates)
        _check_depth(tree)
    except OSError as error:
        raise UsageError(f"{path}: must be a readable file, got {error.strerror}. Check the path.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: must be UTF-8 text, got other bytes. Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UsageError(f"{path}: must be valid JSON, got an error at {place} ({error.msg}). Correct it.") from None
    except RecursionError:
        raise UsageError(
            f"{path}: must be nested less deeply, got brackets in brackets without end. Correct it."
        ) from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except ValueError as error:  # Python's own limits: the digits of an integer, a null character in a path
        raise UsageError(
            f"{path}: must be a file with numbers of up to 4300 digits, got {error}. Correct it."
        ) from None
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: must be a JSON object, got {shown(tree)}. Wrap it in braces.")
    tree.pop("$schema", None)  # only editors use it
    return tree


def _content(path: Path) -> bytes:
    """Return the bytes of a file; UsageError if it is too large. No more than the limit is read, as a pipe may have no end."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise UsageError(f"must have at most {LARGEST_FILE:,} bytes, got more. Name another file.")
    return content


def _check_depth(tree: object) -> None:
    level = [tree]
    for _ in range(DEEPEST):
        level = [part for node in level if isinstance(node, dict | list) for part in _parts(node)]
    if level:
        raise RecursionError


def _parts(node: "Values | list[Any]") -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Values:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise UsageError(f"{twice}: must stand once in an object, got it twice. Drop one.")
    return tree


def load_run(path: Path | None, overrides: Mapping[str, Any], model: str = "") -> RunConfig:
    """Return the config of one run: the defaults, changed by a file's base, by its variant `model`, and by `overrides`.

    `model` may also be the name of an embedding. Settings of the base that only other variants of the file have are left out.
    """
    tree = read_json(path) if path else {}
    own, base = _variants(tree), _base(tree)
    chosen = _variant(model, own) if model else {}
    _check_used(base, {**own, "": chosen})
    changes = _changes(overrides)
    _check_left_to_variants(changes, {model: chosen})
    values = {**base, **chosen, **changes}
    return build_run({path: value for path, value in values.items() if path not in base or fits(path, values)})


def load_study(
    path: Path | None,
    *,
    models: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    name: str = "",
    until_decided: bool = False,
    most_seeds: int | None = None,
) -> Study:
    """Return the study of a file, or the default study without one, with the given `models` and `seeds` instead of its own.

    `overrides` take precedence over the file; each applies to the variants that have the setting. The study is called `name`, by
    default after the file. `until_decided` adds looks, up to `most_seeds`; a study with looks has as many seeds as its last look.
    UsageError for anything in the file or the arguments that is wrong.
    """
    check_names("--name", [name] if name else [])
    tree, given = (read_json(path), name_of(path)) if path else ({}, "lstm_comparison")
    return study_of(
        tree,
        name or given,
        models=models,
        seeds=seeds,
        overrides=overrides,
        until_decided=until_decided,
        most_seeds=most_seeds,
    )


def study_of(
    tree: Mapping[str, Any],
    name: str,
    *,
    models: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    until_decided: bool = False,
    most_seeds: int | None = None,
) -> Study:
    """Return the study that a mapping in the form of a study file describes; the arguments are those of `load_study`."""
    own, base, changes = _variants(tree), _base(tree), _changes(overrides or {})
    variants = {model: _variant(model, own) for model in models} if models else own
    for settings in (base, changes, *variants.values()):
        if "seed" in settings:
            raise UsageError(f"seed: must be left out of a study, got {shown(settings['seed'])}. Give the list seeds.")
    _check_left_to_variants(changes, variants)
    # The base may have a setting that only a variant of the file uses, even if --models leaves that variant out.
    _check_used(base, own)
    _check_used(changes, variants)
    configs = {model: _build(values, base, changes) for model, values in variants.items()}
    plan = _left_pairs(validate(Plan, _mapping(tree, "plan"), "plan"), {**own, **configs}, configs)
    if plan.reference and plan.reference not in (configs if not models else {**own, **configs}):
        raise unknown("variant", plan.reference, configs, "plan.reference")
    reference = plan.reference if plan.reference in configs else next(iter(configs))
    plan = _with_looks(plan, variants=len(configs), until_decided=until_decided, most_seeds=most_seeds)
    wanted = seeds_apart(configs, plan, check_seeds(seeds if seeds is not None else tree.get("seeds", DEFAULT_SEEDS)))
    return Study(
        name=name,
        variants=configs,
        seeds=_seeds_of_looks(wanted, plan, given=seeds is not None) if plan.looks else wanted,
        plan=plan.model_copy(update={"reference": reference}),
        tuning_trials=_counts(tree, configs),
    )


def _left_pairs(plan: Plan, known: Iterable[str], chosen: Collection[str]) -> Plan:
    """Return the plan with those of its named pairs that are left among the chosen variants.

    UsageError if a pair has an unknown variant, or if a variant is left without a pair: its runs would serve no verdict. A single
    variant has no pairs, whatever the family.
    """
    if not plan.pairs:
        return plan
    for name in chain.from_iterable(plan.pairs):
        if name not in known:
            raise unknown("variant", name, known, "plan.pairs")
    if len(chosen) == 1:
        return plan.model_copy(update={"family": "all", "pairs": ()})
    left = tuple(pair for pair in plan.pairs if set(pair) <= set(chosen))
    if alone := [name for name in chosen if name not in chain.from_iterable(left)]:
        raise UsageError(
            f"plan.pairs: must hold each chosen variant, got no pair of {', '.join(alone)} among {', '.join(chosen)}. Declare one, or "
            "leave the variant out."
        )
    return plan.model_copy(update={"pairs": left})


def _with_looks(plan: Plan, *, variants: int, until_decided: bool, most_seeds: int | None) -> Plan:
    """Return the plan with the requested looks; a plan that already has looks keeps them."""
    if variants == 1 and (until_decided or plan.looks):
        raise UsageError("--until: must have two variants to decide between, got one. Name more, or leave it out.")
    if most_seeds is None:
        return plan.until_decided() if until_decided and not plan.looks else plan
    if not until_decided:
        raise UsageError(f"--most-seeds: must go with --until decided, got {most_seeds} alone. Add it, or drop both.")
    if plan.looks:
        raise UsageError(
            f"--most-seeds: must be left out where the plan has looks (at {', '.join(map(str, plan.looks))} seeds), got "
            f"{most_seeds}. Drop it."
        )
    if not LEAST_MOST <= most_seeds <= LAST_LOOK:
        raise UsageError(
            f"--most-seeds: must be from {LEAST_MOST}, whose first look is at {FIRST_LOOK} seeds, to {LAST_LOOK}, got "
            f"{most_seeds}. Give more seeds, or leave --until out."
        )
    return plan.until_decided(most_seeds)


def _seeds_of_looks(seeds: tuple[int, ...], plan: Plan, *, given: bool) -> tuple[int, ...]:
    """Return as many seeds as the last look has: those of the study, then the smallest unused whole numbers."""
    most = plan.looks[-1]
    if given and len(seeds) != most:
        raise UsageError(
            f"--seeds: must be the {most} of the last look, got {len(seeds)}. Leave it out: they are numbered then."
        )
    more = [seed for seed in range(most + len(seeds)) if seed not in seeds]
    return (*seeds, *more)[:most]


def check_flags(overrides: Mapping[str, Any]) -> None:
    """Refuse an option whose value is a group of settings: each option is one setting."""
    for name, value in overrides.items():
        if isinstance(value, dict):
            raise UsageError(f"--{name}: must be one setting, got a JSON object. Write --{name}.NAME VALUE for each.")


def _changes(overrides: Mapping[str, Any]) -> Values:
    check_flags(overrides)
    return resolve_all(overrides)


def check_seeds(seeds: object) -> tuple[int, ...]:
    """Return seeds as a tuple; UsageError unless they are at least one, distinct, and whole numbers from 0 on."""
    if not isinstance(seeds, list | tuple) or not all(type(seed) is int and 0 <= seed <= LARGEST for seed in seeds):
        raise UsageError(
            f"seeds: must be a list of whole numbers from 0 to {LARGEST}, got {shown(seeds)}. Write for instance [0, 1, 2]."
        )
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"seeds: must be at least one, each once, got {list(seeds)}. Write for instance [0, 1, 2].")
    return tuple(seeds)


def check_names(where: str, names: Iterable[str]) -> None:
    """Refuse names that cannot be part of the names of files and metrics."""
    for name in names:
        if not NAME.fullmatch(name):
            raise UsageError(f"{where}: must have names of {NAMED}, got {name!r}. Rename it.")


def _variants(tree: Mapping[str, Any]) -> dict[str, Values]:
    """Return the variants of a study file, or the default ones if it names none."""
    check_names("variants", _mapping(tree, "variants"))
    own = {name: resolve_all(_mapping(tree["variants"], name)) for name in _mapping(tree, "variants")}
    return own or {name: {"model.embedding.name": name} for name in DEFAULT_MODELS}


def _base(tree: Mapping[str, Any]) -> Values:
    """Return the settings that a study file has for all its variants."""
    settings = {key: value for key, value in tree.items() if key not in STUDY_KEYS}
    return resolve_all({**settings, **_mapping(tree, "base")})


def _mapping(tree: Mapping[str, Any], key: str) -> Values:
    value = tree.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{key}: must be a JSON object, got {shown(value)}. Wrap it in braces.")
    return value


def _counts(tree: Mapping[str, Any], variants: Iterable[str]) -> dict[str, int]:
    counts = _mapping(tree, "tuning_trials")
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            raise UsageError(f"tuning_trials.{name}: must be a whole number from 0 on, got {shown(count)}. Correct it.")
    return {name: counts[name] for name in variants if name in counts}


def _variant(name: str, variants: Mapping[str, Values]) -> Values:
    if name in variants:
        return variants[name]
    if name in TIME_EMBEDDINGS:
        return {"model.embedding.name": name}
    raise unknown("model", name, [*variants, *(kind for kind in TIME_EMBEDDINGS if kind not in variants)])


def _build(own: Values, base: Values, changes: Values) -> RunConfig:
    """Return the config of a variant; settings of the base and of the changes that it does not have are left out."""
    values = {**base, **own, **changes}
    return build_run({path: value for path, value in values.items() if path in own or fits(path, values)})


def _check_left_to_variants(changes: Values, variants: Mapping[str, Values]) -> None:
    for path, value in changes.items():
        if any(own.get(path, value) != value for own in variants.values()):
            raise UsageError(
                f"{path}: must be left to the variants, which set it, got {value!r}. "
                "Choose variants with --models, or edit the study file."
            )


def _check_used(settings: Values, variants: Mapping[str, Values]) -> None:
    for path in settings:
        if not any(path in own or fits(path, {**settings, **own}) for own in variants.values()):
            raise misfit(path, RunConfig())
