"""Files that have changed since they were stored: each is named in one line, with what mends it, and nothing is written."""

import json
from shutil import copyfile
from unittest.mock import Mock

import pandas as pd
import pytest

from pipeline.__main__ import main
from pipeline.checks import Checks
from pipeline.errors import AwayError, DiskError, UsageError
from pipeline.evidence import Evidence, add_outputs, found, outputs, replace_text
from pipeline.ls import LISTS
from pipeline.run_record import concluded
from pipeline.settings import build_run
from pipeline.stored_study import find_study, load_results
from pipeline.study import Cell
from pipeline.tracking import SEALED, MemoryTracker
from pipeline.tracking.run import EPOCH
from pipeline.train import run_cell

SCALARS = (
    "test_accuracy",
    "best_accuracy",
    "final_accuracy",
    "best_epoch",
    "epochs",
    "parameters",
    "epoch_seconds",
    "flops",
)


def parts(store):
    """Return the study's run and its first cell and another one."""
    study = find_study(store)
    return study.parent, *(store.get(entry.run_id) for entry in study.manifest.cells[:2])


def turn_one_answer(path):
    table = pd.read_parquet(path)
    wrong = table.index[table["predicted"] != table["label"]][0]
    table.loc[wrong, "predicted"] = table.loc[wrong, "label"]
    table.to_parquet(path)


def drop_a_column(path):
    pd.read_parquet(path).drop(columns="log_likelihood").to_parquet(path)


def claim_much(path):
    path.write_text(json.dumps([{**row, "test/accuracy": 0.99} for row in json.loads(path.read_text())]))


def other_size(path):
    path.write_text(path.read_text().replace('"hidden_dim": 4', '"hidden_dim": 8'))


def other_alpha(path):
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.1'))


def other_accuracy(path):
    table = pd.read_parquet(path)
    table.assign(accuracy=1.0).to_parquet(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


STUDY = ("study.json", "plan.json", "advice.json")
CELL = ("predictions.parquet", "history.json", "config.json", "classes.json", "train.log", "environment.json")
CHANGES = {
    ("predictions.parquet", turn_one_answer), ("predictions.parquet", drop_a_column), ("history.json", claim_much),
    ("config.json", other_size), ("study.json", other_alpha), ("plan.json", other_alpha), ("probes/time_use", other_accuracy),
    *((name, how) for name in (*CELL, *STUDY) for how in (cut, remove)), ("probes/gates", cut),
}  # fmt: skip


def named(value):
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("name", "how"), sorted(CHANGES, key=lambda change: [*map(named, change)]), ids=named)
def test_a_file_that_has_changed_is_one_line_that_names_it_and_what_mends_it(store, workplace, capsys, name, how):
    parent, cell, _ = parts(store)
    run = parent if name in STUDY else cell
    [path] = (store._folder / run.id).glob(f"{name}*")
    before = path.read_bytes()
    how(path)
    assert not path.exists() or path.read_bytes() != before
    assert main(["analyze"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"error: run {run.name} ({run.id}): {name}")
    assert ", got " in said
    assert any(mends in said for mends in ("runs delete --run-id", "Run the same compare", "Delete the file"))
    assert not (workplace / "results").exists()


def test_the_predictions_of_another_run_are_not_those_of_this_one(store, capsys):
    _, cell, other = parts(store)
    copyfile(store.fetch(other.id, "predictions.parquet"), store.fetch(cell.id, "predictions.parquet"))
    assert main(["analyze"]) == 2
    assert "predictions.parquet must be as it was stored (SHA-256 " in capsys.readouterr().err


@pytest.mark.parametrize("how", [flip, cut, remove])
def test_weights_that_have_changed_are_named_where_they_are_read(store, capsys, how):
    _, cell, _ = parts(store)
    how(store.fetch(cell.id, "checkpoints/best.pt"))
    [path] = (store._folder / cell.id).glob("probes/gates*")
    path.unlink()  # has the weights read
    assert main(["analyze"]) == 2
    assert "checkpoints/best.pt must be " in capsys.readouterr().err


def test_what_was_measured_on_a_model_is_measured_again_where_it_is_gone(store):
    _, cell, _ = parts(store)
    [path] = (store._folder / cell.id).glob("probes/time_use*")
    before = path.read_bytes()
    path.unlink()
    load_results(find_study(store), store, allow_missing=False)
    assert path.read_bytes() == before


def forget_digests(store):
    """Make the runs those of older code."""
    for run in store.find():
        for tag in [tag for tag in run.tags if tag.startswith(SEALED)]:
            del run.tags[tag]


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("predictions.parquet", turn_one_answer, "must give the test_accuracy that was logged"),
        ("history.json", claim_much, "must give the best_accuracy that was logged"),
        ("study.json", other_alpha, "must hold the plan of plan.json"),
        ("plan.json", other_alpha, "must be what was declared"),
        *((name, cut, "must be readable") for name in ("predictions.parquet", "history.json", *STUDY)),
        *((name, remove, "must be there, got none") for name in ("predictions.parquet", "config.json", "plan.json")),
    ],
)
def test_runs_of_older_code_are_held_against_what_was_logged(store, capsys, name, how, said):
    forget_digests(store)
    parent, cell, _ = parts(store)
    how(store.fetch((parent if name in STUDY else cell).id, name))
    assert main(["analyze"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{name} {said}" in error


def test_runs_of_older_code_are_taken_with_a_word(store, capsys):
    forget_digests(store)
    assert len(load_results(find_study(store), store, allow_missing=False).runs) == 4
    assert "4 of 4 runs are from before files had digests" in capsys.readouterr().out


def test_the_list_of_studies_says_which_has_changed(store, monkeypatch):
    monkeypatch.setattr("pipeline.tracking.connect", lambda: store)
    monkeypatch.setattr("pipeline.ls.is_store", lambda: True)
    parent, *_ = parts(store)
    assert "4 of 4 runs" in LISTS["studies"]()[1][0]
    cut(store.fetch(parent.id, "study.json"))
    assert "its study.json has changed" in LISTS["studies"]()[1][0]


@pytest.mark.parametrize("fails", ["before the file", "after the file"])
def test_a_file_that_was_being_replaced_fits_its_digest_either_way(memory, monkeypatch, fails):
    run = memory.create("run", tags={})
    replace_text(run, "study.json", "one", memory)
    log_text = memory.log_text

    def killed(*arguments):
        if fails == "after the file":
            log_text(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(memory, "log_text", killed)
        with pytest.raises(KeyboardInterrupt):
            replace_text(run, "study.json", "two", memory)
    file = found(memory.get(run), ["study.json"], memory)["study.json"]
    assert file.read_text() == ("one" if fails == "before the file" else "two")
    replace_text(run, "study.json", "three", memory)
    assert len(memory.get(run).tags[f"{SEALED}study.json"].split()) == 1


def test_outputs_of_several_analyses_have_their_digests_and_a_list_that_has_changed_begins_anew(memory, workplace):
    run = memory.create("run", tags={})
    for name in ("one", "two"):
        (workplace / name).write_text(name)
        add_outputs(run, {name: workplace / name}, memory)
    assert set(outputs(memory.get(run), memory)) == {"one", "two"}
    cut(memory.fetch(run, "digests.json"))
    with pytest.raises(UsageError, match=r"digests\.json must be as it was stored.*Run analyze"):
        outputs(memory.get(run), memory)
    add_outputs(run, {"two": workplace / "two"}, memory)
    assert set(outputs(memory.get(run), memory)) == {"two"}


def test_a_list_of_outputs_that_cannot_be_reached_is_not_taken_for_one_that_has_changed(memory, workplace, monkeypatch):
    run = memory.create("run", tags={})
    (workplace / "one").write_text("one")
    add_outputs(run, {"one": workplace / "one"}, memory)
    for error in (AwayError("away"), DiskError("full")):
        with monkeypatch.context() as patched:
            patched.setattr(memory, "fetch", Mock(side_effect=error))
            with pytest.raises(type(error)):
                add_outputs(run, {"two": workplace / "one"}, memory)
    assert set(outputs(memory.get(run), memory)) == {"one"}


@pytest.mark.parametrize("text", ['{"one": ', "[1]"])
def test_a_list_of_outputs_of_older_code_that_cannot_be_read_begins_anew(memory, workplace, text):
    run = memory.create("run", tags={})
    memory.log_text(run, "digests.json", text)
    with pytest.raises(UsageError, match=r"digests\.json must be readable, got .*Run analyze"):
        outputs(memory.get(run), memory)
    (workplace / "one").write_text("one")
    add_outputs(run, {"one": workplace / "one"}, memory)
    assert set(outputs(memory.get(run), memory)) == {"one"}


@pytest.mark.parametrize("error", [AwayError("away"), DiskError("full")], ids=["away", "full"])
def test_a_store_that_cannot_be_reached_is_no_study_that_has_changed(store, monkeypatch, error):
    monkeypatch.setattr("pipeline.tracking.connect", lambda: store)
    monkeypatch.setattr("pipeline.ls.is_store", lambda: True)
    monkeypatch.setattr(store, "fetch", Mock(side_effect=error))
    with pytest.raises(type(error)):
        LISTS["studies"]()
    with pytest.raises(type(error)):
        Checks().hold("a file", lambda: store.fetch("run", "file"))


def test_a_scalar_is_recorded_again_only_where_it_is_another(memory):
    run = memory.create("run", tags={})
    for value in (0.5, 0.5, 0.75):
        memory.log_scalars(run, {"mean": value})
    assert memory.history[run] == [(0, {"mean": 0.5}), (0, {"mean": 0.75})]


def test_nothing_is_recorded_for_no_file(memory, monkeypatch):
    monkeypatch.setattr(memory, "set_tags", lambda *_: pytest.fail("the store was asked"))
    Evidence(memory, "run").seal()


WRITES = ("set_status", "set_tags", "log_metrics", "log_text", "log_file", "log_table", "log_model")


class Killed(MemoryTracker):
    """A store whose caller is killed before or after the call of some number, once its last epoch is recorded."""

    def dies_at(self, number, *, after):
        self.left = 2 * number + after
        for name in WRITES:
            setattr(self, name, self._dying(getattr(self, name)))

    def _dying(self, call):
        def counted(*arguments, **options):
            run_id = arguments[0]
            if self.left < 0 or sum(EPOCH in row for _, row in self.history[run_id]) < 2:
                return call(*arguments, **options)
            self._die()
            result = call(*arguments, **options)
            self._die()
            return result

        return counted

    def _die(self):
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
def test_scalars_are_recorded_once_wherever_the_run_is_killed_while_it_concludes(workplace, tiny, after):
    cell, killed = Cell("tiny", build_run({**tiny, "model.embedding.name": "none"})), 0
    for number in range(100):
        store = Killed(workplace / f"{number}")
        store.dies_at(number, after=after)
        try:
            run_cell(cell, store, device="cpu", report=lambda *_: None)
        except KeyboardInterrupt:
            killed += 1
            run_cell(cell, store, device="cpu", report=lambda *_: None)
        [run] = store.find()
        assert (run.status, concluded(run)) == ("FINISHED", True)
        recorded = [name for _, row in store.history[run.id] for name in row]
        assert {name: recorded.count(name) for name in SCALARS} == dict.fromkeys(SCALARS, 1), number
        assert len(found(run, [tag.removeprefix(SEALED) for tag in run.tags if tag.startswith(SEALED)], store)) > 9
        if store.left >= 0:
            break
    assert killed > len(WRITES)
