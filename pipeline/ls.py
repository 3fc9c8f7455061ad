"""What there is: the registries of the project, with the first line of each docstring."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from analysis.analyses.registry import ANALYSES
from analysis.metrics.registry import METRICS
from models.cards import card
from models.registry import MODELS
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.config import RunConfig
from pipeline.console import say, show
from pipeline.data import DATASETS
from pipeline.data.card import card as card_of_data
from pipeline.errors import UsageError, unknown
from pipeline.place import own_file
from pipeline.settings import build_run, fields_of, resolve_all
from pipeline.stored_study import ABLATION_KIND, STUDY_KIND, TRIAL_KIND, read_manifest
from pipeline.tracking import Run, Tracker, connect

Rows = list[tuple[str, ...]]
CARD = "data"
"""The topic that takes a file, too."""


def ls(topic: str = "", place: str = "", overrides: Mapping[str, Any] | None = None) -> None:
    """Print one list, or all but the settings and the studies of the store; of `data` the card of the file at `place`."""
    if topic == CARD:
        return _card(place, overrides or {})
    if place or overrides:
        got = place or f"--{next(iter(overrides or {}))}"
        raise UsageError(f"ls: must be given one list, got also {got}. Write ls {CARD} FILE for a file of events.")
    if topic and topic not in LISTS:
        raise unknown("list", topic, [*LISTS, CARD])
    for name in [topic] if topic else [name for name in LISTS if name not in ("settings", "studies")]:
        columns, rows = LISTS[name]()
        show(columns, rows, title=name)
        say()
    return None


def _card(place: str, overrides: Mapping[str, Any]) -> None:
    """Print the data card of a file of events, or of a data set by its name."""
    if not place:
        raise UsageError(f"ls {CARD}: must be followed by a file of events or a data set, got none. Name one.")
    given: dict[str, Any] = {"data.name": place}
    if place not in DATASETS:  # the default of the split is for larger files
        given = {"data.name": "events_file", "data.path": place, "data.validation_size": 0}
    config = build_run({**given, **resolve_all(overrides)}).data
    for what, value in card_of_data(config):
        say(f"{what}: {value}")


def _described(registry: Mapping[str, object]) -> tuple[tuple[str, ...], Rows]:
    return ("name", "what it is"), [(name, _first_line(thing)) for name, thing in registry.items()]


def _embeddings() -> tuple[tuple[str, ...], Rows]:
    cards = [card(name) for name in TIME_EMBEDDINGS]
    columns = ("name", "parameters", "effective rank", "what it represents", "code of an event", "source")
    return columns, [
        (its.name, f"{its.parameters:,}", f"{its.effective_rank:.1f}", its.represents, its.formula, its.source)
        for its in cards
    ]


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


def _metrics() -> tuple[tuple[str, ...], Rows]:
    return ("name", "what it is"), [(metric.name, metric.title) for metric in METRICS]


def _studies() -> tuple[tuple[str, ...], Rows]:
    """List what the tracking store holds: it costs seconds, so only where it is asked for by name."""
    tracker = connect()
    found = [run for kind in (STUDY_KIND, ABLATION_KIND) for run in tracker.find(kind=kind)]
    rows: Rows = [
        (run.name, run.tags["study"], run.tags["kind"], run.status, _progress(run, tracker), run.id) for run in found
    ]
    return ("name", "study", "kind", "status", "finished", "run"), rows


def _progress(run: Run, tracker: Tracker) -> str:
    """Return how much of a study is finished: cells of a study, trials of an ablation."""
    if run.tags["kind"] == ABLATION_KIND:
        trials = tracker.find(kind=TRIAL_KIND, parent=run.id)
        return f"{sum(trial.status == 'FINISHED' for trial in trials)} of {run.tags.get('trials', '?')} trials"
    try:
        cells = read_manifest(run, tracker).cells
    except FileNotFoundError:
        return "ended before its first run"
    except UsageError:
        return "its study.json has changed"
    return f"{sum(bool(entry.run_id) for entry in cells)} of {len(cells)} runs"


def _presets() -> tuple[tuple[str, ...], Rows]:
    return ("file",), [(f"config/{path.name}",) for path in sorted(own_file("config").glob("*.json"))]


def settings() -> tuple[tuple[str, ...], Rows]:
    """Return every setting: path, the kinds that have it, default, meaning; the table of the README."""
    kinds: dict[tuple[str, str, str], dict[str, None]] = {}
    for path, kind, field in fields_of(RunConfig):
        if not path.endswith(".name"):
            row = (path, json.dumps(field.default), field.description or "")
            kinds.setdefault(row, {})[
                str(kind.model_fields["name"].default) if "name" in kind.model_fields else "all"
            ] = None
    rows: Rows = [(path, _owners(list(names)), default, meaning) for (path, default, meaning), names in kinds.items()]
    return ("setting", "of", "default", "meaning"), rows


def _owners(names: list[str]) -> str:
    """Return names as a list; most of the embeddings as all but the others."""
    missing = [name for name in TIME_EMBEDDINGS if name not in names]
    if len(missing) >= len(TIME_EMBEDDINGS) // 2:
        return ", ".join(names)
    return "all embeddings" + (f" but {', '.join(missing)}" if missing else "")


def settings_markdown() -> str:
    """Return the table of settings as Markdown, as the README holds it."""
    columns, rows = settings()
    lines = [columns, ("---",) * len(columns)]
    lines += [(f"`{path}`", kinds, f"`{default}`", meaning) for path, kinds, default, meaning in rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", " ") for line in lines)


LISTS: dict[str, Callable[[], tuple[tuple[str, ...], Rows]]] = {
    "embeddings": _embeddings,
    "models": lambda: _described(MODELS),
    "datasets": lambda: _described(DATASETS),
    "metrics": _metrics,
    "analyses": lambda: _described(ANALYSES),
    "presets": _presets,
    "settings": settings,
    "studies": _studies,
}
