"""Errors for the user: one line that says where, what must hold, what was given, and what to do."""

import difflib
import errno
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.registries import unlisted

if TYPE_CHECKING:  # the command line catches these errors, and its `--help` must not wait for pydantic
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

LISTED = 12
"""Most names that a message lists."""

SHOWN = 160
"""Characters of a word that a message shows; a longer word is cut at its end."""
LONGEST_LINE = 2000
"""Longest message, in characters; a longer one loses its middle."""

Model = TypeVar("Model", bound="BaseModel")


SECRETS = (
    (re.compile(r"(\bhttps?://)[^\s/?#]*@"), r"\1"),  # the user name is removed, too, because it may be a token
    (re.compile(r"(\b(?!https?:)[\w+.-]{1,40}://[^\s:/@]*:)\S*@"), r"\1***@"),
    (re.compile(r"(\b\w{0,40}(?:password|passwd|secret|token)=)[^\s&]+", re.IGNORECASE), r"\1***"),
)
"""Patterns of secrets in text, in addresses of servers and databases, with their replacements."""


def without_secrets(text: str) -> str:
    """Return text without the passwords and tokens of the addresses in it."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def printable(text: str) -> str:
    """Return text as one line that any terminal can print: unprintable characters, such as line breaks, are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def plain(text: str) -> str:
    """Return text as one printable line, without secrets, and with long words and long text shortened."""
    line = printable(without_secrets(text))
    line = re.sub(rf"\S{{{SHOWN + 40},}}", lambda word: f"{word[0][:SHOWN]}... ({len(word[0])} characters)", line)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 4 :]}"


class UsageError(ValueError):
    """`where: what must hold, got value. what to do.`; the command line prints it and ends with exit code 2."""

    def __init__(self, message: str) -> None:
        """Keep the message as one line, whatever text of the user it contains."""
        super().__init__(plain(message))


class RunError(RuntimeError):
    """Work that began and failed; what was finished before is stored. The command line ends with exit code 1."""


class TimeUpError(RunError):
    """Work that was stopped because its time is over; the same command continues it. The command line ends with exit code 75."""


class DiskError(UsageError):
    """A disk is full, or a place on it cannot be written to. What was stored before is complete."""


class AwayError(UsageError):
    """The store does not answer, or answers that it cannot now; what was asked may have been done."""

    why = "no answer"
    """What was got instead of an answer, in a few words."""


UNREACHED = (AwayError, DiskError)
"""What says nothing of the thing that was asked for."""

NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of the system if a file cannot be written."""
NOT_STORED = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
"""Errors of SQLite if a database cannot be written."""


def disk_error(error: BaseException, place: object = "disk") -> DiskError | None:
    """Return a DiskError if a full or unwritable disk caused an error, otherwise None.

    `place` is named in the message if the system does not name the file.
    """
    if isinstance(error, DiskError):
        return error
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in NOT_WRITTEN:
            return _unwritable(cause.filename or place, str(cause.strerror))
        # The lowest byte of an extended code is its kind.
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in NOT_STORED:
            return _unwritable(place, str(cause))
    return None


def _unwritable(place: object, reason: str) -> DiskError:
    return DiskError(
        f"{place}: must have room and be writable, got one that is not ({reason}). "
        "Make room or correct its permissions, and run the same command again: it goes on."
    )


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Turn errors of a full or unwritable disk into a DiskError that names the place."""
    try:
        yield
    except OSError as error:
        if said := disk_error(error, place):
            raise said from error
        raise


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, the newest first, each once: an error that is raised again may be its own cause."""
    seen = set[int]()
    while error and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message, without secrets."""
    lines = without_secrets(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def unknown(what: str, name: object, known: Iterable[str], where: str = "") -> UsageError:
    """Return the error for a `name` that is not known, with the closest known name as a hint.

    `where` is the setting that has the name as its value, if there is one. If a file defines the name but no registry lists it,
    the error says that instead.
    """
    if forgotten := unlisted(str(name)):
        return UsageError(f"{where or name}: {forgotten}")
    names = list(dict.fromkeys(known))
    closest = difflib.get_close_matches(str(name)[:SHOWN], names, n=1, cutoff=0.5)
    hint = f"Did you mean {closest[0]}?" if closest else "`python -m pipeline ls` lists what there is."
    listed = f" ({', '.join(names)})" if len(names) <= LISTED else ""
    got = shown(name) if where else "an unknown one"
    return UsageError(f"{where or name}: must be a known {what}{listed}, got {got}. {hint}")


def shown(value: object) -> str:
    """Return a value as a message shows it: None and booleans as in JSON, everything else as in Python."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def check_memory(where: str, what: str, size: float, remedy: str) -> None:
    """Raise UsageError if `what` needs more than the memory of this machine; `size` is in bytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        needs = f"which needs about {size / 1e9:,.0f} GB of {memory / 1e9:,.0f} GB"
        raise UsageError(f"{where}: must fit into memory, got {what}, {needs}. {remedy}")


def validate(kind: type[Model], tree: Mapping[str, Any], where: str = "") -> Model:
    """Validate a nested mapping as `kind`; the first problem becomes a `UsageError`.

    Types are strict: text of digits is not a number, and an integer must not have a fraction or an exponent.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - as above

    try:
        return kind.model_validate(tree, strict=True)
    except ValidationError as error:
        raise _explain(error.errors()[0], tree, where) from None


WHOLE, NUMBER = "must be a whole number", "must be a number"
OBJECT, LIST = "must be a JSON object", 'must be a list such as ["a", "b"]'
MUST = {
    "value_error": "{error}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "int_parsing": WHOLE,
    "int_parsing_size": WHOLE,
    "int_type": WHOLE,
    "int_from_float": WHOLE,
    "float_parsing": NUMBER,
    "float_type": NUMBER,
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "must be text of whole Unicode characters",
    "tuple_type": LIST,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
}
"""The rule that a message states, by pydantic's type of error."""


def _explain(detail: "ErrorDetails", tree: Mapping[str, Any], where: str) -> UsageError:
    path = ".".join(filter(None, [where, *_location(detail["loc"], tree)]))
    if detail["type"] == "missing":
        path = f"{path}.{detail['loc'][-1]}".removeprefix(".")
        return UsageError(f"{path}: must be given, got nothing. Add it.")
    context = detail.get("ctx", {})
    if detail["type"] == "union_tag_invalid":
        kinds = [kind.strip().strip("'") for kind in context["expected_tags"].split(",")]
        return unknown("name", detail["input"]["name"], kinds, f"{path}.name")
    if detail["type"] == "extra_forbidden":
        return UsageError(f"{path}: must be a known setting, got an unknown one. `python -m pipeline ls` lists them.")
    if detail["type"] == "value_error" and ", got " in str(context["error"]):
        return UsageError(f"{f'{path}.' if path else ''}{context['error']}. Correct the value.")
    must = MUST[detail["type"]].format(**context)
    return UsageError(f"{path}: {must}, got {shown(detail['input'])}. Correct the value.")


def _location(loc: tuple[str | int, ...], tree: object) -> list[str]:
    """Return the keys of `loc` that exist in the tree: pydantic adds the tags of unions."""
    path: list[str] = []
    for key in loc:
        if isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
            path.append(str(key))
    return path
