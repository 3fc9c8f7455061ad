"""The command line, from outside: exit codes, single lines, and what MLflow makes of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.figures import FigureError
from analysis.results import ResultsError
from models.config import ModelError
from pipeline import verbs
from pipeline.__main__ import VERBS, main, parse
from pipeline.data import DataError
from pipeline.errors import RunError, UsageError
from pipeline.identity import ROOT
from pipeline.study import load_study
from pipeline.tracking import BusyError

SMALL = [
    "--data.name=mnist_sample",
    "--data.max_events=12",
    "--model.hidden_dim=8",
    "--model.embedding.dim=4",
    "--train.batch_size=64",
    "--train.epochs=1",
]


def settings_of(options):
    """Return options as settings of a file."""
    named = (option.removeprefix("--").split("=") for option in options)
    return {name: int(value) if value.isdigit() else value for name, value in named}


def one_line(capsys):
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trane"], "trane"),
        (["train", "--model.embeding.name", "lete"], "Did you mean"),
        (["train", "--model.embedding.name", "leet"], "Did you mean lete?"),
        (["train", "--models", "position,lete"], "one model and one seed"),
        (["train", "--lstm_num_layers", "two"], "model.num_layers: must be a whole number, got 'two'"),
        (["train", "--threshold", "1"], "data.threshold: must be below 1"),
        (["train", "--epochs"], "--epochs: must be followed by a value"),
        (["train", "epochs"], "epochs: must be --name value, got a word alone"),
        (["train", "--threshold", "0.5", "epochs"], "epochs: must be --name value, got a word alone"),
        (["train", "--patience", "2", "--validation_size", "0"], "data.validation_size: must be above 0"),
        (["compare", "--train.scheduler.name", "plateau", "--validation_size", "0"], "data.validation_size: must be"),
        (["train", "--device", "tpu"], "--device: must be auto, cpu, cuda or cuda:N, got tpu"),
        (["train", "--config", "nothere.json"], "nothere.json: must be a readable file"),
        (["compare", "--seeds", "[]"], "seeds: must be at least one"),
        (["compare", "--seeds", "0,one"], "seeds: must be a list of whole numbers"),
        (["compare", "--workers", "0"], "--workers: must be a whole number from 1 to 10000, got 0"),
        (["compare", "--models", "kan_mamote"], "Did you mean kan_mammote?"),
        (["compare", "--model.embedding.name", "lete"], "must be left to the variants"),
        (["compare", "--vary", "weights"], "--vary: must be one of init, order, dropout, all, got weights"),
        (
            ["main", "--vary", "init", "--until", "decided"],
            "--vary: must stand without looks (--until decided), got init",
        ),
        (["compare", "--vary", "all", "--seeds", "0,1"], "--vary all: must have from 3 to 10 seeds from 0 to 9"),
        (
            ["compare", "--vary=all", "--train.vary=init"],
            "vary: must be given once, got 'init' and 'all' for train.vary",
        ),
        (
            ["compare", "--vary=dropout", "--models=scalar,sincos", "--dropout=0"],
            "got none in scalar and sincos. Raise",
        ),
        (["train", "--train.vary=all", "--seeds", "1000"], "seed: must be below 1000 where train.vary is all"),
        (
            ["ablate", "--config=config/ablation.json", "--train.vary=init"],
            "train.vary: must be left out of an ablation",
        ),
        (["analyze", "--study", "nothere"], "--study: must be a study"),
        (["predict"], "--model: must be models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/NAME, got none"),
        (["predict", "--model=models:/x@y"], "--input: must be a file of events, got none"),
        (["drift"], "--model: must be models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/NAME, got none"),
        (["drift", "--model=models:/x@y"], "--input: must be a file of events, got none"),
        (["verify", "nothere"], "--study: must be a study"),
        (
            ["verify", __file__],
            ".py: must be a study of the store or a file of export, which ends in .zip, got another file",
        ),
        (["verify", "--choice", "one"], "--choice: must be a whole number from 0 on, got one"),
        (["verify", "nothere", "--all"], "--all: must stand without a study, got nothere"),
        (["promote"], "study: must be given, got none"),
        (["promote", "nothere"], "--study: must be a study"),
        (["promote", "nothere", "--name", "a/b"], "--name: must have names of up to 100 letters"),
        (["promote", "nothere", "--name", "models:/x"], "--name: must have names of up to 100 letters"),
        (["promote", "nothere", "--reason", " "], "--reason: must be a line of 1 to 500 letters, got ' '"),
        (["promote", "nothere", "--reason", "a\nb"], "--reason: must be a line of 1 to 500 letters, got 'a\\nb'"),
        (["promote", "nothere", "--reason", "x" * 501], "--reason: must be a line of 1 to 500 letters"),
        (["verify", "--threshold", "1"], "--threshold: must be left out of verify"),
        (["train", "--seed", "1", "--seeds", "2"], "seed: must be given once"),
        (["train", "--learning_rate", "true"], "train.learning_rate: must be a number"),
        (["train", "--device", "cpu:foo"], "--device: must be auto, cpu, cuda or cuda:N, got cpu:foo"),
        (["train", "--workers", "2"], "--workers: must be left out of train"),
        (["compare", "--allow-missing"], "--allow-missing: must be left out of compare"),
        (["compare", "--storage=sqlite:///x.db"], "--storage: must be a PostgreSQL database"),
        (
            ["compare", "--storage=postgresql://h/x"],
            "--storage: must be given beside a tracking server alone, got it with",
        ),
        (
            ["train", "--storage=postgresql://h/x"],
            "--storage: must be given beside a tracking server alone, got it with",
        ),
        (["compare", "--seed", "3"], "seed: must be left out of a study"),
        (["analyze", "--train.epochs", "3"], "--train.epochs: must be left out of analyze"),
        (["ls", "settings", "--threshold", "1"], "ls: must be given one list, got also --threshold"),
        (["ls", "embedings"], "Did you mean embeddings?"),
        (["ls", "settings", "more"], "ls: must be given one list, got also more"),
        (["bench", "--threshold=1"], "--threshold: must be left out of bench"),
        (["bench", "--only", "help,trainig"], "Did you mean training?"),
        (["bench", "--only=store", "--quick"], "--only: must be benchmarks that can be quick, got store"),
        (["bench", "--output", "mlflow.db"], "--output: must be a folder that can be written, got mlflow.db"),
        (["compare", "--threshold", "0.5", "--threshold=0.6"], "--threshold: must be given once"),
        (["compare", "--seeds"], "--seeds: must be followed by a value, got none"),
        (["analyze", "--allow_missing", "maybe"], "must be true or false, got maybe"),
        ([], "VERB: must be given, got none"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(mlflow_store, capsys, arguments, said):
    try:
        code = main([*arguments, *(SMALL if arguments[:1] in (["train"], ["compare"]) else [])])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert said in one_line(capsys)
    assert sorted(path.name for path in mlflow_store.parent.iterdir() if path.name != "mlruns") in (
        ["mlflow.db"], ["mlflow.db", "mlflow.db.locks"],
    )  # fmt: skip


def test_trials_that_machines_share_beside_runs_that_they_do_not_are_said(mlflow_store, capsys, monkeypatch):
    def conduct(*_, **__):
        raise UsageError("enough")

    monkeypatch.setattr("pipeline.ablation.conduct.conduct", conduct)
    Path("own.json").write_text(json.dumps({"data.name": "synthetic", "model.hidden_dim": [4, 8]}))
    for storage, said in {"postgresql://h/x": 1, "sqlite:///x.db": 0}.items():
        assert main(["ablate", "--config", "own.json", "--storage", storage]) == 2
        assert (
            capsys.readouterr().out.count(f"the runs in sqlite:///{mlflow_store.name}, which they cannot share") == said
        )


def test_an_interrupt_while_python_cleans_up_is_not_dropped(launched, monkeypatch, capsys):
    hook = sys.unraisablehook
    monkeypatch.setattr("pipeline.verbs.compare", launched.interrupt_while_python_cleans_up)
    assert main(["compare"]) == 130
    assert capsys.readouterr().err.startswith("interrupted: ")
    assert sys.unraisablehook is hook


@pytest.mark.parametrize(
    ("error", "code", "prefix"),
    [
        (UsageError, 2, "error: "),
        (BusyError, 2, "error: "),
        (DataError, 2, "error: "),
        (ModelError, 2, "error: "),
        (ResultsError, 2, "error: "),
        (type("Heir", (UsageError,), {}), 2, "error: "),
        (RunError, 1, "failed: "),
        (FloatingPointError, 1, "failed: "),
        (KeyboardInterrupt, 130, "interrupted: "),
    ],
)
def test_an_error_that_is_foreseen_is_one_line_and_an_exit_code(monkeypatch, capsys, error, code, prefix):
    def fail(_call):
        raise error("somewhere: must hold, got nothing. Do something.")

    monkeypatch.setattr("pipeline.verbs.compare", fail)
    assert main(["compare"]) == code
    said = one_line(capsys)
    assert said.startswith(prefix)
    assert code == 130 or said == f"{prefix}somewhere: must hold, got nothing. Do something.\n"


@pytest.mark.parametrize(
    ("verb", "said"), [("compare", "continues where this one stopped"), ("analyze", "begins anew")]
)
def test_an_interrupted_command_says_whether_its_work_is_kept(monkeypatch, capsys, verb, said):
    def fail(_call):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"pipeline.verbs.{verb}", fail)
    assert main([verb]) == 130
    assert one_line(capsys) == f"interrupted: the same command {said}.\n"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, type("UsageError", (ValueError,), {})])
def test_a_defect_shows_its_traceback_whatever_it_is_called(monkeypatch, error):
    def fail(_call):
        raise error("a defect")

    monkeypatch.setattr("pipeline.verbs.compare", fail)
    with pytest.raises(error, match="a defect"):
        main(["compare"])


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("main", [
            "--config", "--models", "--seeds", "--name", "--until", "--most_seeds", "--vary", "--workers", "--launcher", "--gpus_per_run",
            "--memory_per_run", "--device", "--storage", "--time_left", "--plan", "--output", "--allow_missing",
        ]),
        ("train", ["--config", "--models", "--seeds", "--device", "--storage"]),
        ("compare", [
            "--config", "--models", "--seeds", "--name", "--until", "--most_seeds", "--vary", "--workers", "--launcher", "--gpus_per_run",
            "--memory_per_run", "--device", "--storage", "--time_left", "--plan"
        ]),
        ("analyze", ["--study", "--output", "--allow_missing"]),
        ("claim", ["--study", "--model", "--accuracy", "--tests", "--runs", "--chosen_on"]),
        ("suite", ["--studies", "--output", "--allow_missing"]),
        ("ablate", [
            "--config", "--models", "--seeds", "--name", "--workers", "--launcher", "--gpus_per_run", "--memory_per_run",
            "--device", "--output", "--storage", "--time_left", "--plan"
        ]),
        ("predict", ["--model", "--input", "--output"]),
        ("drift", ["--model", "--input", "--output"]),
        ("verify", ["--all", "--no_retrain", "--choice", "--key"]),
        ("promote", ["--name", "--reason"]),
        ("export", ["--weights", "--sign"]),
        ("import", []),
        ("ls", []),
        ("doctor", ["--config", "--output"]),
        ("bench", ["--only", "--quick", "--output"]),
    ],
)  # fmt: skip
def test_the_help_of_a_verb_shows_what_it_takes_and_no_more(capsys, verb, options):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert re.findall(r"^  (--\w+)", told, re.MULTILINE) == options
    assert ("--dotted.path" in told) == ("--config" in options)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_end_nothing_and_no_file_takes_their_place(closed):
    code = (
        "import os, sys\n"
        "from pipeline.__main__ import main\n"
        "main(['ls', 'presets'])\n"
        "sys.stdout.flush()\n"
        "os._exit(os.open(os.devnull, os.O_RDONLY))"
    )
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode > 2  # the number of the file
    assert (b"config/quick.json" in done.stdout) == (closed == "2>&-")


def test_help_waits_for_no_package():
    code = (
        "import sys\n"
        "from pipeline.__main__ import parse\n"
        "try:\n    parse(['--help'])\n"
        "except SystemExit:\n    print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "pipeline" in imported
    assert imported.isdisjoint({"torch", "numpy", "pandas", "pydantic", "mlflow", "plotly", "analysis", "models"})


@pytest.mark.parametrize("verb", [verb for verb, (_, options) in VERBS.items() if options])
def test_an_empty_value_is_an_option_that_is_not_given(verb):
    options = VERBS[verb][1]
    needed = {"export": ["study", "file.zip"], "promote": ["study"]}.get(verb, [])
    assert parse([verb, *needed, *(f"--{name}=" for name in options)]) == parse([verb, *needed])


def test_options_and_settings_mix_in_any_order():
    options = parse(
        ["compare", "--data.path=a b.csv", "--seeds", "0,1", "--num_epochs", "-1", "--config=x.json", "--p", "0.5"]
    )
    assert options.overrides == {"data.path": "a b.csv", "num_epochs": "-1", "p": "0.5"}
    assert (options.seeds, options.config, options.models) == ([0, 1], Path("x.json"), ())


HALF_STEPS = "id,time,label\n" + "".join(
    f"{i},{t + 0.5 * (i == 37)},{'ab'[i % 2]}\n" for i in range(60) for t in (1, 3)
)
GAPS_OF_HALF = "id,time,label\n" + "".join(f"{i},{t},{'ab'[i % 2]}\n" for i in range(60) for t in (0.5, 1, 3))


@pytest.mark.parametrize(
    ("text", "arguments", "got"),
    [
        (HALF_STEPS, ["compare"], "position table, got 1.5"),
        (HALF_STEPS, ["main", "--models", "sincos,position_mamba"], "position table, got 1.5"),
        (HALF_STEPS, ["train", "--models", "position"], "position table, got 1.5"),
        (HALF_STEPS, ["train", "--models", "row_column"], "position table, got 1.5"),
        (GAPS_OF_HALF, ["train", "--models", "position_gap"], "position table, got 0.5"),
        (HALF_STEPS, ["train", "--models", "sincos", "--model.shuffle_times=true"], "model.shuffle_times: event times"),
        (HALF_STEPS, ["ablate", "--config", "rows.json"], "position table, got 1.5"),
    ],
)
def test_data_that_a_model_cannot_take_is_refused_before_anything_is_recorded(workplace, capsys, text, arguments, got):
    (workplace / "own.csv").write_text(text)
    rows = {"sincos": {"model.embedding.name": "sincos"}, "table": {"model.embedding.name": "position"}}
    (workplace / "rows.json").write_text(json.dumps({"rows": rows}))
    settings = ["--data.name=events_file", "--data.path=own.csv", "--data.validation_size=10"]
    assert main([*arguments, *settings]) == 2
    assert got in one_line(capsys)
    assert {path.name for path in workplace.iterdir()} == {"own.csv", "rows.json"}


@pytest.mark.parametrize(("size", "chosen"), [("100", "the best on validation;"), ("0", "the last one, without valid")])
def test_a_trained_run_says_how_its_epoch_was_chosen(memory, monkeypatch, capsys, size, chosen):
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (memory, None))
    assert main(["train", *SMALL, "--validation_size", size]) == 0
    assert f" at epoch 1, {chosen}" in capsys.readouterr().out


def test_a_training_says_after_each_epoch_how_it_goes_and_how_long_it_will_take(memory, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (memory, None))
    assert main(["train", *SMALL[:-1], "--train.epochs=3"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert [line.endswith(" left") for line in lines] == [True, True, False]


def test_an_unreachable_server_is_one_line(workplace, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("pipeline.tracking.link.START_SECONDS", 0)
    assert main(["train", *SMALL]) == 2
    assert "MLFLOW_TRACKING_URI: must be a tracking store that answers, got http://127.0.0.1:9" in one_line(capsys)
    assert list(workplace.iterdir()) == []


def test_missing_data_without_network_is_one_line(workplace, capsys, monkeypatch):
    monkeypatch.setenv("EVENT_DATA_DIR", str(workplace / "empty"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(
        "urllib.request.urlopen", lambda *_args, **_kwargs: (_ for _ in ()).throw(OSError("no network"))
    )
    assert main(["train", "--train.epochs", "1"]) == 2
    assert "by hand" in one_line(capsys)


def test_an_analysis_with_a_missing_cell_is_one_line(mlflow_tracker, capsys):
    from pipeline.comparison import compare  # noqa: PLC0415

    overrides = settings_of(SMALL)
    parent = compare(
        load_study(None, models=["none", "sincos"], seeds=[0], overrides=overrides),
        mlflow_tracker,
        workers=1,
        device="cpu",
    )
    [cell] = mlflow_tracker.find(model="sincos")
    mlflow_tracker.set_status(cell.id, "FAILED")
    capsys.readouterr()
    assert main(["analyze", "--study", parent]) == 2
    assert "sincos seed 0" in one_line(capsys)


def test_a_variant_that_diverges_at_once_keeps_no_other_from_training(workplace, memory, monkeypatch, capsys):
    """Its first updates diverge already where the time of an epoch is estimated."""
    monkeypatch.setattr(verbs, "connect", lambda **_: memory)
    wild = {"train.learning_rate": 1e38, "train.optimizer": "sgd", "train.clip_norm": 0, "train.batch_size": 16}
    base = {"data.name": "synthetic", "data.train_size": 96, "train.epochs": 1, "model.embedding.name": "sincos"}
    study = {"base": base, "variants": {"calm": {}, "wild": wild}, "seeds": [0, 1]}
    (workplace / "study.json").write_text(json.dumps(study))
    assert main(["main", "--config", "study.json", "--workers", "1"]) == 1
    assert len(memory.find(model="calm", status="FINISHED")) == 2
    failed = memory.find(model="wild")
    assert [run.status for run in failed] == ["FAILED", "FAILED"]
    said = capsys.readouterr().err
    assert "wild/seed-0: FloatingPointError: training: loss must be finite, got inf in epoch 1 at step 2 of 6" in said
    assert "Lower train.learning_rate, or set train.clip_norm." in said
    assert "2 of 4 runs are finished; --allow-missing analyses them" in said
    assert main(["main", "--config", "study.json", "--workers", "1", "--allow-missing"]) == 1
    assert "Missing cells: wild seed 0, wild seed 1." in (workplace / "results/study/analysis_report.md").read_text()


def test_the_console_shows_no_warnings(mlflow_store):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "compare",
        "--models",
        "kan_mammote,lete",
        "--seeds",
        "0",
        "--workers",
        "2",
        *SMALL,
    ]
    done = subprocess.run(
        command,
        cwd=mlflow_store.parent,
        env={**environment, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Warning" not in done.stdout


def test_a_python_without_the_packages_is_named_with_the_way_out():
    command = [sys.executable, "-S", "-m", "pipeline", "main"]  # without site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        f"error: environment: must have the packages of this project, got {sys.executable} without "
    )
    assert "`make setup`" in done.stderr
    assert "--env-manager local" in done.stderr


@pytest.mark.parametrize("manager", [None, "conda", "virtualenv", "uv"])
def test_what_mlflow_run_says_without_a_program_for_environments_is_in_the_documentation(
    mlflow_store, monkeypatch, manager
):
    import mlflow.projects  # noqa: PLC0415

    workplace = mlflow_store.parent
    for name in ("MLproject", "conda.yaml"):
        (workplace / name).symlink_to(ROOT / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/mlflow.db")
    monkeypatch.setenv("MLFLOW_CONDA_HOME", "")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    with pytest.raises(Exception) as error:  # noqa: PT011 - MLflow's, of whatever kind
        mlflow.projects.run(str(workplace), "main", env_manager=manager, experiment_id="0")
    known = re.findall("^- `(.+?)`", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert [said for said in known if said in str(error.value)], error.value


@pytest.mark.slow
def test_mlflow_run_uses_the_run_that_mlflow_created(mlflow_store, monkeypatch):
    import mlflow  # noqa: PLC0415
    import mlflow.projects  # noqa: PLC0415
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    workplace = mlflow_store.parent
    # Links, not copies: what was compiled for the code is found again.
    for name in ("pipeline", "models", "analysis", "config", "MLproject", "conda.yaml", "requirements.lock"):
        (workplace / name).symlink_to(ROOT / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workplace}/mlflow.db")
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")  # noqa: PTH120
    small = [option.removeprefix("--") for option in SMALL]
    # As a command once, and then by the function behind it, which saves the start of a process.
    first = ["model.embedding.name=kan_mammote", "train.learning_rate=1e-3", *small]
    options = [part for parameter in first for part in ("-P", parameter)]
    command = [sys.executable, "-m", "mlflow", "run", ".", "-e", "train", "--env-manager", "local", *options]
    done = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    def mlflow_run(entry, *parameters):
        given = dict(parameter.split("=", 1) for parameter in parameters)
        mlflow.projects.run(str(workplace), entry, parameters=given, env_manager="local", experiment_id="0")

    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])

    def runs():
        return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])

    [train] = runs()
    assert train.info.status == "FINISHED"
    assert train.data.params["train.learning_rate"] == "1e-3"
    assert train.data.tags["model"] == "kan_mammote"
    mlflow_run("compare", "models=none,sincos", "seeds=0,1", "workers=1", *small)
    parents = [run for run in runs() if run.data.tags.get("kind") == "study"]
    assert len(parents) == 1
    assert len([run for run in runs() if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]) == 4
    mlflow_run("analyze", "output=out")
    assert (workplace / "out" / "analysis_report.md").is_file()
    assert {run.info.status for run in runs()} == {"FINISHED"}
    assert len(runs()) == 1 + 5 + 1
    settings = settings_of(SMALL)
    grid = {**settings, "model.embedding.name": "sincos", "model.hidden_dim": [6, 7], "seeds": [0]}
    (workplace / "grid.json").write_text(json.dumps(grid))
    mlflow_run("ablate", "config=grid.json", "workers=1")
    [ablation] = [run for run in runs() if run.data.tags.get("kind") == "ablation"]
    assert ablation.data.params["config"] == "grid.json"  # the run that MLflow created is the parent
    trials = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == ablation.info.run_id]
    assert sorted(run.data.params["model.hidden_dim"] for run in trials) == ["6", "7"]
    cells = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") in {one.info.run_id for one in trials}]
    assert len(cells) == 2
    assert {run.info.status for run in runs()} == {"FINISHED"}
    assert len(runs()) == 7 + 1 + 2 + 2


@pytest.mark.usefixtures("store")
def test_a_figure_that_cannot_be_drawn_is_a_note_beside_the_report(workplace, capsys, monkeypatch):
    """A browser that does not start, or hangs, loses no number: the report is finished, and the exit code says so."""
    problem = FigureError("figures: PNG export needs a Chromium browser, got none. Install chromium.")
    monkeypatch.setattr("pipeline.analyze._drawn", lambda _: ({"png": {}, "svg": {}}, problem))
    assert main(["analyze"]) == 0
    assert f"Note. {problem}" in capsys.readouterr().out.splitlines()
    written = {path.name for path in (workplace / "results").rglob("*")}
    assert {"analysis_report.html", "analysis_report.md", "significance.csv"} <= written
    assert not {name for name in written if name.endswith(".png")}
