"""The verbs of the command line: each checks its arguments, connects to the store, does the work, and prints the result."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from random import randrange
from typing import TYPE_CHECKING, Any, Literal

from analysis.wording import plural
from pipeline.config import RunConfig
from pipeline.console import duration, phase, say, show
from pipeline.errors import RunError, UsageError, without_secrets
from pipeline.launch import Launch, run_tasks
from pipeline.machine import resolve_device, ways
from pipeline.output import check_output
from pipeline.run_record import log_line
from pipeline.study import Cell, Study, check_names, check_seeds, load_run, load_study
from pipeline.tracking import Connection, Tracker, connect, deliver_all, retaken
from pipeline.train import run_cell
from pipeline.training.choice import History
from pipeline.training.start import check_fit
from pipeline.unfinished import clear

# Importing the analysis takes seconds and 80 MB, so only the verbs that need it import it.
# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from analysis.findings import Finding
    from pipeline.cluster.driver import Cluster
    from pipeline.data import DatasetConfig
    from pipeline.stored_study import StoredStudy


@dataclass(frozen=True)
class Call:
    """The arguments of the command line; each verb uses those that it takes."""

    config: Path | None = None
    models: tuple[str, ...] = ()
    seeds: list[Any] | None = None
    until: bool = False
    most_seeds: int | None = None
    vary: str = ""
    workers: int = 1
    launcher: str = "local"
    gpus_per_run: float | None = None
    memory_per_run: float | None = None
    time_left: float | None = None
    ends: float = inf
    plan: bool = False
    device: str = "auto"
    study: str = ""
    place: str = ""
    name: str = ""
    dry_run: bool = False
    output: Path | None = None
    storage: str = ""
    checkpoints: Path | None = None
    allow_missing: bool = False
    every: bool = False
    no_retrain: bool = False
    choice: int | None = None
    studies: tuple[str, ...] = ()
    model: str = ""
    accuracy: float | None = None
    tests: int | None = None
    runs: int | None = None
    chosen_on: Literal["", "test", "validation"] = ""
    file: Path | None = None
    weights: bool = False
    sign: Path | None = None
    source: Path | None = None
    reason: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)


def train(call: Call) -> None:
    """Train one model with one seed, unless that run is finished already."""
    overrides = dict(call.overrides)
    if len(call.models) > 1 or len(call.seeds or ()) > 1:
        raise UsageError("train: must get one model and one seed, got several. Use compare for several.")
    if call.seeds is not None:
        if "seed" in overrides:
            raise UsageError("seed: must be given once, got --seed and --seeds. Drop one.")
        overrides["seed"] = check_seeds(call.seeds)[0]
    model = call.models[0] if call.models else ""
    config = load_run(call.config, overrides, model)
    check([config])
    tracker, adopted = open_store(_database(call))
    cell = Cell(model or config.model.embedding.name, config)

    began = time.monotonic()

    def report(_cell: Cell, history: History) -> None:
        nonlocal began
        now, line = time.monotonic(), log_line(history[-1], config.train.epochs)
        left = (config.train.epochs - len(history)) * (now - began)
        began = now
        say(f"{line}  {duration(left)} left" if left else line)

    phase(f"training {cell.name}, if it is not trained yet")
    outcome = run_cell(cell, tracker, device=call.device, report=report, adopted=adopted)
    if adopted and adopted != outcome.run_id:
        tracker.set_tags(adopted, {"run": outcome.run_id})
    run = tracker.get(outcome.run_id)
    chosen = "the best on validation" if config.data.validation_size else "the last one, without validation"
    say(
        f"{cell.name}: test accuracy {run.metrics['test_accuracy']:.2%} at epoch {run.metrics['best_epoch']:.0f}, {chosen}; "
        f"{'trained before, nothing to do; ' if outcome.reused else ''}run {outcome.run_id}"
    )


def compare(call: Call) -> None:
    """Train the missing runs of a study."""
    study = _study(call)
    with _site(call) as site:
        if call.plan:
            return _forecast(study, call, site)
        _train_missing(study, site, call, *open_store(_database(call)))
    return say(f"analyse it with: python -m pipeline analyze --study {study.id}")


def _train_missing(
    study: Study, site: "_Site", call: Call, tracker: Tracker, adopted: str | None, *, probed: bool = False
) -> None:
    from pipeline.comparison import compare as train

    site.prepare({config.data: None for config in study.variants.values()}, tracker, tracker.folders)
    workers = len(site.places)
    train(
        study,
        tracker,
        workers=workers,
        device=site.device,
        adopted=adopted,
        probed=probed,
        launch=site.launch,
        ends=call.ends,
    )


@dataclass(frozen=True)
class _Site:
    """The place where runs are trained: this machine or a cluster."""

    places: Sequence[str]
    """The name of the worker or node of each run that is trained at the same time."""
    device: str
    launch: Launch = run_tasks
    cluster: "Cluster | None" = None

    def prepare(self, data: "Iterable[DatasetConfig]", tracker: Tracker, folders: Sequence[Path]) -> None:
        """Check the nodes of a cluster and send them the data; UsageError if a node cannot do the work."""
        if self.cluster:
            phase("checking the nodes")
            self.cluster.check(Connection(tracker), folders, partial(ways, self.device))
            self.cluster.hand_over(data)


@contextmanager
def _site(call: Call) -> Iterator[_Site]:
    """Connect to a cluster if the arguments ask for one."""
    if call.launcher == "local":
        for name, given in {"--gpus-per-run": call.gpus_per_run, "--memory-per-run": call.memory_per_run}.items():
            if given is not None:
                raise UsageError(f"{name}: must stand with --launcher ray, got --launcher local. Drop one.")
        yield _Site([f"worker {number + 1}" for number in range(call.workers)], call.device)
        return
    from pipeline.cluster.driver import Demand, connected

    if call.device == "cpu" and call.gpus_per_run:
        raise UsageError(f"--gpus-per-run: must be left out with --device cpu, got {call.gpus_per_run:g}. Drop one.")
    if call.device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device: must be cpu or cuda with --launcher ray, which chooses the GPU, got {call.device}. Correct it."
        )
    # Resolved here, so that all nodes use the same kind of device.
    device = "cuda" if call.device == "cuda" or call.gpus_per_run else "cpu"
    resolve_device(device)
    gpus = call.gpus_per_run or (1.0 if device == "cuda" else 0.0)
    phase("connecting to the Ray cluster")
    with connected(Demand(gpus, call.memory_per_run or 1.0), call.workers) as cluster:
        yield _Site([f"node {place}" for place in cluster.places], device, cluster.run_tasks, cluster)


def _forecast(study: Study, call: Call, site: _Site) -> None:
    """Print what a study would train, without creating a store."""
    from pipeline.forecast import forecast
    from pipeline.ls import is_store

    tracker = connect(database=_database(call) or None) if is_store() else None
    forecast(study, tracker, site.places, site.device, call.time_left)


def _study(call: Call) -> Study:
    study = load_study(
        call.config,
        models=call.models,
        seeds=call.seeds,
        overrides={**call.overrides, **({"vary": call.vary} if call.vary else {})},
        name=call.name,
        until_decided=call.until,
        most_seeds=call.most_seeds,
    )
    check(study.variants.values())
    return study


def _database(call: Call) -> str:
    """Return the database whose locks own the runs of a server; empty if none is given."""
    if call.storage and not call.storage.startswith("postgresql"):
        kind = call.storage.split(":", maxsplit=1)[0]
        raise UsageError(
            f"--storage: must be a PostgreSQL database, which machines can share, got one of {kind}. "
            "Leave it out: runs in a local store are locked beside it."
        )
    store = os.environ.get("MLFLOW_TRACKING_URI") or "the local one"
    if call.storage and not store.startswith("http"):
        raise UsageError(
            f"--storage: must be given beside a tracking server alone, got it with the store {store}, which locks its runs itself. "
            "Leave it out, or name the server in MLFLOW_TRACKING_URI."
        )
    return call.storage


def check(configs: Iterable[RunConfig]) -> None:
    """Load the data, and check that the models accept them, before anything is recorded."""
    notes: dict[str, None] = {}
    phase("loading the data")
    for config in configs:
        splits = config.data.load()
        check_fit(config, splits)
        notes |= dict.fromkeys(splits.notes)
    for note in notes:
        say(f"data: {note}")


def open_store(database: str = "") -> tuple[Tracker, str | None]:
    """Connect to the store, send waiting spools, and end runs whose process died; return the tracker and an adopted run.

    The adopted run is the one that `mlflow run` created, or None. If the store is a server, the locks of `database` own its runs.
    """
    # Workers must not see the variable: MLflow would give each of them that run.
    adopted = os.environ.pop("MLFLOW_RUN_ID", None)
    tracker = connect(database=database or None)
    _check_folders(tracker)
    if tracker.spools:
        _deliver(tracker)
    tracker.sweep()
    return tracker, adopted


def _check_folders(tracker: Tracker) -> None:
    """Refuse a store whose files lie on another machine: MLflow would use a folder of the same name on this machine instead."""
    unseen = [folder for folder in tracker.folders if not folder.is_dir()] if tracker.remote else []
    if unseen and tracker.find():
        raise UsageError(
            f"{unseen[0]}: must be a folder that all who share {tracker.uri} see, because the files of its runs are there, got none. "
            "Mount it at the same path, or use a tracking server, which keeps them itself."
        )


def deliver(call: Call) -> None:
    """Send what was recorded while a tracking server was unreachable."""
    tracker = connect(database=_database(call) or None)
    if not tracker.spools:
        raise UsageError(
            f"MLFLOW_TRACKING_URI: must be a tracking server, got {tracker.uri}, which is written directly. Name the server."
        )
    tracker.checkpoints = call.checkpoints or tracker.checkpoints
    sent, stay = _deliver(tracker)
    if not sent and not stay:
        say(f"nothing waits in {tracker.checkpoints}/")
    if stay:
        raise RunError(
            f"deliver: everything must be sent, got {plural(stay, 'run')} that stayed. The lines above say why."
        )


def _deliver(tracker: Tracker) -> tuple[int, int]:
    """Send the waiting spools, print the outcome of each, and return how many were sent and how many were kept."""
    sent = stay = 0
    for spool in deliver_all(tracker):
        sent, stay = (sent + 1, stay) if spool.run else (sent, stay + 1)
        say(f"{spool.name}: sent {spool.said} to run {spool.run.id}" if spool.run else f"not sent: {spool.said}")
        if spool.run and spool.run.status == "FINISHED":
            clear([spool.run], tracker)
    return sent, stay


def analyze(call: Call) -> None:
    """Analyse a finished study."""
    from pipeline.stored_study import find_study

    tracker, adopted = open_store()
    study = find_study(tracker, call.study)
    if adopted:
        tracker.set_tags(adopted, {"study": study.id, "parent": study.parent.id})
    _analyze(study, tracker, call)


def claim(call: Call) -> None:
    """Compare a published accuracy with the stored runs of a model."""
    from pipeline.claim import place_claim
    from pipeline.stored_study import find_study

    if call.accuracy is None:
        raise UsageError("--accuracy: must be the published accuracy in percent, got none. Write for instance 97.31.")
    if not call.chosen_on:
        raise UsageError(
            "--chosen-on: must be test or validation, got none. Say by which split the published epoch was chosen, "
            "validation where none was."
        )
    tracker, _ = open_store()
    place_claim(
        find_study(tracker, call.study),
        tracker,
        model=call.model,
        accuracy=call.accuracy,
        tests=call.tests,
        runs=call.runs or 1,
        chosen_on=call.chosen_on,
    )


def suite(call: Call) -> None:
    """Compare the models of several studies over their data sets."""
    from pipeline.stored_study import find_study
    from pipeline.suite import check_ids, compare_over_data

    check_ids(call.studies)
    tracker, _ = open_store()
    studies = [find_study(tracker, wanted) for wanted in call.studies]
    compare_over_data(studies, tracker, output=_output(call, "suite"), allow_missing=call.allow_missing)


def verify(call: Call) -> None:
    """Verify stored studies; RunError if a check fails."""
    from pipeline.stored_study import ABLATION_KIND, STUDY_KIND, find_parent
    from pipeline.verify import verify_study

    tracker, _ = open_store()
    if call.every and call.study:
        raise UsageError(f"--all: must stand without a study, got {call.study}. Drop one.")
    kinds = (STUDY_KIND, ABLATION_KIND)
    parents = [run for kind in kinds for run in tracker.find(kind=kind)] if call.every else []
    wrong = []
    for parent in parents or [find_parent(tracker, call.study)]:
        choice = randrange(10_000) if call.choice is None else call.choice  # noqa: S311 - no secret
        if not verify_study(parent, tracker, retrain=not call.no_retrain, choice=choice):
            wrong.append(parent.tags["study"])
    if wrong:
        raise RunError(
            f"verify: what is stored must be as it was stored and repeatable, got {plural(len(wrong), 'failure')}: "
            f"{', '.join(wrong)}. The lines that begin with FAILS say what mends each."
        )


def promote(call: Call) -> None:
    """Make the best model of a study the champion of a registered model, if the study shows that it is better."""
    from pipeline.promotion.promote import NAME
    from pipeline.promotion.promote import promote as promote_leader
    from pipeline.stored_study import find_study

    check_names("--name", [call.name] if call.name else [])
    tracker, _ = open_store()
    promote_leader(
        find_study(tracker, call.study), tracker, name=call.name or NAME, reason=without_secrets(call.reason)
    )


def export(call: Call) -> None:
    """Write a study to a file that others can verify and import into their store."""
    from pipeline.exchange.sending import export_study
    from pipeline.exchange.signature import private_key
    from pipeline.stored_study import find_study

    assert call.file  # noqa: S101 - the command line requires it
    key = private_key(call.sign) if call.sign else None
    tracker, _ = open_store()
    export_study(find_study(tracker, call.study), tracker, call.file, weights=call.weights, key=key)


def import_(call: Call) -> None:
    """Import a study from a file into the store."""
    from pipeline.exchange.taking import import_file

    assert call.file  # noqa: S101 - as above
    tracker, _ = open_store()
    import_file(call.file, tracker)


def predict(call: Call) -> None:
    """Classify the sequences of a file with a stored model."""
    from pipeline.scoring import check_places, score_file

    _check_model(call)
    if not call.source or not call.output:
        flag, what = ("--output", "the file of the answers") if call.source else ("--input", "a file of events")
        raise UsageError(f"{flag}: must be {what}, got none. Name one.")
    check_places(call.source, call.output)
    score_file(_fetched(call), call.source, call.output)


def drift(call: Call) -> None:
    """Compare the sequences of a file with those that a stored model was trained on."""
    from pipeline.drift import check_page, watch

    _check_model(call)
    if not call.source:
        raise UsageError("--input: must be a file of events, got none. Name one.")
    check_page(call.output)
    watch(call.model, _fetched(call), call.source, call.output)


def _check_model(call: Call) -> None:
    """Refuse a text that is not the address of a stored model."""
    if not call.model.startswith(("models:/", "runs:/")):
        raise UsageError(
            f"--model: must be models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/NAME, got {call.model or 'none'}. "
            "The page of a run shows the address of its model."
        )


def _fetched(call: Call) -> tuple[Path, Path]:
    """Return the description and the weights of a stored model."""
    from pipeline.ls import check_store

    check_store()
    phase(f"fetching {call.model}")
    return connect().model_files(call.model)


def main(call: Call) -> None:
    """Train the missing runs of a study, analyse it, and print the findings."""
    from pipeline.stored_study import find_study

    study = _study(call)
    failed: RunError | None = None
    with _site(call) as site:
        if call.plan:
            return _forecast(study, call, site)
        tracker, adopted = open_store(_database(call))
        check_output(_output(call, study.name), study.id)
        try:
            _train_missing(study, site, call, tracker, adopted, probed=True)
        except RunError as error:
            if not call.allow_missing:
                raise
            failed = error
    _analyze(find_study(tracker, study.id), tracker, call)
    if failed:
        raise failed
    return None


def doctor(call: Call) -> None:
    """Examine the event times of a file or a data set."""
    from pipeline.data import DATASETS
    from pipeline.doctor import examine
    from pipeline.settings import resolve_all

    given = resolve_all(call.overrides)
    if other := next((path for path in given if not path.startswith("data.")), ""):
        raise UsageError(f"{other}: must be a setting of the data, which doctor looks at, got another one. Drop it.")
    if call.place:
        named = {"data.name": call.place}
        if call.place not in DATASETS:
            named = {"data.name": "events_file", "data.path": call.place}
        if twice := next((path for path in named if path in given and given[path] != named[path]), ""):
            raise UsageError(f"{twice}: must be given once, got {named[twice]} and {given[twice]}. Drop one.")
        given |= named
    if not given and not call.config:
        raise UsageError("doctor: must be followed by a file of events or a data set, got none. Name one.")
    examine(load_run(call.config, given), _output(call, "doctor"))


def rm(call: Call) -> None:
    """Delete a study and the runs that no other study uses."""
    from pipeline.ablation.queue import DEFAULT_STORAGE
    from pipeline.ls import check_store
    from pipeline.removal import remove

    if not call.study:
        raise UsageError("rm: must be followed by a study, got none. `python -m pipeline ls studies` lists them.")
    check_store()
    tracker, _ = open_store()
    storage = call.storage or os.environ.get("OPTUNA_STORAGE") or DEFAULT_STORAGE
    remove(tracker, call.study, storage=storage, dry_run=call.dry_run)


def clean(call: Call) -> None:
    """Delete files that no run needs."""
    from pipeline.ls import check_store
    from pipeline.removal import clean as delete_left

    check_store()
    tracker, _ = open_store()
    delete_left(tracker, dry_run=call.dry_run)


def relocate(_: Call) -> None:
    """Make a store that was moved or copied use the files beside it."""
    from pipeline.ls import LOCAL_STORE, check_store, store_address
    from pipeline.tracking.relocation import relocate as use_files_beside

    address = store_address()
    if not address.startswith(LOCAL_STORE):
        raise UsageError(
            f"relocate: must be told a store in an SQLite file, got {without_secrets(address)}. The files of another one lie "
            "where its server keeps them."
        )
    check_store()
    changes = use_files_beside(Path(address.removeprefix(LOCAL_STORE)).resolve())
    for old, new, count in changes:
        say(f"{count:,} addresses of files begin now with {new}, and not with {old}")
    if not changes:
        say("nothing to change: no other files of the store lie beside it")


def ablate(call: Call) -> None:
    """Run the missing trials of an ablation study, and print the findings."""
    from pipeline.ablation.conclude import conclude
    from pipeline.ablation.conduct import conduct, foresee
    from pipeline.ablation.queue import DEFAULT_STORAGE, folders_of
    from pipeline.ablation.reading import load_ablation

    if not call.config:
        raise UsageError("--config: must be given to ablate, got none. config/ablation.json is one to start from.")
    check_names("--name", [call.name] if call.name else [])
    study = load_ablation(call.config, rows=call.models, seeds=call.seeds, overrides=call.overrides)
    study = replace(study, name=call.name or study.name)
    output = _output(call, study.name)
    check_output(output, study.id)
    resolve_device(call.device)
    check(study.samples())
    storage = call.storage or os.environ.get("OPTUNA_STORAGE") or DEFAULT_STORAGE
    with _site(call) as site:
        workers = len(site.places)
        if call.plan:
            return foresee(study, storage, workers=workers, device=site.device)
        tracker, adopted = open_store(call.storage)
        if storage.startswith("postgresql") and tracker.uri.startswith("sqlite"):
            say(
                f"Note. The trials lie in a database that machines can share, the runs in {tracker.uri}, which they cannot share. "
                "Name a tracking server in MLFLOW_TRACKING_URI before another machine helps."
            )
        data = {config.data: None for config in study.samples()}
        site.prepare(data, tracker, [*tracker.folders, *folders_of(storage)])

        def run() -> None:
            with conduct(
                study,
                tracker,
                storage=storage,
                workers=workers,
                device=site.device,
                adopted=adopted,
                launch=site.launch,
                ends=call.ends,
            ) as (parent, queue):
                conclusion = conclude(study, tracker, parent, queue, output)
                if conclusion:
                    _show(conclusion.findings, f"{study.name} (study {study.id})")
                    say(conclusion.best)
                    say()
                    say(f"report and figures: {output}/ablation_report.md")
                    say(f"MLflow: {tracker.ui}, then {tracker.site}{tracker.page(parent)}")

        return retaken(run)


def _analyze(study: "StoredStudy", tracker: Tracker, call: Call) -> None:
    from pipeline.analyze import analyze_study, links

    output = _output(call, study.name)
    findings = analyze_study(study, tracker, output=output, allow_missing=call.allow_missing)
    _show(findings, f"{study.name} (study {study.id})")
    say(f"report and figures: {output}/analysis_report.html")
    say(f"MLflow{'' if tracker.spools else ', to be started first'}: {tracker.ui}")
    for line in links(study, tracker):
        say(line)


def _show(findings: "list[Finding]", title: str) -> None:
    """Print results, warnings and verdicts."""
    from analysis.report.markdown import banner_lines, results_rows, verdict_lines

    say()
    if not findings:
        return
    show(*results_rows(findings), title=title)
    for banner in banner_lines(findings):
        say(f"Note. {banner}")
    say()
    for line in verdict_lines(findings):
        say(line)
    say()


def _output(call: Call, name: str) -> Path:
    return call.output or Path("results") / name
