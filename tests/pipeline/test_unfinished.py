import json
from dataclasses import replace

import pytest
import torch

from pipeline import checkpoint, train, unfinished
from pipeline.compare import compare
from pipeline.settings import build_run
from pipeline.study import Cell, load_study
from pipeline.tracking import MemoryTracker
from pipeline.train import run_cell
from pipeline.unfinished import COPIES, TAG, Unfinished, clear

SMALL = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 64, "train.epochs": 3,
}  # fmt: skip


@pytest.fixture
def far(memory, monkeypatch):
    """A tracker whose folder of checkpoints others do not see, which copies after every epoch."""
    memory.remote = True
    monkeypatch.setattr(unfinished, "UPLOAD_SECONDS", -1.0)
    return memory


def state(epoch):
    return {"epoch": epoch, "model": {"weight": torch.full((3,), float(epoch))}}


def elsewhere(tracker, run_id):
    """Return the checkpoint as another machine finds it."""
    tracker.checkpoints = tracker._folder / "of another machine"
    return Unfinished("cell", tracker, tracker.get(run_id))


def test_another_machine_goes_on_from_the_copy_in_the_store(far):
    run = far.create("run", tags={})
    kept = Unfinished("cell", far, far.get(run))
    for epoch in (1, 2, 3):
        kept.save(state(epoch))
    other = elsewhere(far, run)
    assert other.load()["epoch"] == 3
    assert checkpoint.load(other.folder / "last.pt")["epoch"] == 3
    other.save(state(4))
    assert json.loads(far.get(run).tags[TAG]).items() >= {"name": "b.pt", "epoch": 4}.items()


def test_a_copy_is_made_when_the_last_is_old_enough_and_none_where_all_see_the_folder(memory, monkeypatch):
    run = memory.create("run", tags={})
    kept = Unfinished("cell", memory, memory.get(run))
    now = kept._copied
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: now)
    epochs = []
    for remote, seconds in ((True, 59), (True, 2), (True, 60), (True, 1), (False, 100)):
        memory.remote, now = remote, now + seconds
        kept.save(state(len(epochs) + 1))
        epochs.append(json.loads(memory.get(run).tags.get(TAG) or "{}").get("epoch"))
    assert epochs == [None, 2, 2, 4, 4]


@pytest.mark.parametrize("fails", ["log_file", "set_tags"])
def test_a_copy_that_was_broken_off_is_never_taken(far, monkeypatch, fails):
    run = far.create("run", tags={})
    kept = Unfinished("cell", far, far.get(run))
    kept.save(state(1))

    def broken_off(run_id, *rest):
        if fails == "log_file":
            half = far._folder / rest[0].name
            half.write_bytes(rest[0].read_bytes()[:100])
            MemoryTracker.log_file(far, run_id, half, COPIES)
        raise KeyboardInterrupt

    monkeypatch.setattr(far, fails, broken_off)
    with pytest.raises(KeyboardInterrupt):
        kept.save(state(2))
    assert elsewhere(far, run).load()["epoch"] == 1


def test_a_copy_that_is_not_what_its_tag_says_is_not_taken(far):
    run = far.create("run", tags={})
    Unfinished("cell", far, far.get(run)).save(state(1))
    far.fetch(run, f"{COPIES}/a.pt").write_bytes(b"something else")
    assert elsewhere(far, run).load() == {}


def test_the_newer_of_the_two_checkpoints_is_taken(far, monkeypatch):
    run = far.create("run", tags={})
    kept = Unfinished("cell", far, far.get(run))
    kept.save(state(1))
    monkeypatch.setattr(unfinished, "UPLOAD_SECONDS", 60.0)
    kept.save(state(2))
    assert Unfinished("cell", far, far.get(run)).load()["epoch"] == 2


def cell():
    return Cell("small", build_run(SMALL))


def test_a_cell_taken_over_on_another_machine_ends_with_the_same_weights_and_leaves_no_copies(far, workplace):
    def interrupted(_cell, history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(cell(), far, device="cpu", report=interrupted)
    far.checkpoints = workplace / "of another machine"
    epochs = []
    run = run_cell(cell(), far, device="cpu", report=lambda _, history: epochs.append(len(history))).run_id
    assert epochs == [3]
    assert [row["epoch"] for _, row in far.history[run] if "epoch" in row] == [1, 2, 3]
    assert not (far._folder / run / COPIES).exists()
    assert not far.get(run).tags[TAG]
    twin = MemoryTracker(workplace / "twin")
    straight = run_cell(cell(), twin, device="cpu", report=lambda *_: None).run_id
    one, other = (
        checkpoint.load(tracker.fetch(each, "checkpoints/best.pt"))["model"]
        for tracker, each in ((far, run), (twin, straight))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("finds", ["train", "compare"])
def test_what_a_kill_after_the_end_left_goes_when_somebody_finds_the_run_finished(far, monkeypatch, finds):
    def killed(*_):
        raise KeyboardInterrupt

    study = load_study(None, models=["none"], seeds=[0], overrides=SMALL)
    monkeypatch.setattr(train, "clear", killed)
    with pytest.raises(KeyboardInterrupt):
        run_cell(study.cells()[0], far, device="cpu", report=lambda *_: None)
    monkeypatch.setattr(train, "clear", clear)
    [run] = far.find(model="none")
    assert run.status == "FINISHED"
    assert list(far.checkpoints.iterdir())
    assert (far._folder / run.id / COPIES).is_dir()
    other = far.checkpoints / "of a cell that is being trained"
    other.mkdir()
    if finds == "train":
        assert run_cell(study.cells()[0], far, device="cpu", report=lambda *_: None).reused
    else:
        compare(study, far, workers=1, device="cpu")
    assert list(far.checkpoints.iterdir()) == [other]
    assert not (far._folder / run.id / COPIES).exists()


def test_clearing_what_is_clear_asks_the_store_for_nothing(memory, monkeypatch):
    run = replace(memory.get(memory.create("run", tags={"cell": "x"})), status="FINISHED")
    for verb in ("get", "set_tags", "delete_artifacts"):
        monkeypatch.setattr(memory, verb, lambda *_: pytest.fail("the store was asked"))
    clear([run], memory)
