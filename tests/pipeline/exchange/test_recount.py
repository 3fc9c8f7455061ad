"""Verification of an archive alone: what its runs answered decides, whatever digests somebody has made again."""

import json
import re
import subprocess
import sys
from io import BytesIO

import pandas as pd
import pytest

from analysis.analyses.overview import overview
from pipeline.__main__ import main
from pipeline.errors import UsageError
from pipeline.exchange.contents import load, results_of
from pipeline.exchange.recount import _same_numbers, evidence
from pipeline.identity import ROOT
from pipeline.rows import COSTS, COUNTS, SCORES
from pipeline.texts import numbers_of

ALONE = """
import sys
from pipeline.__main__ import main
print(main(["verify", sys.argv[1]]), *sorted({name.split(".")[0] for name in sys.modules}))
"""


def verified_alone(file):
    """Verify a file in a process of its own, and return what it said, its exit code and the packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(file)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *said, last = done.stdout.splitlines()
    code, *packages = last.split()
    return said, int(code), set(packages)


def failing(file):
    """Return the names of the checks of what was measured that do not hold, with what they say."""
    failed = {}
    for name, check in evidence(load(file)):
        try:
            check()
        except UsageError as error:
            failed[name] = str(error)
    return failed


def test_an_archive_verifies_without_torch_mlflow_and_optuna(exported):
    said, code, packages = verified_alone(exported.bare)
    assert code == 0
    assert {"pipeline", "analysis", "pandas", "scipy"} < packages
    assert packages.isdisjoint({"torch", "mlflow", "optuna", "sqlalchemy", "numba", "sklearn"})
    assert [line for line in said if not line.startswith("holds")] == [said[-1]]
    for name in (
        "sincos/seed-0",
        "none/seed-1",
        "report/significance.csv",
        "report/analysis_report.md",
        "numbers of the runs",
    ):
        assert [line for line in said if line.startswith(f"holds  {name}: ")]
    study = load(exported.bare).manifest
    assert said[-1] == f"{study.name} (study {study.id}) verifies: {len(said) - 1} checks hold"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "results" / "evidence").glob("*.zip")), ids=lambda file: file.stem
)
def test_what_was_measured_for_the_published_results_holds(file):
    assert failing(file) == {}


def first(members, file):
    return next(name for name in members if name.endswith(f"/{file}"))


def edit_answers(members, edit):
    name = first(members, "predictions.parquet")
    table = pd.read_parquet(BytesIO(members[name]))
    edit(table)
    members[name] = table.to_parquet()


def turn_an_answer(members):
    """Make a wrong answer right, or a right one wrong."""

    def edit(table):
        right = table.loc[0, "predicted"] == table.loc[0, "label"]
        table.loc[0, "predicted"] = (table.loc[0, "label"] + 1) % 4 if right else table.loc[0, "label"]

    edit_answers(members, edit)


def turn_a_wrong_answer(members):
    """Make a wrong answer another wrong one: the accuracy stays."""

    def edit(table):
        row = table.index[table["predicted"] != table["label"]][0]
        others = {0, 1, 2, 3} - {int(table.loc[row, "label"]), int(table.loc[row, "predicted"])}
        table.loc[row, "predicted"] = min(others)

    edit_answers(members, edit)


@pytest.mark.parametrize(
    ("change", "digests", "names"),
    [
        (turn_an_answer, None, ["files", "predictions.parquet must be as it was exported", "predictions.parquet must be as it was stored"]),
        (turn_an_answer, "crate", ["predictions.parquet must be as it was stored"]),
        (turn_an_answer, "all", ["run.json must have the test_accuracy that follows from the run's files, "]),
        (turn_a_wrong_answer, "all", ["confusion_matrix.json must follow from the predictions, got other counts"]),
    ],
)  # fmt: skip
def test_one_turned_answer_is_named_whoever_made_the_digests(forge, change, digests, names):
    failed = failing(forge(change, digests=digests))
    said = "\n".join([*failed, *failed.values()])
    assert all(name in said for name in names)
    assert len(failed) == 1 + (digests is None)
    [cell] = [name for name in failed if name != "files"]
    assert cell.split("/")[0] in ("none", "sincos")


def test_a_turned_answer_ends_the_verb_as_failed_and_the_tables_show_it_too(forge, capsys):
    file = forge(turn_an_answer)
    assert main(["verify", str(file)]) == 1
    captured = capsys.readouterr()
    failed = [line for line in captured.out.splitlines() if line.startswith("FAILS")]
    assert any("predictions" in line or "test_accuracy" in line for line in failed)
    assert any("report/detailed_analysis.json must be what follows from the predictions" in line for line in failed)
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"failed: verify: {file} must hold what its runs answered")


def edit_json(file, edit):
    def change(members):
        name = first(members, file) if file in ("run.json", "history.json", "config.json") else file
        tree = json.loads(members[name])
        edit(tree)
        members[name] = json.dumps(tree).encode()

    return change


def other_alpha(tree):
    tree["plan"]["alpha"] = 0.1


def better_epoch(tree):
    tree[-1]["test/accuracy"] += 0.01


def better_point(tree):
    row = next(row for row in tree["metrics"] if row[:2] == ["test/loss", 2])
    row[3] -= 0.5


def no_points(tree):
    tree["metrics"] = [row for row in tree["metrics"] if row[1] == 0]


def no_train_loss(tree):
    tree["metrics"] = [row for row in tree["metrics"] if row[:2] != ["train/loss", 1]]


def faster(tree):
    for row in tree["metrics"]:
        row[3] = 0.001 if row[0] == "epoch_seconds" else row[3]


def other_code(tree):
    tree["tags"]["code_digest"] = "0" * 64


def other_seed(tree):
    tree["seed"] = 7


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("plan.json", other_alpha, "plan.json must be what was declared (hash "),
        ("study.json", other_alpha, "study.json must hold the plan of plan.json, got another"),
        (
            "study.json",
            lambda tree: tree["cells"][0].update(model="mine"),
            "study.json must have in cells the variants none, sincos, got mine, ",
        ),
        (
            "study.json",
            lambda tree: tree["variants"].update(mine={}),
            "study.json must have in cells the variants none, sincos, mine, got none, ",
        ),
        (
            "study.json",
            lambda tree: tree["variants"]["none"].clear(),
            "study.json must be readable, got KeyError: 'model'",
        ),
        ("history.json", better_epoch, "run.json must have the "),
        ("run.json", better_point, "run.json must have the test/loss of epoch 2 that follows from the run's files"),
        (
            "run.json",
            no_points,
            "run.json must have the epoch of epoch 1 that follows from the run's files, 1, got none",
        ),
        ("run.json", no_train_loss, "run.json must have the train/loss of epoch 1 that follows from the run's files"),
        ("run.json", faster, "run.json must have the epoch_seconds that follows from the run's files"),
        ("run.json", other_code, "run.json must have the code_digest "),
        ("config.json", other_seed, "config.json must have the seed "),
    ],
)
def test_what_contradicts_itself_is_named_with_digests_made_again(forge, file, edit, said):
    [message] = failing(forge(edit_json(file, edit))).values()
    assert said in message


def test_the_id_of_a_study_is_that_of_its_plan_and_variants(renamed):
    [message] = failing(renamed).values()
    assert re.search(r"study\.json must have the id [0-9a-f]{12} of its plan and variants, got [0-9a-f]{12}\.", message)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("history.json", b"[{}]", "must be readable, got KeyError: 'seconds'"),
        ("history.json", b"[]", "must be readable, got "),
        ("history.json", b"{", "history.json must be readable, got JSONDecodeError"),
        ("predictions.parquet", b"PAR1", "predictions.parquet must be readable, got ArrowInvalid"),
        ("confusion_matrix.json", b"[1]", "must be readable, got TypeError"),
    ],
)
def test_a_file_of_a_run_that_is_something_else_is_named(forge, file, content, said):
    [message] = failing(forge(lambda members: members.update({first(members, file): content}))).values()
    assert said in message


def lose_a_run(members):
    gone = first(members, "run.json").rpartition("/")[0]
    for name in [name for name in members if name.startswith(gone)]:
        del members[name]


def add_a_file(members):
    members["runs/readme.md"] = b"hello"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose_a_run, "must be there, got none, and "),
        (add_a_file, "runs/readme.md must be listed in ro-crate-metadata.json"),
    ],
)
def test_members_that_are_gone_or_were_added_are_named(forge, change, said):
    assert said in failing(forge(change, digests=None))["files"]


def better_verdict(members):
    members["report/significance.csv"] = members["report/significance.csv"].replace(b"undecided", b"better")


def other_digits(members):
    """Move a number of a table in its fifteenth digit, as another version of a library would compute it."""
    table = pd.read_csv(BytesIO(members["report/significance.csv"]))
    table["se"] *= 1 + 1e-14
    members["report/significance.csv"] = table.to_csv(index=False).encode()


def calibrated(members):
    name = first(members, "run.json")
    tree = json.loads(members[name])
    tree["metrics"] = [
        [key, step, at, 0.0 if key == "calibration_error" else value] for key, step, at, value in tree["metrics"]
    ]
    members[name] = json.dumps(tree).encode()


def without(*gone):
    """Take numbers of an analysis from the record of a run."""

    def change(members):
        name = first(members, "run.json")
        tree = json.loads(members[name])
        tree["metrics"] = [row for row in tree["metrics"] if row[0] not in gone]
        members[name] = json.dumps(tree).encode()

    return change


def all_of_it(members):
    """Three changes in one archive: the analysis takes the longest."""
    better_verdict(members)
    calibrated(members)
    members["report/results_table.tex"] += b"%"


def test_tables_and_numbers_that_do_not_follow_from_the_answers_are_named(forge, capsys):
    assert main(["verify", str(forge(all_of_it))]) == 1
    failed = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("FAILS")]
    assert failed == ["FAILS  report/significance.csv", "FAILS  report/results_table.tex", "FAILS  numbers of the runs"]


def test_the_numbers_of_an_analysis_are_all_there_or_none(exported, forge):
    contents = load(exported.bare)
    results = results_of(contents)
    findings = [overview(results)]

    def said(file):
        return _same_numbers(load(file), results, findings)

    whole = said(exported.bare)
    assert re.fullmatch(r"\d+ numbers", whole)
    with pytest.raises(
        UsageError, match=r"run\.json must have the macro_f1 that follows from the run's files, .*, got none"
    ):
        said(forge(without("macro_f1")))
    of_analysis = {name for numbers in numbers_of(results, findings).values() for name in numbers} - {
        *SCORES,
        *COUNTS,
        *COSTS,
    }
    assert said(forge(without(*of_analysis))).endswith(" numbers, those of an analysis are missing of 1 run")


def test_last_digits_may_be_those_of_another_machine(forge, capsys):
    assert main(["verify", str(forge(other_digits))]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "report/significance.csv" in line]
    assert line.endswith("the same numbers but for their last digits, which depend on versions and processors")


def climbing(tree):
    """Give a variant a name that leads out of the folder of results."""
    tree["variants"]["../../none"] = tree["variants"].pop("none")


def version(number):
    return edit_json("evidence.json", lambda tree: tree.update(version=number))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (version(2), "must have version 1 of the format, got 2"),
        (edit_json("evidence.json", lambda tree: tree.update(format="x")), "must be evidence of time-embedding-comparison, got 'x'"),
        (lambda members: members.pop("evidence.json"), "must be an archive of a study, got one without evidence.json"),
        (lambda members: members.pop("plan.json"), "must hold plan.json, got none"),
        (lambda members: members.update({"study.json": b"[]"}), "study.json must be as `export` writes it, got Input should be an object"),
        (edit_json("study.json", lambda tree: tree.update(name="../outside")), "must be up to 100 letters, digits, spaces and _ . -"),
        (edit_json("study.json", climbing), "begin with a letter, a digit or _, got '../../none' at variants.../../none"),
        (edit_json("study.json", lambda tree: tree["cells"][0].update(model="a/b")), "got 'a/b' at cells.0.model"),
        (lambda members: members.update({"plan.json": b"\xff{"}), "plan.json must be as `export` writes it, got "),
        (lambda members: members.update({"advice.json": b"{"}), "advice.json must be readable, got JSONDecodeError"),
        (lambda members: members.update({"advice.json": b'{"columns": [], "data": []}'}), "advice.json must be readable, got KeyError"),
    ],
)  # fmt: skip
def test_what_is_no_archive_of_ours_is_one_line_and_exit_code_2(forge, elsewhere, capsys, change, said):
    file = str(forge(change, digests=None))
    for verb in ("verify", "import"):
        assert main([verb, file]) == 2
        captured = capsys.readouterr().err
        assert said in captured
        assert captured.count("\n") == 1
    assert not elsewhere.find()
