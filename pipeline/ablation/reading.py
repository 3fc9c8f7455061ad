"""Reading of ablation studies from files.

A study file is JSON. A list sweeps, `{"low": ..., "high": ...}` is a range, a scalar changes the base, `seeds` is always a
list: `{"model.embedding.dim": [16, 32], "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": true}, "seeds": [0, 1]}`.
The keys of `AblationConfig` say how the study is run. If a path does not exist in the default embedding, the base is KAN-MAMMOTE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

from analysis.plan import Plan
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.ablation.designs import DESIGNS
from pipeline.ablation.space import EMBEDDING, AblationConfig, AblationStudy, Space, Span
from pipeline.config import RunConfig
from pipeline.errors import UsageError, shown, unknown, validate
from pipeline.settings import Values, build_run, check_value, fits, is_whole, misfit, resolve, resolve_all
from pipeline.study import check_flags, check_names, check_seeds, name_of, read_json

RICHEST = "kan_mammote"
"""The embedding of the base if a swept path exists in it but not in the default embedding."""
TRIAL_SEEDS = (0, 1, 2)
"""Seeds of each trial of a study that names none."""


def load_ablation(
    path: Path,
    *,
    rows: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> AblationStudy:
    """Read a study file, changed by `overrides` of the same form, and narrowed to `rows` if any are given."""
    tree, changes = {**read_json(path)}, dict(overrides or {})
    how = {**_popped(tree), **_popped(changes)}
    own_seeds, plan = tree.pop("seeds", TRIAL_SEEDS), _mapping(tree.pop("plan", {}), "plan")
    named = {name: resolve_all(_mapping(row, name)) for name, row in _mapping(tree.pop("rows", {}), "rows").items()}
    check_names("rows", named)
    base, space = _split({**_mapping(tree.pop("base", {}), "base"), **tree})
    check_flags({name: value for name, value in changes.items() if not _is_range(value)})
    new_base, new_space = _split(changes)
    for setting, value in {**base, **new_base}.items():
        check_value(setting, value)
    base = {path: value for path, value in base.items() if path not in new_space} | new_base
    space = {path: part for path, part in space.items() if path not in new_base} | new_space
    base = _with_embedding(base, space, named)
    how = {"design": next(name for name, design in DESIGNS.items() if design.suits(space, named)), **how}
    config = validate(AblationConfig, {**how, "objectives": _tuple(how.get("objectives", ("validation_accuracy",)))})
    if config.design not in DESIGNS:
        raise unknown("design", config.design, DESIGNS, "design")
    study = AblationStudy(
        name=name_of(path),
        base=base,
        space=space,
        rows=_chosen(named, rows),
        seeds=check_seeds(seeds if seeds is not None else own_seeds),
        how=config,
        design=DESIGNS[config.design],
        plan=Plan(),
    )
    study.design.check(study)
    if any(point.config.train.vary != "together" for point in study.points):
        raise UsageError("train.vary: must be left out of an ablation, whose seeds vary together, got it. Drop it.")
    if not all(getattr(sample.data, "validation_size", 0) for sample in study.samples()):
        raise UsageError(
            "data.validation_size: must be above 0 in an ablation, got 0: the objective is on validation. Raise it."
        )
    return _with_plan(study, plan)


def _popped(tree: Values) -> Values:
    """Remove the keys that say how the study is run from a mapping, and return them."""
    return {key: tree.pop(key) for key in AblationConfig.model_fields.keys() & tree.keys()}


def _split(tree: Mapping[str, Any], prefix: str = "") -> tuple[Values, Space]:
    """Return the scalars of a tree and its lists and ranges, each by dotted path."""
    base: Values = {}
    space: Space = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and not _is_range(value):
            inner_base, inner_space = _split(value, f"{prefix}{key}.")
            base, space = {**base, **inner_base}, {**space, **inner_space}
            continue
        part: list[Any] | Span | None = None
        if isinstance(value, list):
            path, part = _choices(f"{prefix}{key}", value)
        elif isinstance(value, Mapping):
            path, _ = resolve(f"{prefix}{key}", None)
            part = validate(Span, {**value, "whole": is_whole(path)}, f"{prefix}{key}")
        else:
            path, value = resolve(f"{prefix}{key}", value)  # noqa: PLW2901
        if path in base or path in space:
            raise UsageError(f"{prefix}{key}: must be given once, got it twice, as {path}, too. Drop one.")
        if part is None:
            base[path] = value
        else:
            space[path] = part
    return base, space


def _is_range(value: object) -> bool:
    return isinstance(value, Mapping) and ("low" in value or "high" in value)


def _choices(name: str, values: list[Any]) -> tuple[str, list[Any]]:
    if not values:
        raise UsageError(f"{name}: must list at least one value, got an empty list. Add values, or drop it.")
    for value in values:
        if not isinstance(value, str | int | float | bool):
            raise UsageError(
                f"{name}: must list numbers, words or true and false, got {shown(value)}. Correct the list."
            )
    resolved = [resolve(name, value) for value in values]
    choices = [value for _, value in resolved]
    if any(one == other for one, other in combinations(choices, 2)):
        raise UsageError(f"{name}: must list each value once, got {values}. Drop the repetition.")
    return resolved[0][0], choices


def _with_embedding(base: Values, space: Space, rows: Mapping[str, Values]) -> Values:
    """Return the base with an embedding that has every varied path: KAN-MAMMOTE if the default lacks one."""
    if "seed" in base or "seed" in space:
        raise UsageError("seed: must be left out of an ablation, got one. Give the list seeds.")
    paths = [*base, *space, *(path for row in rows.values() for path in row)]
    if EMBEDDING in base or EMBEDDING in space:
        _check_fit(paths, base, space)
        return base
    kinds = _kinds(space)
    able = [
        name
        for name in (RunConfig().model.embedding.name, RICHEST, *TIME_EMBEDDINGS)
        if all(any(fits(path, {**base, **kind, EMBEDDING: name}) for kind in kinds) for path in paths)
    ]
    if not able:
        _check_fit(paths, {**base, EMBEDDING: RICHEST}, space)
    return {**base, EMBEDDING: able[0]}


def _kinds(space: Space) -> list[Values]:
    """Return every combination of the names in a space."""
    names = {path: part for path, part in space.items() if path.endswith(".name")}
    for path, part in names.items():
        if isinstance(part, Span):
            raise UsageError(f"{path}: must be a list of names, got a range. Write a list.")
    return [dict(zip(names, values, strict=True)) for values in product(*names.values())]


def _check_fit(paths: Sequence[str], base: Values, space: Space) -> None:
    kinds = _kinds(space)
    for path in paths:
        if not any(fits(path, {**base, **kind}) for kind in kinds):
            named = {key: value for key, value in base.items() if key.endswith(".name")}
            raise misfit(path, build_run({**named, **kinds[0]}))


def _chosen(rows: dict[str, Values], wanted: Sequence[str]) -> dict[str, Values]:
    if wanted and not rows:
        raise UsageError(
            f"--models: must be left out of an ablation that names no rows, got {','.join(wanted)}. Drop it, or name rows."
        )
    for name in wanted:
        if name not in rows:
            raise unknown("row", name, rows)
    return {name: row for name, row in rows.items() if not wanted or name in wanted}


def _with_plan(study: AblationStudy, plan: Values) -> AblationStudy:
    """Return the study with its plan: every row is compared with the first, unless the file says otherwise."""
    first = study.points[0].name if not study.design.searches else ""
    for name in ("looks", "pairs"):
        if plan.get(name):
            raise UsageError(
                f"plan.{name}: must be left out of an ablation, got some. Compare its rows with a study file."
            )
    if plan.get("family") == "pairs":
        raise UsageError(
            "plan.family: must be 'all' or 'reference' in an ablation, got 'pairs'. Compare its rows with a study file."
        )
    declared = validate(Plan, {"reference": first, "family": "reference", **plan}, "plan")
    if study.design.named and declared.reference not in study.points_by_name:
        raise unknown("row", declared.reference, study.points_by_name, "plan.reference")
    return replace(study, plan=declared)


def _mapping(value: object, key: str) -> Values:
    if not isinstance(value, dict):
        raise UsageError(f"{key}: must be a JSON object, got {shown(value)}. Wrap it in braces.")
    return value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value
