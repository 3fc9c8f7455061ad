"""What the user gave cannot be done: one line that says where, what must hold, what was given and what to do."""

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
"""Names are listed in full up to this many."""

SHOWN = 160
"""Characters of a word that a message shows; of a longer one it shows the beginning."""
LONGEST_LINE = 2000
"""Characters of a message; a longer one loses its middle."""

Model = TypeVar("Model", bound="BaseModel")


SECRETS = (
    (re.compile(r"(\bhttps?://)[^\s/?#]*@"), r"\1"),  # a token may stand in place of the user
    (re.compile(r"(\b(?!https?:)[\w+.-]{1,40}://[^\s:/@]*:)\S*@"), r"\1***@"),
    (re.compile(r"(\b\w{0,40}(?:password|passwd|secret|token)=)[^\s&]+", re.IGNORECASE), r"\1***"),
)
"""Where text holds secrets, in addresses of servers and databases, and what is put in their place."""


def without_secrets(text: str) -> str:
    """Return text without the passwords and tokens that addresses in it hold."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def printable(text: str) -> str:
    """Return text as one line that any terminal can print: what cannot be printed, a line break say, is escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def plain(text: str) -> str:
    """Return text as one line that any terminal can print, without secrets, and nothing without end."""
    line = printable(without_secrets(text))
    line = re.sub(rf"\S{{{SHOWN + 40},}}", lambda word: f"{word[0][:SHOWN]}... ({len(word[0])} characters)", line)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 4 :]}"


class UsageError(ValueError):
    """`where: what must hold, got value. what to do.`; the command line prints it and ends with exit code 2."""

    def __init__(self, message: str) -> None:
        """Keep the message as one line, whatever the user wrote into it."""
        super().__init__(plain(message))


class RunError(RuntimeError):
    """Work that was begun and failed; what was finished before is stored. The command line ends with exit code 1."""


class TimeUpError(RunError):
    """Work that was ended because the time for it is over; the same command goes on. The command line ends with exit code 75."""


class DiskError(UsageError):
    """A place has no room, or cannot be written to. What was stored before is whole."""


class AwayError(UsageError):
    """The store does not answer, or answers that it cannot now; what was asked may have been done."""

    why = "no answer"
    """What was got instead of an answer, in a few words."""


UNREACHED = (AwayError, DiskError)
"""What says nothing of the thing that was asked for."""

NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says where a file cannot be written."""
NOT_STORED = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
"""The same of an SQLite database."""


def disk_error(error: BaseException, place: object = "disk") -> DiskError | None:
    """Return the error of a disk that is behind another one, if it is; `place` is where, if the system does not say it."""
    if isinstance(error, DiskError):
        return error
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in NOT_WRITTEN:
            return _unwritable(cause.filename or place, str(cause.strerror))
        # The lowest byte is the kind of an extended code.
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
    """Name the place that has no room, or cannot be written to."""
    try:
        yield
    except OSError as error:
        if said := disk_error(error, place):
            raise said from error
        raise


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it, the newest first, each once: an error that is raised again may lead to itself."""
    seen = set[int]()
    while error and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """Return the type of an error and the first line of what it says, without secrets."""
    lines = without_secrets(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def unknown(what: str, name: object, known: Iterable[str], where: str = "") -> UsageError:
    """Return the error for a `name` that is not among the known ones, with the closest of them.

    It stands for itself, or is the value of the setting `where`. A file of this name that no registry lists is named instead.
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
    """Return a value as a message shows it: what JSON has a word for in that word."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def check_memory(where: str, what: str, size: float, remedy: str) -> None:
    """Refuse what needs more bytes than this machine has memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        needs = f"which needs about {size / 1e9:,.0f} GB of {memory / 1e9:,.0f} GB"
        raise UsageError(f"{where}: must fit into memory, got {what}, {needs}. {remedy}")


def validate(kind: type[Model], tree: Mapping[str, Any], where: str = "") -> Model:
    """Validate a nested mapping as `kind`; the first thing wrong with it becomes a `UsageError`.

    Text of digits is no number, and a whole number is written without a fraction or an exponent.
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
"""What must hold, by pydantic's type of error."""


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
    """Return the keys of `loc` that the tree really has: pydantic adds the tags of unions."""
    path: list[str] = []
    for key in loc:
        if isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
            path.append(str(key))
    return path
