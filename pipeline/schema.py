"""The JSON schemas of study and ablation files, with which editors complete and check them."""

import json
from collections import Counter
from typing import Any

from analysis.plan import Plan
from pipeline.ablation.designs import DESIGNS
from pipeline.ablation.space import DIRECTIONS, AblationConfig, Span
from pipeline.config import RunConfig
from pipeline.settings import ALIASES, alone_at, fields_of, known_paths

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GROUPS = ("data", "model", "train")
"""Settings may also be nested in objects of these names."""


def schema(kind: str) -> dict[str, Any]:
    """Return the schema of study or of ablation files."""
    return {"$schema": DIALECT, "title": f"{kind} file", **KINDS[kind]()}


def text(kind: str) -> str:
    """Return the JSON text of a schema, as it is printed and stored."""
    return json.dumps(schema(kind), indent=1)


def _study() -> dict[str, Any]:
    settings = {"$ref": "#/$defs/settings"}
    names = {
        "$schema": {"type": "string", "description": "Address of this schema, for editors."},
        "base": {**settings, "description": "Settings of all variants; those at the top level are of the base, too."},
        "variants": {
            "type": "object",
            "additionalProperties": settings,
            "description": "What is compared: the settings of each variant by its name.",
        },
        "seeds": _seeds(),
        "plan": _plan(),
        "tuning_trials": {
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 0},
            "description": "How many trials the settings of each variant were chosen from.",
        },
    }
    values = {name: {"$ref": f"#/$defs/{path}"} for name, path in _names().items()}
    return {
        "$defs": {"settings": _closed(values), **_values()},
        **_closed({**names, **values}),
    }


def _ablation() -> dict[str, Any]:
    settings = {"$ref": "#/$defs/settings"}
    how = AblationConfig.model_json_schema()["properties"]
    how["design"] = {**how["design"], "enum": list(DESIGNS)}
    word = {"enum": list(DIRECTIONS)}
    how["objectives"] = {**how["objectives"], "anyOf": [word, {"type": "array", "items": word}]}
    for key in ("type", "items"):
        how["objectives"].pop(key, None)
    span = Span.model_json_schema()
    span["properties"].pop("whole")  # follows from the setting
    names = {
        "$schema": {"type": "string", "description": "Address of this schema, for editors."},
        "base": {
            **settings,
            "description": "Settings that all trials share; scalars at the top level are of the base.",
        },
        "rows": {
            "type": "object",
            "additionalProperties": settings,
            "description": "Named changes of the base, compared with the first.",
        },
        "seeds": _seeds(),
        "plan": _plan(),
        **how,
    }
    paths = _names()
    fixed = {name: {"$ref": f"#/$defs/{path}"} for name, path in paths.items()}
    varied = {name: _varied(path) for name, path in paths.items()}
    return {
        "$defs": {"settings": _closed(fixed), "span": span, **_values()},
        **_closed({**names, **varied}),
    }


def _varied(path: str) -> dict[str, Any]:
    """Return the schema of a setting that may be a value, a list of values to sweep, or a range to search."""
    value = {"$ref": f"#/$defs/{path}"}
    return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}, {"$ref": "#/$defs/span"}]}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    groups = {name: {"type": "object"} for name in GROUPS}
    return {"type": "object", "properties": {**properties, **groups}, "additionalProperties": False}


def _names() -> dict[str, str]:
    """Return every name that a file may use for a setting, and the path that the name stands for."""
    paths = [path for path in known_paths() if path != "seed"]
    words = Counter(path.rsplit(".", 1)[-1] for path in paths)
    short = {word: path for path in paths if words[word := path.rsplit(".", 1)[-1]] == 1}
    return {path: path for path in paths} | short | ALIASES | {"normalize": "normalize"}


def _values() -> dict[str, Any]:
    """Return the schema of the values of each setting, by its path."""
    return {path: _value(path) for path in known_paths() if path != "seed"} | {
        "normalize": {"enum": [True, False], "description": "true is time_scale auto, false is raw."}
    }


def _value(path: str) -> dict[str, Any]:
    if path.endswith(".name"):
        return {"enum": [field.default for other, _, field in fields_of(RunConfig) if other == path]}
    word = path.rsplit(".", 1)[-1]
    found: list[dict[str, Any]] = []
    for kind in alone_at(path):
        one = kind.model_json_schema()["properties"][word]
        kept = {key: value for key, value in one.items() if key not in ("title", "default")}
        found += [kept] if kept not in found else []
    return found[0] if len(found) == 1 else {"anyOf": found}


def _seeds() -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "integer", "minimum": 0},
        "minItems": 1,
        "uniqueItems": True,
        "description": "Seeds that every variant or trial is trained with.",
    }


def _plan() -> dict[str, Any]:
    return {**Plan.model_json_schema(), "description": "How the variants are compared, declared before the runs."}


KINDS = {"study": _study, "ablation": _ablation}
