"""Fiddle tunes: which dance a tune is for, to be predicted from the times at which its notes begin.

Source: the collections of O'Neill (1903) and Ryan (1883) in the corpus of the Python package music21, in ABC notation. The
tunes are in the public domain; the transcriptions have terms of their own, so they are not part of this repository.

- A sequence is a tune as it is written, without repeats; an event is the beginning of a note, in ticks of 1/96 of a whole note
  since the first note. Notes past the horizon are left out.
- The ABC reader handles lengths, tuplets, broken rhythms, ties, chords and rests; ornaments, words and voices are ignored.
- The group is the title: a tune has several settings.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pandas as pd

from pipeline.data.packages import Package, PackagedConfig

TICKS = 96
"""Ticks per whole note: a sixteenth has 6, a sixteenth of a triplet 4."""
DANCES = {
    "reel": "reel", "hornpipe": "hornpipe", "jig": "jig", "double jig": "jig", "slip jig": "slip jig", "slipjig": "slip jig",
    "strathspey": "strathspey", "clog": "clog",
}  # fmt: skip
"""Dances: the name of the rhythm in a tune, and the class."""
WITHOUT_TIME = re.compile(r'%.*|"[^"]*"|!.*?!|\{[^}]*\}|\[[A-Za-z]:[^\]]*\]|\\|\[[12]')
NOTE = re.compile(
    r"(?P<tuplet>\(\d(?::\d?(?::\d)?)?)|(?P<note>\[[^\]|:]*\]|[\^_=]*[A-Ga-g][,']*|[zx])(?P<length>\d*/*\d*)(?P<tie>-?)\s*(?P<broken>[<>]*)"
)
SHARES = {2: 3, 3: 2, 4: 3, 5: 2, 6: 2, 7: 2, 8: 3, 9: 2}
"""For a tuplet of p notes, the number of notes whose time it takes, in simple metres."""


class TunesConfig(PackagedConfig):
    """Fiddle tunes: when the notes of a tune begin, by the dance it is for; 6 dances."""

    package = Package(
        "music21",
        "10.5.1",
        "music21-10.5.1-py3-none-any.whl",
        "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
    )
    time_unit = "tick"
    horizon = 18 * TICKS
    name: Literal["tunes"] = "tunes"

    def events(self, folder: Path) -> pd.DataFrame:
        """Return the beginnings of the notes of all tunes that are for one of the `DANCES`."""
        files = self.package.members(folder, r"corpus/(oneills1850|ryansMammoth)/.*\.abc")
        rows = []
        for name, content in files.items():
            for number, (title, dance, times) in enumerate(tunes(content.decode("utf-8", errors="replace"))):
                rows += [(f"{name} {number:04}", time, dance, title) for time in times if time < self.horizon]
        return pd.DataFrame(rows, columns=["sequence", "time", "label", "group"])


def tunes(text: str) -> Iterator[tuple[str, str, list[int]]]:
    """Yield title, dance and beginnings of notes, in ticks, of each tune in an ABC text that is for one of the `DANCES`."""
    for tune in re.split(r"(?m)^(?=X:)", text.replace("\r\n", "\n").replace("\r", "\n")):
        fields = dict(reversed(re.findall(r"(?m)^([TRML]): *(.*?)\s*$", tune)))
        dance = DANCES.get(fields.get("R", "").lower())
        lines = [line for line in tune.split("\n") if not re.match(r"[A-Za-z]:|%", line)]
        times = onsets("\n".join(lines), _unit(fields))
        if dance and times:
            yield " ".join(fields.get("T", "").lower().split()), dance, times


def _unit(fields: dict[str, str]) -> Fraction:
    """Return the unit note length in whole notes: that of the tune's field L, otherwise an eighth, or a sixteenth in short metres."""
    if found := re.match(r"(\d+)/(\d+)", fields.get("L", "")):
        return Fraction(int(found[1]), int(found[2]))
    metre = re.match(r"(\d+)/(\d+)", fields.get("M", ""))
    short = metre is not None and Fraction(int(metre[1]), int(metre[2])) < Fraction(3, 4)
    return Fraction(1, 16) if short else Fraction(1, 8)


def onsets(body: str, unit: Fraction) -> list[int]:
    """Return the beginnings of the notes of a tune, in ticks since the first; `unit` is the unit note length in whole notes."""
    time, found = Fraction(0), list[int]()
    left, factor = 0, Fraction(1)
    dotted = Fraction(1)
    tied = False
    for match in NOTE.finditer(WITHOUT_TIME.sub(" ", body)):
        if match["tuplet"]:
            left, factor = _tuplet(match["tuplet"])
            continue
        length = unit * _length(match["length"]) * dotted
        dots = len(match["broken"])
        dotted = Fraction(1)
        if dots:
            long, short = 2 - Fraction(1, 2**dots), Fraction(1, 2**dots)
            here, dotted = (long, short) if match["broken"][0] == ">" else (short, long)
            length *= here
        if left:
            length, left = length * factor, left - 1
        if match["note"] not in ("z", "x") and not tied:
            found.append(round(time * TICKS))
        tied = bool(match["tie"])
        time += length
    return [tick - found[0] for tick in found]


def _tuplet(text: str) -> tuple[int, Fraction]:
    """Return the number of notes in a tuplet (p:q:r, and the factor of their lengths."""
    numbers = [int(part) if part else 0 for part in text[1:].split(":")]
    notes, taken, reach = (*numbers, 0, 0)[:3]
    return reach or notes, Fraction(taken or SHARES.get(notes, notes), max(notes, 1))


def _length(text: str) -> Fraction:
    """Return the multiple of the unit note length that is written as 3, 3/2, / or //."""
    over, slashes, under = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()  # type: ignore[union-attr] # NOTE matches no other
    below = int(under) if under else 2 ** len(slashes)
    return Fraction(int(over or 1), max(below, 1))
