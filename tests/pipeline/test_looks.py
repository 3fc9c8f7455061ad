"""A study that is run until it is decided: who goes on after each look, and the ledger of what was seen."""

import json
from itertools import count

import pytest

from pipeline import cells as cells_module
from pipeline import comparison as module
from pipeline.__main__ import main
from pipeline.comparison import compare
from pipeline.config import digest_of_file
from pipeline.errors import UsageError
from pipeline.evidence import LEDGER_FILE, replace_text
from pipeline.stored_study import find_study, read_ledger
from pipeline.study import load_study
from pipeline.tracking import SEALED, MemoryTracker
from pipeline.verify import verify_study

PLAN = {"looks": [4, 5], "levels": [0.02, 0.03]}
CELLS = [(model, seed) for seed in range(4) for model in ("still", "learns", "as_well")] + [
    ("learns", 4),
    ("as_well", 4),
]


@pytest.fixture(scope="session")
def tree(tiny):
    """Two variants that learn alike, and one that learns nothing."""
    learns = {"model.embedding.name": "sincos", "train.learning_rate": 0.05}
    variants = {
        "still": {"model.embedding.name": "none", "train.learning_rate": 1e-9},
        "learns": learns,
        "as_well": {**learns, "train.learning_rate": 0.045},
    }
    base = {**tiny, "data.train_size": 256, "data.test_size": 200, "model.hidden_dim": 8, "train.epochs": 8}
    return {"base": base, "variants": variants, "seeds": [0, 1], "plan": PLAN}


@pytest.fixture
def study(workplace, tree):
    def build(plan=PLAN, *, seeds=None, **asked):
        (workplace / "looks.json").write_text(json.dumps({**tree, "plan": plan, "seeds": seeds or tree["seeds"]}))
        return load_study(workplace / "looks.json", **asked)

    return build


@pytest.fixture(scope="session")
def straight(tree, tmp_path_factory):
    """A store with the study, run to its end without an interrupt."""
    folder = tmp_path_factory.mktemp("looks")
    (folder / "looks.json").write_text(json.dumps(tree))
    tracker = MemoryTracker(folder / "store")
    compare(load_study(folder / "looks.json"), tracker, workers=1, device="cpu")
    return tracker


def cells(tracker):
    return [(cell.model, cell.seed) for cell in find_study(tracker).manifest.cells]


def noted(tracker):
    return read_ledger(find_study(tracker).parent, tracker)


def test_a_clear_pair_stops_at_the_first_look_and_the_other_goes_on(straight):
    table = noted(straight)
    assert table["seeds"].tolist() == [4, 4, 4, 5]
    pairs = list(zip(table["model_a"], table["model_b"], table["verdict"], strict=True))
    assert pairs == [
        ("learns", "still", "better"),
        ("as_well", "still", "better"),
        ("as_well", "learns", "undecided"),
        ("as_well", "learns", "undecided"),
    ]
    assert sorted(cells(straight)) == sorted(CELLS)
    parent = find_study(straight).parent
    assert (parent.status, len(straight.find(dataset="synthetic"))) == ("FINISHED", len(CELLS))
    assert parent.tags[SEALED + LEDGER_FILE] == digest_of_file(straight.fetch(parent.id, LEDGER_FILE))


def test_the_plan_holds_the_looks_before_the_first_run(straight):
    declared = json.loads(straight.fetch(find_study(straight).parent.id, "plan.json").read_text())
    assert (declared["plan"]["looks"], declared["plan"]["levels"]) == (PLAN["looks"], PLAN["levels"])
    assert declared["seeds"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("after", [5, 12, 13], ids=["before the look", "at the look", "after the look"])
def test_a_study_that_is_interrupted_ends_with_the_same_ledger(study, memory, monkeypatch, straight, after):
    trained, run_cell = count(), cells_module.run_cell

    def interrupted(cell, tracker, **more):
        if next(trained) == after:
            raise KeyboardInterrupt
        return run_cell(cell, tracker, **more)

    with monkeypatch.context() as patched:
        patched.setattr(cells_module, "run_cell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(study(), memory, workers=1, device="cpu")
    before = noted(memory)
    assert len(before) == (0 if after < 12 else 3)
    compare(study(), memory, workers=1, device="cpu")
    assert noted(memory).drop(columns="at").equals(noted(straight).drop(columns="at"))
    assert noted(memory).head(len(before)).to_csv() == before.to_csv()  # times included
    assert sorted(cells(memory)) == sorted(CELLS)


def test_a_look_whose_ledger_was_not_written_is_taken_again_without_training(study, memory, monkeypatch, straight):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "take_stored_looks", killed)
        with pytest.raises(KeyboardInterrupt):
            compare(study(), memory, workers=1, device="cpu")
    runs = {run.id for run in memory.find(dataset="synthetic")}
    assert noted(memory).empty
    compare(study(), memory, workers=1, device="cpu")
    assert runs < {run.id for run in memory.find(dataset="synthetic")}
    assert noted(memory).drop(columns="at").equals(noted(straight).drop(columns="at"))


def test_a_study_that_is_decided_trains_nothing_and_writes_nothing_more(straight, tree, workplace, capsys):
    before = noted(straight)
    (workplace / "looks.json").write_text(json.dumps(tree))
    compare(load_study(workplace / "looks.json"), straight, workers=1, device="cpu")
    assert "14 of 14 runs are finished, 0 to train" in capsys.readouterr().out
    assert noted(straight).equals(before)


def change_p(path):
    table = json.loads(path.read_text())
    table["data"][0][table["columns"].index("p")] = 0.5
    return json.dumps(table)


def test_a_ledger_that_was_changed_does_not_verify(straight, capsys):
    parent = find_study(straight).parent
    path = straight.fetch(parent.id, LEDGER_FILE)
    good = path.read_text()
    try:
        assert verify_study(parent, straight, retrain=False, choice=0)
        assert "its looks: 2 looks of 2, as they follow from the predictions" in capsys.readouterr().out
        path.write_text(change_p(path))
        assert not verify_study(parent, straight, retrain=False, choice=0)
        assert "FAILS  its looks: run looks (" in capsys.readouterr().out
        replace_text(parent.id, LEDGER_FILE, path.read_text(), straight)  # and its digest with it
        assert not verify_study(straight.get(parent.id), straight, retrain=False, choice=0)
        assert "must follow from the predictions, got another: the look at 4 seeds" in capsys.readouterr().out
    finally:
        replace_text(parent.id, LEDGER_FILE, good, straight)


@pytest.mark.parametrize(
    ("plan", "seeds", "said"),
    [
        ({"looks": [4, 6], "levels": [0.02, 0.03]}, None, "plan.looks: must be as study .* was declared, looks at 4 and 5"),
        ({"looks": [4, 5], "levels": [0.01, 0.04]}, None, "levels 0.02 and 0.03, got looks at 4 and 5 seeds with levels"),
        ({}, None, "looks at 4 and 5 seeds with levels 0.02 and 0.03, got none"),
        (PLAN, [7, 8], "seeds: must be as study .* was declared, 0, 1, 2, 3 and 4, got 7, 8, 0, 1 and 2"),
    ],
)  # fmt: skip
def test_looks_that_are_not_those_that_were_declared_are_refused(straight, study, plan, seeds, said):
    with pytest.raises(UsageError, match=said):
        compare(study(plan, seeds=seeds), straight, workers=1, device="cpu")
    assert find_study(straight).parent.status == "FINISHED"


def test_looks_at_a_study_that_was_declared_without_are_refused(study, memory, monkeypatch):
    monkeypatch.setattr(module, "train_cells", lambda *_: iter(()))
    compare(study({}), memory, workers=1, device="cpu")
    compare(study({}, seeds=[0, 1, 2]), memory, workers=1, device="cpu")
    with pytest.raises(UsageError, match=r"--until: must be declared before the first run, got study .*without looks"):
        compare(study({}, until_decided=True), memory, workers=1, device="cpu")


def test_the_seeds_of_looks_begin_with_those_of_the_study(study):
    assert study({}, until_decided=True).seeds == tuple(range(20))
    assert study({}, seeds=[7, 1], until_decided=True, most_seeds=10).seeds == (7, 1, 0, 2, 3, 4, 5, 6, 8, 9)
    assert study({}, until_decided=True, most_seeds=10).plan.looks == (4, 6, 8, 10)
    assert study(until_decided=True).plan.looks == (4, 5)  # the file's own
    assert study({}).id == study({}, until_decided=True).id == study().id


REFUSED = {
    "--until soon": "--until: must be decided, got soon",
    "--most-seeds 10": "--most-seeds: must go with --until decided, got 10 alone",
    "--until decided --most-seeds 3": "--most-seeds: must be from 8, whose first look is at 3 seeds, to 1000, got 3",
    "--until decided --most-seeds few": "--most-seeds: must be a whole number of seeds, got few",
    "--until decided --seeds 0,1": "--seeds: must be the 20 of the last look, got 2",
    "--until decided --models lete": "--until: must have two variants to decide between, got one",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_is_wrong_with_looks_is_one_line(arguments, workplace, capsys):
    try:
        code = main(["compare", *arguments.split()])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    said = capsys.readouterr().err
    assert REFUSED[arguments] in said
    assert said.count("\n") == 1
    assert list(workplace.iterdir()) == []


def test_more_seeds_than_the_looks_of_a_file_have_are_refused(study):
    with pytest.raises(UsageError, match="--most-seeds: must be left out where the plan has looks"):
        study(until_decided=True, most_seeds=10)
