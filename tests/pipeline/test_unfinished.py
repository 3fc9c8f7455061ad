import json
from dataclasses import replace
from shutil import copyfile, copytree

import pytest
import torch

from pipeline import checkpoint, train, unfinished
from pipeline.comparison import compare
from pipeline.settings import build_run
from pipeline.study import Cell, load_study
from pipeline.tracking import MemoryTracker
from pipeline.tracking.run import EPOCH
from pipeline.train import run_cell
from pipeline.unfinished import COPIES, TAG, Unfinished, clear, newest

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
    assert [row[EPOCH] for _, row in far.history[run] if EPOCH in row] == [1, 2, 3]
    assert not (far._folder / run / COPIES).exists()
    assert not far.get(run).tags[TAG]
    twin = MemoryTracker(workplace / "twin")
    straight = run_cell(cell(), twin, device="cpu", report=lambda *_: None).run_id
    one, other = (
        checkpoint.load(tracker.fetch(each, "checkpoints/best.pt"))["model"]
        for tracker, each in ((far, run), (twin, straight))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


TINY = {
    "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 16, "data.test_size": 16,
    "model.embedding.name": "sincos", "model.embedding.dim": 4, "model.hidden_dim": 4, "train.epochs": 3,
}  # fmt: skip


def tiny(seed=0):
    return Cell("tiny", build_run({**TINY, "seed": seed}))


def stop(_cell, history):
    if len(history) == 2:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A cell that was interrupted after its second epoch, the checkpoint of another seed, and the undisturbed weights."""
    place = tmp_path_factory.mktemp("stopped")
    tracker, other, twin = (MemoryTracker(place / name) for name in ("one", "other", "twin"))
    for store, seed in ((tracker, 0), (other, 1)):
        with pytest.raises(KeyboardInterrupt):
            run_cell(tiny(seed), store, device="cpu", report=stop)
    [folder], [foreign] = tracker.checkpoints.iterdir(), other.checkpoints.iterdir()
    straight = run_cell(tiny(), twin, device="cpu", report=lambda *_: None).run_id
    return folder, foreign, twin.fetch(straight, "checkpoints/best.pt")


@pytest.fixture
def goes_on(stopped, memory, capsys):
    """Train the cell from what lies in a folder; return whether its weights are the undisturbed ones, and what was said."""

    def train_it(folder):
        copytree(folder, memory.checkpoints / folder.name)
        run = run_cell(tiny(), memory, device="cpu", report=lambda *_: None).run_id
        one, other = (checkpoint.load(path)["model"] for path in (memory.fetch(run, "checkpoints/best.pt"), stopped[2]))
        same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        return same, capsys.readouterr().out

    return train_it


@pytest.fixture
def damaged(stopped, tmp_path):
    return copytree(stopped[0], tmp_path / "damaged" / stopped[0].name)


@pytest.mark.parametrize("place", range(10))
@pytest.mark.parametrize("both", [False, True])
def test_a_flipped_byte_costs_an_epoch_or_the_start_and_changes_no_weight(damaged, goes_on, place, both):
    for name in ("last.pt", "previous.pt")[: 1 + both]:
        content = bytearray((damaged / name).read_bytes())
        content[place * (len(content) - 1) // 9] ^= 64
        (damaged / name).write_bytes(content)
    same, said = goes_on(damaged)
    assert same
    assert said.count("\n") == 1
    assert "last.pt: must be a readable checkpoint, got" in said
    assert f"Training goes on from {'the start' if both else 'epoch 1'}." in said


NOT_STATES = {"nothing": {}, "a list": [1, 2], "a text": {"epoch": "2"}, "another cell": {"epoch": 2, "cell": "other"}}


@pytest.mark.parametrize("what", NOT_STATES)
@pytest.mark.parametrize("digested", [False, True])
def test_what_is_no_state_of_the_cell_is_not_taken(damaged, goes_on, what, digested):
    write = checkpoint.save if digested else lambda path, state: torch.save(state, path)
    state = NOT_STATES[what]
    write(damaged / "last.pt", {"cell": damaged.name, **state} if isinstance(state, dict) and state else state)
    same, said = goes_on(damaged)
    assert same
    assert "last.pt: must be a " in said
    assert "Training goes on from epoch 1." in said


def test_the_checkpoint_of_another_seed_is_not_taken(stopped, damaged, goes_on):
    copyfile(stopped[1] / "last.pt", damaged / "last.pt")
    same, said = goes_on(damaged)
    assert same
    assert f"last.pt: must be a checkpoint of its cell, got one of {stopped[1].name}." in said


def test_the_newest_state_that_holds_is_found_and_a_damaged_one_stops_nobody(damaged):
    (damaged / "last.pt").write_bytes(b"not a checkpoint")
    state, wrong = newest(damaged, damaged.name)
    assert (state["epoch"], len(wrong)) == (1, 1)
    assert newest(damaged, "other")[0] == {}
    (damaged / "previous.pt").unlink()
    assert newest(damaged, damaged.name)[0] == {}


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
