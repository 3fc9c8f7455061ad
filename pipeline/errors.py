"""What the user gave cannot be done: one line that says where, what must hold, what was given and what to do."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # the command line catches these errors, and its `--help` must not wait for pydantic
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

LISTED = 12
"""Names are listed in full up to this many."""

Model = TypeVar("Model", bound="BaseModel")


class UsageError(ValueError):
    """`where: what must hold, got value. what to do.`; the command line prints it and ends with exit code 2."""


class RunError(RuntimeError):
    """Work that was begun and failed; what was finished before is stored. The command line ends with exit code 1."""


def one_line(error: BaseException) -> str:
    """Return the type of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a `name` that is not among the known ones, with the closest of them."""
    names = list(dict.fromkeys(known))
    closest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {closest[0]}?" if closest else "`python -m pipeline ls` lists what there is."
    listed = f" ({', '.join(names)})" if len(names) <= LISTED else ""
    return UsageError(f"{name}: must be a known {what}{listed}, got an unknown one. {hint}")


def validate(kind: type[Model], tree: Mapping[str, Any], where: str = "") -> Model:
    """Validate a nested mapping as `kind`; the first thing wrong with it becomes a `UsageError`."""
    from pydantic import ValidationError  # noqa: PLC0415 - as above

    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise _explain(error.errors()[0], tree, where) from None


MUST = {
    "value_error": "{error}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": 'must be a list such as ["a", "b"]',
}
"""What must hold, by pydantic's type of error."""


def _explain(detail: "ErrorDetails", tree: Mapping[str, Any], where: str) -> UsageError:
    path = ".".join(filter(None, [where, *_location(detail["loc"], tree)]))
    if detail["type"] == "missing":
        path = f"{path}.{detail['loc'][-1]}".removeprefix(".")
        return UsageError(f"{path}: must be given, got nothing. Add it.")
    context = detail.get("ctx", {})
    if detail["type"] == "union_tag_invalid":
        kinds = [kind.strip().strip("'") for kind in context["expected_tags"].split(",")]
        said = str(unknown("name", str(context["tag"]), kinds)).split(": ", 1)[1]
        return UsageError(f"{path}.name: {said.replace('an unknown one', repr(context['tag']))}")
    if detail["type"] == "extra_forbidden":
        return UsageError(f"{path}: must be a known setting, got an unknown one. `python -m pipeline ls` lists them.")
    if detail["type"] == "value_error" and ", got " in str(context["error"]):
        return UsageError(f"{f'{path}.' if path else ''}{context['error']}. Correct the value.")
    must = MUST.get(detail["type"], "must be valid ({msg})").format(**{"msg": detail["msg"], **context})
    return UsageError(f"{path}: {must}, got {detail['input']!r}. Correct the value.")


def _location(loc: tuple[str | int, ...], tree: object) -> list[str]:
    """Return the keys of `loc` that the tree really has: pydantic adds the tags of unions."""
    path: list[str] = []
    for key in loc:
        if isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
            path.append(str(key))
    return path
