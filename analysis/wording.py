"""Formatting of numbers and words: rates are converted to percent and points here and nowhere else."""

import re
from collections.abc import Iterable, Sequence
from math import isnan

UNKNOWN = "n/a"
ENTITIES = {"<": "&lt;", "&": "&amp;"}
"""Replacements of characters that cannot be escaped by a backslash, because MLflow's descriptions would show the backslash."""
MARKUP = re.compile(r"[\\`*\[\]<>&~!]|(?<!\w)_|_(?!\w)")
"""Characters with a meaning in Markdown within a line; `markdown_table` handles the bar between cells."""


CAPTION = "Table: "
"""Prefix of the caption of a table, as in Pandoc's Markdown."""


def printable(text: str) -> str:
    """Return text in one line, with unprintable characters and those that change the text direction escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shortened(text: str, letters: int) -> str:
    """Return text of at most `letters` characters; a longer one loses its middle."""
    begin = (letters - 1) // 2
    return text if len(text) <= letters else f"{text[:begin]}\u2026{text[begin + 1 - letters :]}"


def as_words(name: str, letters: int = 60) -> str:
    """Return a name that a user chose as Markdown text: nothing in it acts as markup."""
    return plain(shortened(printable(name), letters))


def plain(text: str) -> str:
    """Return text as Markdown: nothing in it acts as markup."""
    return MARKUP.sub(lambda found: ENTITIES.get(found[0], f"\\{found[0]}"), text)


def percent(rate: float) -> str:
    """Return a rate in [0, 1] as percent."""
    return UNKNOWN if isnan(rate) else f"{100 * rate:.2f} %"


def points(difference: float) -> str:
    """Return a difference of rates as signed percentage points."""
    return UNKNOWN if isnan(difference) else f"{100 * difference:+.2f}"


def interval(low: float, high: float) -> str:
    """Return an interval of differences, in points."""
    return "no interval" if isnan(low) else f"[{points(low)}, {points(high)}]"


def with_interval(rate: float, low: float, high: float) -> str:
    """Return a rate in [0, 1] as percent, with its interval if it has one."""
    return percent(rate) if isnan(low) else f"{percent(rate)} [{percent(low)}, {percent(high)}]"


def interval_of_rate(low: float, high: float) -> str:
    """Return the interval of a rate in words, to follow the rate; "" if it has none."""
    return "" if isnan(low) else f" ({percent(low)} to {percent(high)})"


def p_value(p: float) -> str:
    """Return a p as 'p = 0.012'."""
    if isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"  # noqa: PLR2004  the usual floor of a printed p


def plural(count: int, noun: str) -> str:
    """Return '1 seed', '2 seeds'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listing(words: Iterable[str]) -> str:
    """Return 'a, b and c'."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def couples(pairs: Iterable[tuple[str, str]]) -> str:
    """Return pairs of names in words, or "none"."""
    return "; ".join(f"{one} and {other}" for one, other in pairs) or "none"


def series(parts: Iterable[str], most: int = 8) -> str:
    """Return 'a; b; c', with at most `most` parts and the number of the others."""
    every = list(parts)
    more = f"; and {len(every) - most} more" if len(every) > most else ""
    return "; ".join(every[:most]) + more


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """Return a Markdown table; the first column is left-aligned, the others right-aligned.

    A caption is written above it, in a paragraph that begins with CAPTION.
    """
    lines = [list(header), [":--", *["--:"] * (len(header) - 1)], *rows]
    table = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{CAPTION}{caption}\n\n{table}" if caption else table


def rounded(value: float) -> int:
    """Return a positive number rounded to two significant digits, for numbers that are known only roughly."""
    return int(float(f"{value:.2g}"))
