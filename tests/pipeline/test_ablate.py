"""Ablation studies from the file to the tree of runs, on the small real sample."""

import contextlib
import json
import multiprocessing
import os
import pickle
import random
import re
import signal
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pandas as pd
import psycopg
import pytest
from optuna.trial import TrialState

from analysis.wording import points
from pipeline.__main__ import main
from pipeline.ablation import conclude as conclusion
from pipeline.ablation import conduct as conducting
from pipeline.ablation import queue as queue_module
from pipeline.ablation import worker
from pipeline.ablation.conclude import conclude
from pipeline.ablation.conduct import conduct
from pipeline.ablation.queue import Queue
from pipeline.ablation.reading import load_ablation
from pipeline.ablation.worker import Shift, work
from pipeline.errors import RunError, TimeUpError, UsageError
from pipeline.stored_study import find_study, load_results
from pipeline.study import load_run, load_study
from pipeline.tracking import Connection, Stopped
from pipeline.tracking.ownership import ByLocks, DatabaseLocks
from pipeline.train import run_cell

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.embedding.name": "sincos",
    "train.batch_size": 64,
    "train.epochs": 2,
    "seeds": [0, 1],
}
GRID = {**SMALL, "model.hidden_dim": [6, 8], "model.embedding.dim": [4, 6]}


@pytest.fixture
def storage(workplace):
    return f"sqlite:///{workplace}/optuna.db"


def read(tree, **changes):
    Path("study.json").write_text(json.dumps({**tree, **changes}))
    return load_ablation(Path("study.json"))


def run(study, tracker, storage, workers=1):
    """Run a study and conclude it; return its parent run and its trials."""
    with conduct(study, tracker, storage=storage, workers=workers, device="cpu") as (parent, queue):
        trials = queue.trials()
        conclude(study, tracker, parent, queue, Path("results"))
    return parent, trials


def trial_runs(tracker, parent):
    return tracker.find(kind="trial", parent=parent)


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Drawing PNGs takes seconds, and is tested with the figures."""
    monkeypatch.setattr("pipeline.ablation.conclude.to_png", lambda _: {})


def test_a_grid_is_a_tree_of_trials_and_cells_whose_params_are_what_they_change(mlflow_tracker, storage):
    parent, trials = run(read(GRID), mlflow_tracker, storage, workers=2)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    runs = trial_runs(mlflow_tracker, parent)
    assert {one.status for one in runs} == {mlflow_tracker.get(parent).status} == {"FINISHED"}
    assert {one.tags["mlflow.parentRunId"] for one in runs} == {parent}
    params = [mlflow_tracker._client.get_run(one.id).data.params for one in runs]
    assert sorted((each["model.hidden_dim"], each["model.embedding.dim"]) for each in params) == [
        ("6", "4"), ("6", "6"), ("8", "4"), ("8", "6"),
    ]  # fmt: skip
    assert all(len(each) == 2 for each in params)
    cells = [cell for one in runs for cell in mlflow_tracker.find(**{"mlflow.parentRunId": one.id})]
    assert sorted(cell.tags["seed"] for cell in cells) == ["0"] * 4 + ["1"] * 4
    assert {one.name.partition(" ")[0] for one in runs} == {"t0", "t1", "t2", "t3"}
    assert {cell.name for cell in cells} == {f"t{number} s{seed}" for number in range(4) for seed in (0, 1)}


def test_the_same_command_again_trains_nothing_and_more_seeds_are_another_study(memory, storage, capsys):
    first, _ = run(read(GRID), memory, storage)
    capsys.readouterr()
    assert run(read(GRID), memory, storage)[0] == first
    assert "4 of 4 trials are ended, 0 to run" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--name: must be a new name"):
        run(read(GRID, seeds=[0]), memory, storage)


def test_the_plan_of_an_ablation_says_what_is_left_and_starts_nothing(storage, capsys):
    Path("study.json").write_text(json.dumps({**GRID, "seeds": [0]}))
    command = ["ablate", "--config", "study.json", "--storage", storage, "--workers", "2", "--plan"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "0 of 4 trials are ended, 4 to run\n8 epochs, about " in said
    assert said.endswith(" with 2 worker(s); nothing was started\n")
    assert not list(Path.cwd().glob("*.db"))


def test_an_ablation_whose_time_is_over_says_what_is_left_and_goes_on_later(
    mlflow_tracker, storage, capsys, monkeypatch
):
    Path("study.json").write_text(json.dumps({**GRID, "seeds": [0], "train.epochs": 1}))
    command = ["ablate", "--config", "study.json", "--storage", storage, "--workers", "1"]
    asked = []
    with monkeypatch.context() as patched:
        patched.setattr(worker, "fits", lambda seconds, left: asked.append((seconds, left)) or len(asked) < 3)
        assert main([*command, "--time-left", "600"]) == os.EX_TEMPFAIL
    assert capsys.readouterr().err == (
        "stopped: --time-left: must suffice for all trials, got 2 of 4 that would last longer. "
        "Run the same command again, it goes on with them.\n"
    )
    assert all(seconds > 0 and 0 < left < 600 for seconds, left in asked)
    [parent] = mlflow_tracker.find(kind="ablation")
    assert parent.status == "KILLED"
    assert len(trial_runs(mlflow_tracker, parent.id)) == 2
    assert main([*command, "--plan"]) == 0
    assert "2 of 4 trials are ended, 2 to run" in capsys.readouterr().out
    assert main([*command, "--time-left", "600"]) == 0
    assert [run.status for run in trial_runs(mlflow_tracker, parent.id)] == ["FINISHED"] * 4


def test_the_objective_is_the_mean_validation_accuracy_of_the_best_epochs(memory, storage):
    _, trials = run(read(GRID), memory, storage)
    for trial in trials:
        best = []
        for score in trial.user_attrs["scores"]:
            history = json.loads(memory.fetch(score["cell"], "history.json").read_text())
            best.append(max(row["validation/accuracy"] for row in history))
        assert trial.values == [pytest.approx(sum(best) / 2)]


def test_the_best_config_is_one_that_train_accepts_and_the_best_trial_is_tagged(memory, storage):
    parent, trials = run(read(GRID), memory, storage)
    best = max(trials, key=lambda trial: (trial.values[0], -trial.number))
    tagged = [one for one in trial_runs(memory, parent) if one.tags.get("best") == "true"]
    assert [one.tags["trial"] for one in tagged] == [str(best.number)]
    config = load_run(Path("results/best_config.json"), {})
    assert config.model.hidden_dim == best.params["model.hidden_dim"]
    assert memory.fetch(parent, "best_config.json").is_file()


def one_point_of_the_grid():
    settings = {key: value for key, value in SMALL.items() if key not in ("seeds", "model.embedding.name")}
    return load_study(
        None, models=("sincos",), seeds=[0, 1], overrides={**settings, "model.hidden_dim": 6, "model.embedding.dim": 4}
    )


def trained(study, tracker):
    """Train the cells of a study as `compare` does; return their runs."""
    cells = study.cells()
    return [run_cell(cell, tracker, device="cpu", report=lambda *_: None).run_id for cell in cells]


def test_a_cell_that_was_trained_outside_the_study_is_reused(memory, storage):
    before = trained(one_point_of_the_grid(), memory)
    _, trials = run(read(GRID), memory, storage)
    assert [score["cell"] for score in trials[0].user_attrs["scores"]] == before
    assert len(memory.find(seed="0")) == 4


def test_a_cell_of_a_trial_gets_its_model_for_mlflow_when_compare_takes_it(mlflow_tracker, storage):
    from pipeline.comparison import compare  # noqa: PLC0415

    run(read(GRID), mlflow_tracker, storage)
    assert mlflow_tracker.find(packaged="true") == []
    count = len(mlflow_tracker.find(seed="0"))
    compare(one_point_of_the_grid(), mlflow_tracker, workers=1, device="cpu")
    assert len(mlflow_tracker.find(seed="0")) == count
    assert sorted(cell.tags["seed"] for cell in mlflow_tracker.find(packaged="true")) == ["0", "1"]


def test_named_changes_get_verdicts_on_the_test_split_from_their_declared_plan(memory, storage):
    rows = {"full": {}, "narrow": {"model.hidden_dim": 4}, "raw": {"model.embedding.time_scale": "unit"}}
    parent, trials = run(read({**SMALL, "model.hidden_dim": 8}, rows=rows), memory, storage)
    stored = find_study(memory, parent)
    results = load_results(stored, memory, allow_missing=False, probes=False)
    assert list(results.models) == ["full", "narrow", "raw"]
    assert results.declaration
    assert results.declaration.plan.reference == "full"
    accuracy = {
        trial.user_attrs["point"]: fmean(
            memory.get(score["cell"]).metrics["test_accuracy"] for score in trial.user_attrs["scores"]
        )
        for trial in trials
    }
    note = memory.get(parent).tags["mlflow.note.content"]
    assert "2 declared pairs" in note
    verdicts = re.findall(
        r"^- \*\*(\w+) against full is ([\w ]+)\*\*: (\S+) points \[.*needs 3 seeds", note, re.MULTILINE
    )
    assert [(row, gap) for row, _, gap in verdicts] == [
        (row, points(accuracy[row] - accuracy["full"])) for row in ("narrow", "raw")
    ]
    # Two seeds give no verdict.
    assert [verdict for _, verdict, _ in verdicts] == ["undecided"] * 2


def test_a_change_that_is_clearly_better_gets_that_verdict(memory, storage, monkeypatch):
    from pipeline.ablation import conclude as concluding  # noqa: PLC0415

    real = concluding.load_results

    def with_answers(study, tracker, **named):
        """Give the wide model the right answer to every test sequence, and the narrow one a wrong answer to nine in ten."""
        results = real(study, tracker, **named)
        answers, right = results.predictions, results.predictions["model"] == "wide"
        lucky = answers["sample_id"] % 10 == answers["seed"]
        answers = answers.assign(predicted=answers["label"].where(right | lucky, (answers["label"] + 1) % 10))
        accuracy = (answers["label"] == answers["predicted"]).groupby(answers["run_id"]).mean()
        runs = results.runs.assign(test_accuracy=results.runs["run_id"].map(accuracy))
        return replace(results, predictions=answers, runs=runs)

    monkeypatch.setattr(concluding, "load_results", with_answers)
    rows = {"narrow": {}, "wide": {"model.hidden_dim": 8}}
    parent, _ = run(read({**SMALL, "model.hidden_dim": 4, "seeds": [0, 1, 2]}, rows=rows), memory, storage)
    note = memory.get(parent).tags["mlflow.note.content"]
    assert "- **wide is better than narrow**: +90.00 points" in note


def test_a_search_gives_each_embedding_the_same_number_of_trials_and_draws_nothing_twice(memory, storage):
    space = {
        "model.embedding.name": ["sincos", "lete"],
        "train.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True},
        "p": [0.25, 0.75],
        "model.embedding.dim": 4,
        "model.hidden_dim": 6,
    }
    tree = {**SMALL, **space, "design": "random", "trials": 4, "seeds": [0], "train.epochs": 1}
    _, first = run(read(tree), memory, storage)
    _, more = run(read(tree, trials=6), memory, storage)
    assert [trial.params for trial in more[:4]] == [trial.params for trial in first]
    assert [trial.params["model.embedding.name"] for trial in more] == ["sincos", "lete"] * 3
    assert all(
        ("model.embedding.p" in trial.params) == (trial.params["model.embedding.name"] == "lete") for trial in more
    )
    assert len({trial.params["train.learning_rate"] for trial in more}) == 6
    tuned = json.loads(Path("results/tuned_study.json").read_text())
    assert tuned["tuning_trials"] == {"sincos": 3, "lete": 3}
    assert not set(tuned["seeds"]) & {0}


def test_two_objectives_have_a_front_whose_trials_are_tagged(memory, storage):
    tree = {**GRID, "objectives": ["validation_accuracy", "parameters"], "seeds": [0], "train.epochs": 1}
    parent, trials = run(read(tree), memory, storage)
    front = {
        str(one.number)
        for one in trials
        if not any(
            other.values[0] >= one.values[0] and other.values[1] <= one.values[1] and other.values != one.values
            for other in trials
        )
    }
    assert {one.tags["trial"] for one in trial_runs(memory, parent) if one.tags.get("pareto") == "true"} == front
    named = ", ".join(sorted(front, key=int))
    note = memory.get(parent).tags["mlflow.note.content"]
    assert f"On the Pareto front of validation accuracy and parameters: trial {named}." in note


def test_a_failed_point_ends_failed_with_its_error_and_is_tried_again(memory, storage, monkeypatch):
    from pipeline.ablation import worker  # noqa: PLC0415

    real = worker.run_cell

    def failing(cell, *arguments, **named):
        if cell.config.model.hidden_dim == 6:
            raise FloatingPointError("loss: must be finite, got nan")
        return real(cell, *arguments, **named)

    monkeypatch.setattr(worker, "run_cell", failing)
    study = read(GRID, seeds=[0])
    with pytest.raises(RunError, match=r"2 trials failed.*loss: must be finite"):
        run(study, memory, storage)
    parent = memory.find(kind="ablation")[0]
    failed = [one for one in trial_runs(memory, parent.id) if one.status == "FAILED"]
    assert len(failed) == 2
    assert all("loss: must be finite" in one.tags["error"] for one in failed)
    monkeypatch.setattr(worker, "run_cell", real)
    parent_id, _ = run(study, memory, storage)  # what failed and then came through is no failure
    assert memory.get(parent_id).status == "FINISHED"
    states = [trial.state for trial in Queue(study, storage).trials()]
    assert states.count(TrialState.COMPLETE) == 4
    report = Path("results/ablation_report.md").read_text()
    assert "Complete factorial" in report
    shared = report.partition("## Settings of all trials")[2]
    assert f"| train.epochs | {study.most_epochs} |" in shared
    assert "| seed | 0 |" in shared
    assert "model.hidden_dim" not in shared  # which the trials vary


def test_a_pruned_trial_ends_killed_with_the_reason(memory, storage, monkeypatch):
    from optuna.trial import Trial  # noqa: PLC0415

    monkeypatch.setattr(Trial, "should_prune", lambda trial: trial.number == 2)
    parent, trials = run(read(GRID, pruning="median"), memory, storage)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    killed = [one for one in trial_runs(memory, parent) if one.status == "KILLED"]
    assert [one.tags["trial"] for one in killed] == ["2"]
    assert killed[0].tags["stopped"].startswith("pruned")
    cells = memory.find(**{"mlflow.parentRunId": killed[0].id})
    assert [cell.status for cell in cells] == ["KILLED"]


def test_a_reused_cell_counts_for_the_pruner_as_one_that_was_trained(memory, storage):
    trained(one_point_of_the_grid(), memory)
    _, trials = run(read(GRID, pruning="median"), memory, storage)
    # Two seeds of two epochs; a value is the best of its seed so far.
    assert [sorted(trial.intermediate_values) for trial in trials] == [[1, 2, 3, 4]] * 4
    for trial in trials:
        one, two, three, four = (value for _, value in sorted(trial.intermediate_values.items()))
        assert one <= two
        assert three <= four
        assert (two + four) / 2 == pytest.approx(trial.values[0])


def test_a_resumed_cell_counts_for_the_pruner_with_all_its_epochs(memory, storage, monkeypatch, recwarn):
    from pipeline import train  # noqa: PLC0415

    fit, interrupted = train.fit, []

    def interrupting(training, *arguments):
        for epoch in fit(training, *arguments):
            if epoch.number == 2 and not interrupted:
                interrupted.append(True)
                raise KeyboardInterrupt
            # The first epoch is the best by far.
            yield replace(epoch, validation=replace(epoch.validation, accuracy=1 / epoch.number))

    monkeypatch.setattr(train, "fit", interrupting)
    study = read({**SMALL, "model.hidden_dim": [6], "pruning": "median", "train.epochs": 3, "seeds": [0]})
    with pytest.raises(KeyboardInterrupt):
        run(study, memory, storage)
    _, [trial] = run(study, memory, storage)
    assert trial.intermediate_values == {1: 1, 2: 1, 3: 1}
    assert not [warning for warning in recwarn if "already reported" in str(warning.message)]


@pytest.fixture
def conducted(memory):
    """A study that another process conducts, its parent run, and what lets that process end."""
    study, ending, held = read(GRID, seeds=[0]), threading.Event(), threading.Event()
    tags = {"kind": "ablation", "study": study.id, "study_name": study.name}
    parent = memory.create(study.name, tags=tags)

    def first_process():
        with memory.hold(parent):
            held.set()
            ending.wait()

    thread = threading.Thread(target=first_process)
    thread.start()
    held.wait()
    yield study, parent, ending
    ending.set()
    thread.join()


def test_a_second_process_helps_waits_for_the_first_and_then_holds_the_study(
    conducted, memory, storage, monkeypatch, capsys
):
    study, parent, ending = conducted
    clock = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=lambda _: ending.set())
    monkeypatch.setattr(conducting, "time", clock)
    concluded, trials = run(study, memory, storage)
    assert "another process conducts this study; this one helps" in capsys.readouterr().out
    assert concluded == parent
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert memory.get(parent).status == "FINISHED"
    assert memory.get(parent).tags["mlflow.note.content"]


def test_a_second_process_whose_time_is_over_does_not_wait_for_the_first(conducted, memory, storage, monkeypatch):
    study, _, _ = conducted
    clock = SimpleNamespace(time=lambda: 0.0, monotonic=lambda: 0.0)
    clock.sleep = lambda _: setattr(clock, "time", lambda: 1e10)
    monkeypatch.setattr(conducting, "time", clock)
    with (
        pytest.raises(TimeUpError, match=r"^--time-left: must suffice for the end of the study, .*, got none left\."),
        conduct(study, memory, storage=storage, workers=1, device="cpu", ends=1e10 - 1),
    ):
        pass
    assert len(memory.find(kind="trial", status="FINISHED")) == 4


def test_a_worker_of_another_process_connects_to_the_store_by_its_address(memory, storage, monkeypatch):
    study = read(GRID, seeds=[0])
    queue = Queue(study, storage)
    queue.fill()
    shift = Shift(study, storage, Connection(memory), memory.create("study", tags={}), "cpu")
    with pytest.raises(UsageError, match="--workers: must be 1 with runs in memory"):
        pickle.dumps(shift)
    monkeypatch.setattr(memory, "address", lambda: ("somewhere", "database"))
    sent = pickle.loads(pickle.dumps(shift))
    monkeypatch.setattr("pipeline.tracking.connect_once", lambda *address: {("somewhere", "database"): memory}[address])
    work(sent, lambda _: None)
    assert [trial.state for trial in queue.trials()] == [TrialState.COMPLETE] * 4
    assert len(trial_runs(memory, shift.parent)) == 4
    queue.close()


@pytest.mark.parametrize(
    "place", ["Storage.claim", "Queue.finish", "Queue._is_mine", "worker.run_cell", "conduct._await_others"]
)
def test_an_ablation_goes_on_after_a_restart_of_the_database_that_owns_its_runs(memory, postgres, monkeypatch, place):
    memory.ownership = ByLocks("database", DatabaseLocks.of(postgres))
    monkeypatch.setattr("pipeline.verbs.open_store", lambda _: (memory, None))
    study, cuts, concluded, recorded = read(GRID, seeds=[0]), [], [], []
    module = {"Storage": queue_module.Storage, "Queue": Queue, "worker": worker, "conduct": conducting}[
        place.split(".")[0]
    ]
    name = place.split(".")[1]
    whole = getattr(module, name)

    def cut_in_it(*given, **named):
        if not cuts:
            cuts.append(place)
            with psycopg.connect(postgres, autocommit=True) as database:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                assert database.execute(f"{others} AND pid <> pg_backend_pid()").fetchall()
        return whole(*given, **named)

    def conclude_once(*given):
        concluded.append(place)
        return conclude(*given)

    log_scalars = memory.log_scalars

    def log_and_note(run_id, *given):
        recorded.append(run_id)
        log_scalars(run_id, *given)

    monkeypatch.setattr(memory, "log_scalars", log_and_note)
    monkeypatch.setattr(module, name, cut_in_it)
    monkeypatch.setattr(conclusion, "conclude", conclude_once)
    assert main(["ablate", "--config", "study.json", "--workers", "1", "--storage", postgres]) == 0
    assert (cuts, concluded) == ([place], [place])
    queue = Queue(study, postgres)
    assert [trial.state for trial in queue.trials()] == [TrialState.COMPLETE] * 4
    queue.close()
    [parent] = memory.find(kind="ablation")
    of_trials = trial_runs(memory, parent.id)
    assert [one.status for one in (parent, *of_trials, *memory.find(seed="0"))] == ["FINISHED"] * (1 + 4 + 4)
    assert sorted(run for run in recorded if run in {one.id for one in of_trials}) == sorted(
        one.id for one in of_trials
    )


def test_a_search_counts_lost_trials_in_the_budget_of_their_embedding(memory, storage, monkeypatch):
    from pipeline.ablation import worker  # noqa: PLC0415

    real, calls = worker.run_cell, []

    def failing_first(cell, *arguments, **named):
        calls.append(cell.config.model.embedding.name)
        if calls.count("lete") == 1 and calls[-1] == "lete":
            raise FloatingPointError("loss: must be finite, got nan")
        return real(cell, *arguments, **named)

    monkeypatch.setattr(worker, "run_cell", failing_first)
    space = {"model.embedding.name": ["sincos", "lete"], "model.dropout": {"low": 0.0, "high": 0.5}}
    tree = {**SMALL, **space, "model.hidden_dim": 6, "model.embedding.dim": 4, "trials": 4, "seeds": [0]}
    parent, trials = run(read(tree), memory, storage)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert memory.get(parent).status == "FINISHED"  # a search has others to choose from
    assert json.loads(Path("results/tuned_study.json").read_text())["tuning_trials"] == {"sincos": 2, "lete": 2}


def test_trials_that_ran_under_different_conditions_are_said():
    trials = pd.DataFrame({"torch_version": ["2.13.0", "2.12.1", None], "precision": ["fp32"] * 3})
    assert "different builds of torch:" in conclusion._mixed(trials)
    assert conclusion._mixed(trials[["precision"]]) == ""


def test_stopping_a_run_is_no_error(memory):
    run_id = memory.create("one", tags={})
    with pytest.raises(Stopped), memory.hold(run_id):
        raise Stopped("pruned")
    assert memory.get(run_id).status == "KILLED"
    assert "error" not in memory.get(run_id).tags


def begun(queue):
    """Return how many trials somebody has begun."""
    return sum(trial.state != TrialState.WAITING for trial in queue.trials())


def kill_and_restart(work, queue, kills):
    """Start the study, kill all processes a moment after a trial more has begun, `kills` times; then let it end.

    The processes are forked from one that has imported everything, as that takes longer than the study.
    """
    context, generator = multiprocessing.get_context("forkserver"), random.Random(kills)  # noqa: S311
    context.set_forkserver_preload(["pipeline.verbs", "pipeline.ablation.conduct", "pipeline.tracking.mlflow_tracker"])
    for _ in range(kills):
        before = begun(queue)
        process = context.Process(target=work)
        process.start()
        while begun(queue) <= before:
            process.join(0.2)
            assert process.is_alive()
        process.join(generator.uniform(0, 0.5))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    process = context.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0


def assert_nine(trials, tracker):
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 9
    assert len({trial.user_attrs["point"] for trial in trials}) == 9
    parent = tracker.find(kind="ablation")[0]
    runs = trial_runs(tracker, parent.id)
    assert sorted(int(one.tags["trial"]) for one in runs) == list(range(9))
    cells = [cell for seed in "01" for cell in tracker.find(seed=seed)]
    assert len(cells) == 18
    assert {one.status for one in (parent, *runs, *cells)} == {"FINISHED"}


NINE = {**SMALL, "train.epochs": 3, "model.hidden_dim": [6, 8, 10], "model.embedding.dim": [4, 6, 8]}


@pytest.mark.slow
def test_a_grid_killed_twice_ends_with_nine_trials_and_nothing_running(mlflow_tracker, storage, launched):
    queue = Queue(read(NINE), storage)
    kill_and_restart(partial(launched.ablate, "--workers", "1"), queue, kills=2)
    assert_nine(queue.trials(), mlflow_tracker)
    queue.close()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_same_with_two_workers_on_postgresql_killed_twice(mlflow_tracker, postgres, launched):
    queue = Queue(read(NINE), postgres)
    kill_and_restart(partial(launched.ablate, "--workers", "2", "--storage", postgres), queue, kills=2)
    assert_nine(queue.trials(), mlflow_tracker)
    queue.close()
