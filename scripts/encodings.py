"""Writes the table of encodings into docs/encodings.md: run `.venv/bin/python -m scripts.encodings` after an encoding changed.

With `--time` the step times are measured too, which takes minutes; without it, the step times on the page are kept.
"""

import argparse
import re
import statistics
from collections.abc import Mapping
from pathlib import Path

import torch

from models.cards import card
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.bench.training import BATCHES_OF_ENCODINGS, ROUNDS_OF_ENCODINGS, time_encodings
from pipeline.machine import processor

PAGE = Path(__file__).resolve().parents[1] / "docs" / "encodings.md"
BEGIN, END = "<!-- encodings: begin -->\n", "\n<!-- encodings: end -->"
COLUMNS = ("name", "code of an event", "parameters", "effective rank", "step time", "what it represents", "source")


def main() -> None:
    """Replace the text between the two markers."""
    parser = argparse.ArgumentParser(description="Write the table of encodings into docs/encodings.md.")
    parser.add_argument("--time", action="store_true", help="measure the step times, too")
    text = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().time:
        step_times = measured()
        text = re.sub(r"(?m)^Measured on .*$", lambda _: machine(), text)
    else:
        step_times = written(text)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{table(step_times)}{END}{after}", encoding="utf-8")


def table(step_times: Mapping[str, str]) -> str:
    """Return the table as Markdown, with a step time for each name."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for name in TIME_EMBEDDINGS:
        its = card(name)
        rank = f"{its.effective_rank:.1f}"
        formula = f"`{its.formula}`"
        step_time = step_times.get(name, "")
        lines.append((f"`{name}`", formula, f"{its.parameters:,}", rank, step_time, its.represents, its.source))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(text: str) -> dict[str, str]:
    """Return the step times on a page, by name."""
    rows = [line.split(" | ") for line in text.split(BEGIN)[1].split(END, maxsplit=1)[0].splitlines()[2:]]
    return {row[0].strip("| `"): row[COLUMNS.index("step time")] for row in rows}


def measured() -> dict[str, str]:
    """Return the median ratio over rounds of the time of an update to that of the position table, as `bench` prints it."""
    return {name: f"{statistics.median(values):.2f}x" for name, values in time_encodings().items()}


def machine() -> str:
    """Return a sentence on the machine and the method of the step times."""
    return f"Measured on {processor()}, torch {torch.__version__}, n = {ROUNDS_OF_ENCODINGS} rounds of {BATCHES_OF_ENCODINGS} updates."


if __name__ == "__main__":
    main()
