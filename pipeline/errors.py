"""What the user gave cannot be done: one line that says where, what must hold, what was given and what to do."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

LISTED = 12
"""Names are listed in full up to this many."""

Model = TypeVar("Model", bound=BaseModel)


class UsageError(ValueError):
    """`where: what must hold, got value. what to do.`; the command line prints it and ends with exit code 2."""


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a `name` that is not among the known ones, with the closest of them."""
    names = list(dict.fromkeys(known))
    closest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {closest[0]}?" if closest else "`python -m pipeline ls` lists what there is."
    listed = f" ({', '.join(names)})" if len(names) <= LISTED else ""
    return UsageError(f"{name}: must be a known {what}{listed}, got an unknown one. {hint}")


def validate(kind: type[Model], tree: Mapping[str, Any], where: str = "") -> Model:
    """Validate a nested mapping as `kind`; the first thing wrong with it becomes a `UsageError`."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise _explain(error.errors()[0], tree, where) from None


def _explain(detail: ErrorDetails, tree: Mapping[str, Any], where: str) -> UsageError:
    path = ".".join([*([where] if where else []), *_location(detail["loc"], tree)])
    context = detail.get("ctx", {})
    match detail["type"]:
        case "union_tag_invalid":
            kinds = [kind.strip().strip("'") for kind in context["expected_tags"].split(",")]
            error = unknown("name", str(context["tag"]), kinds)
            return UsageError(f"{path}.name: {str(error).split(': ', 1)[1].replace('an unknown one', repr(context['tag']))}")
        case "extra_forbidden":
            return UsageError(f"{path}: must be a known setting, got an unknown one. `python -m pipeline ls` lists them.")
        case "missing":
            return UsageError(f"{path}: must be given, got nothing. Add it.")
        case "value_error":
            must = str(context["error"])
        case "greater_than":
            must = f"must be above {context['gt']}"
        case "greater_than_equal":
            must = f"must be at least {context['ge']}"
        case "less_than":
            must = f"must be below {context['lt']}"
        case "less_than_equal":
            must = f"must be at most {context['le']}"
        case "literal_error":
            must = f"must be one of {context['expected']}"
        case "int_parsing" | "int_type" | "int_from_float":
            must = "must be a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            must = "must be a finite number"
        case "bool_parsing" | "bool_type":
            must = "must be true or false"
        case _:
            must = "must be valid (" + detail["msg"][0].lower() + detail["msg"][1:] + ")"
    return UsageError(f"{path}: {must}, got {detail['input']!r}. Correct the value.")


def _location(loc: tuple[str | int, ...], tree: object) -> list[str]:
    """Return the keys of `loc` that the tree really has: pydantic adds the tags of unions."""
    path: list[str] = []
    for key in loc:
        if isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        elif key != loc[-1]:
            continue
        path.append(str(key))
    return path
