"""The verb `ls`: lists the registries of the project, with the first line of each docstring, and the studies of the store."""

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from pipeline.console import say, show
from pipeline.errors import UNREACHED, UsageError, unknown
from pipeline.place import own_file
from pipeline.registries import names

# Most lists need neither torch nor MLflow, which take seconds to import.
# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from pipeline.tracking import Run, Tracker

Rows = list[tuple[str, ...]]
CARD = "data"
"""The topic that also takes a file."""
ONE_LINE = 58
"""Characters of a description that fit beside a name into a line of 80."""
LOCAL_STORE = "sqlite:///"
"""Prefix of the address of a store in a file."""


def ls(topic: str = "", place: str = "", overrides: Mapping[str, str] | None = None) -> None:
    """Print one list, or the card of an embedding or of a file of events; without a topic, all lists except settings and studies.

    UsageError for an unknown topic, or for an argument that the topic does not take.
    """
    if topic == CARD:
        return _card(place, overrides or {})
    if topic == "embeddings" and place and not overrides:
        return _embedding(place)
    if place or overrides:
        got = place or f"--{next(iter(overrides or {}))}"
        raise UsageError(
            f"ls: must be given one list, got also {got}. Write ls {CARD} FILE for a file of events, ls embeddings NAME for one."
        )
    if topic and topic not in LISTS:
        raise unknown("list", topic, [*LISTS, CARD])
    for name in [topic] if topic else [name for name in LISTS if name not in ("settings", "studies")]:
        columns, rows = LISTS[name]()
        show(columns, rows, title=name)
        say("Chosen by --model.name; --models takes embeddings.\n" if name == "models" else "")
    return None


def _card(place: str, overrides: Mapping[str, str]) -> None:
    """Print the data card of a file of events, or of a data set by its name."""
    from pipeline.data import DATASETS
    from pipeline.data.card import card
    from pipeline.settings import build_run, read_values, resolve_all

    if not place:
        raise UsageError(f"ls {CARD}: must be followed by a file of events or a data set, got none. Name one.")
    given: dict[str, object] = {"data.name": place}
    if place not in DATASETS:  # without a validation split, whose default size is for larger files
        given = {"data.name": "events_file", "data.path": place, "data.validation_size": 0}
    config = build_run({**given, **resolve_all(read_values(overrides))}).data
    for what, value in card(config):
        say(f"{what}: {value}")


def _embedding(name: str) -> None:
    """Print the card of an embedding."""
    from models.cards import HORIZON, card
    from models.time_embeddings import TIME_EMBEDDINGS

    if name not in TIME_EMBEDDINGS:
        raise unknown("embedding", name, TIME_EMBEDDINGS)
    its = card(name)
    say(f"name: {name}")
    say(f"what it is: {dict(names('embedding'))[name]}")
    say(f"code of an event: {its.formula}")
    say(f"represents: {its.represents}")
    say(f"parameters: {its.parameters:,} at its defaults, times 0 to {HORIZON - 1}")
    say(f"effective rank before training: {its.effective_rank:.1f} of {TIME_EMBEDDINGS[name]().dim}")
    say(f"source: {its.source}")


def _listed(kind: str) -> tuple[tuple[str, ...], Rows]:
    return ("name", "what it is"), [(name, what) for name, what in names(kind)]


def _embeddings() -> tuple[tuple[str, ...], Rows]:
    """List each embedding in one line; its card has the rest."""
    rows: Rows = [(name, shorten(what, ONE_LINE, placeholder=" ...")) for name, what in names("embedding")]
    return ("name", "what it is (`ls embeddings NAME` says more)"), rows


def store_address() -> str:
    """Return the address of the store that commands use."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL_STORE}mlflow.db"


def is_store() -> bool:
    """Return whether a store exists, without creating one: opening an SQLite file that does not exist would create it."""
    address = store_address()
    return not address.startswith(LOCAL_STORE) or Path(address.removeprefix(LOCAL_STORE)).is_file()


def check_store() -> None:
    """Raise UsageError if there is no store."""
    if not is_store():
        file = store_address().removeprefix(LOCAL_STORE)
        where = "this folder" if Path(file).name == file else str(Path(file).parent.absolute())
        raise UsageError(
            f"MLFLOW_TRACKING_URI: must be a store that is there, got no {Path(file).name} in {where}. Go to the folder of the store."
        )


def _studies() -> tuple[tuple[str, ...], Rows]:
    """List the studies of the tracking store; it takes seconds, so only on request."""
    columns = ("name", "study", "kind", "status", "finished")
    if not is_store():
        return columns, []
    from pipeline.stored_study import ABLATION_KIND, STUDY_KIND
    from pipeline.tracking import connect

    tracker = connect()
    found = [run for kind in (STUDY_KIND, ABLATION_KIND) for run in tracker.find(kind=kind)]
    return columns, [
        (run.name, run.tags["study"], run.tags["kind"], run.status, _progress(run, tracker)) for run in found
    ]


def _progress(run: "Run", tracker: "Tracker") -> str:
    """Return in words how much is finished: cells of a study, trials of an ablation study."""
    from pipeline.stored_study import ABLATION_KIND, TRIAL_KIND, read_manifest

    if run.tags["kind"] == ABLATION_KIND:
        trials = tracker.find(kind=TRIAL_KIND, parent=run.id)
        return f"{sum(trial.status == 'FINISHED' for trial in trials)} of {run.tags.get('trials', '?')} trials"
    try:
        cells = read_manifest(run, tracker).cells
    except FileNotFoundError:
        return "ended before its first run"
    except UNREACHED:
        raise
    except UsageError:
        return "its study.json has changed"
    return f"{sum(bool(entry.run_id) for entry in cells)} of {len(cells)} runs"


def _presets() -> tuple[tuple[str, ...], Rows]:
    return ("file",), [(f"config/{path.name}",) for path in sorted(own_file("config").glob("*.json"))]


def settings() -> tuple[tuple[str, ...], Rows]:
    """Return every setting, as in the table of docs/settings.md: path, the kinds that have it, default, meaning."""
    from pipeline.config import RunConfig
    from pipeline.settings import fields_of

    kinds: dict[tuple[str, str, str], dict[str, None]] = {}
    for path, kind, field in fields_of(RunConfig):
        if not path.endswith(".name"):
            row = (path, json.dumps(field.default), field.description or "")
            kinds.setdefault(row, {})[
                str(kind.model_fields["name"].default) if "name" in kind.model_fields else "all"
            ] = None
    rows: Rows = [(path, _owners(list(names)), default, meaning) for (path, default, meaning), names in kinds.items()]
    return ("setting", "of", "default", "meaning"), rows


def _owners(owners: list[str]) -> str:
    """Return names as a list; most of the embeddings are written as "all embeddings but" the others."""
    known = [name for name, _ in names("embedding")]
    missing = [name for name in known if name not in owners]
    if len(missing) >= len(known) // 2:
        return ", ".join(owners)
    return "all embeddings" + (f" but {', '.join(missing)}" if missing else "")


def _settings() -> tuple[tuple[str, ...], Rows]:
    """List the settings in lines of 80: the kinds that have a setting are written behind its meaning."""
    rows: Rows = [
        (path, default, meaning if kinds == "all" else f"{meaning} ({kinds})")
        for path, kinds, default, meaning in settings()[1]
    ]
    return ("setting", "default", "meaning"), rows


def settings_markdown() -> str:
    """Return the table of settings as Markdown, as docs/settings.md holds it."""
    columns, rows = settings()
    lines = [columns, ("---",) * len(columns)]
    lines += [(f"`{path}`", kinds, f"`{default}`", meaning) for path, kinds, default, meaning in rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", " ") for line in lines)


LISTS: dict[str, Callable[[], tuple[tuple[str, ...], Rows]]] = {
    "embeddings": _embeddings,
    "models": partial(_listed, "backbone"),
    "datasets": partial(_listed, "dataset"),
    "metrics": partial(_listed, "metric"),
    "analyses": partial(_listed, "analysis"),
    "presets": _presets,
    "settings": _settings,
    "studies": _studies,
}
