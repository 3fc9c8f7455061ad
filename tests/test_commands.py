"""Every command that README and docs print is run: here, on small data, or in the test that `ELSEWHERE` names.

What takes long says so beside it. The runbook of `mlflow_server/` is run line by line by `make test-stack`.
"""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.__main__ import main, parse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:python|make|docker|mlflow|bash|pip|curl|optuna-dashboard|pytest|time-embeddings)\s|for "
)
LONG = ("takes hours", "of a few minutes")
"""What the paragraph before its block says of a command that no test runs."""
ELSEWHERE = {
    "make setup": "tests/test_setup.py::test_every_installation_checks_hashes_and_torch_alone_has_none",
    "make test": "tests/test_setup.py::test_ci_runs_what_make_test_runs",
    "make secrets": "tests/mlflow_server/containers/test_containers.py::test_every_line_of_the_runbook_was_run",
    "docker compose": "tests/mlflow_server/containers/test_containers.py::test_every_line_of_the_runbook_was_run",
    "pip install optuna-dashboard": "tests/mlflow_server/containers/test_containers.py::test_the_dashboard_shows_the_trials",
    "optuna-dashboard": "tests/mlflow_server/containers/test_containers.py::test_the_dashboard_shows_the_trials",
    ".venv/bin/mlflow ui": "tests/pipeline/test_mlflow_ui.py::test_a_person_sees_the_answer_the_report_the_runs_and_a_model",
    "SCREENSHOTS=": "tests/pipeline/test_mlflow_ui.py::test_a_person_sees_the_answer_the_report_the_runs_and_a_model",
    "mlflow run": "tests/pipeline/test_verbs.py::test_mlflow_run_uses_the_run_that_mlflow_created",
    "mlflow models serve": "tests/pipeline/test_serving.py::test_a_served_model_answers_the_test_set_as_the_study_reported",
    "curl 127.0.0.1:5001": "tests/pipeline/test_serving.py::test_a_served_model_answers_the_test_set_as_the_study_reported",
    "python vowels.py": "tests/test_readme.py::test_the_example_of_own_data_runs_as_printed_on_recordings_of_that_form",
    "python -m pipeline new": "tests/pipeline/test_new.py::test_new_encodings_backbones_and_data_sets_train",
    "python -m pipeline train --models log_time": "tests/pipeline/test_new.py::test_new_encodings_backbones_and_data_sets_train",
    "python -m pipeline main --config config/demo.json --models sincos,log_time": (
        "tests/pipeline/test_new.py::test_new_encodings_backbones_and_data_sets_train"
    ),
    "python -m pipeline main --config config/need.json": (
        "tests/pipeline/test_need.py::test_the_preset_tells_data_that_need_times_from_a_negative_control"
    ),
    "python -m pipeline ls data recordings": "tests/pipeline/data/test_recordings.py::test_the_card_names_the_features",
    "python -m pipeline train --data.name recordings": (
        "tests/pipeline/data/test_recordings.py::test_a_model_learns_from_a_folder_of_recordings"
    ),
    "python -m pipeline suite": "tests/pipeline/test_suite.py::test_a_suite_writes_report_tables_and_figure_and_changes_no_study",
    "python -m pipeline deliver": "tests/pipeline/test_spool.py::test_commands_say_what_waits_and_deliver_sends_it",
    "python -m pipeline bench": "tests/pipeline/test_bench.py::test_every_section_is_asked_once_and_only_selects",
    "RAY_ADDRESS=": "tests/pipeline/test_cluster.py::test_a_study_outlives_a_node_with_the_weights_of_the_local_launcher",
    "python -m pipeline compare --config config/quick.json --launcher ray": (
        "tests/pipeline/test_cluster.py::test_a_study_outlives_a_node_with_the_weights_of_the_local_launcher"
    ),
    "python -m pipeline compare --config config/quick.json --plan": (
        "tests/pipeline/test_cells.py::test_the_plan_says_what_is_left_and_starts_nothing"
    ),
    "python -m pipeline compare --config config/quick.json --until": (
        "tests/pipeline/test_looks.py::test_a_clear_pair_stops_at_the_first_look_and_the_other_goes_on"
    ),
}  # fmt: skip
MADE = {"make demo": "main --config config/demo.json", "make run": "main --config config/quick.json"}
WORDS = {
    "STUDY": "kept", "ID": "kept", "10fe4b480313": "kept", "FILE.zip": "demo.zip", "FILE": "events.csv",
    "models:/NAME@champion": "models:/event-classifier@champion", "demo": "kept",
}  # fmt: skip
"""What stands in a command for what the reader has."""
RUN = {
    "model.embedding.dim": 4,
    "model.hidden_dim": 4,
    "model.num_layers": 1,
    "train.epochs": 1,
    "train.batch_size": 32,
}
IMAGES = {
    "data.name": "mnist_sample",
    "data.max_events": 8,
    "data.train_size": 40,
    "data.validation_size": 20,
    "data.test_size": 40,
}


def printed():
    """Return each command of each page, and the paragraph before its block."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            if block.group(1) in ("python", "json"):
                continue
            before = " ".join(text[: block.start()].rstrip().rsplit("\n\n", 1)[-1].split())
            for line in block.group(2).replace("\\\n", " ").splitlines():
                command = re.split(r"\s+#\s", line)[0].strip()
                if PROGRAM.match(f"{command} "):
                    yield page.name, command, before


COMMANDS = list(printed())


def elsewhere(command):
    return next((test for start, test in ELSEWHERE.items() if command.startswith(start)), "")


def is_long(before):
    return any(words in before for words in LONG)


def run_here():
    """Yield the place of each command that is run here, and its words with less to do, each once."""
    done = set()
    for page, command, before in COMMANDS:
        if elsewhere(command) or is_long(before):
            continue
        words = small(command)
        if tuple(words) not in done:
            done.add(tuple(words))
            yield f"{page}: {command}", words


def small(command):
    """Return the words of a command of the pipeline with less to do; a command of another program has none."""
    called = re.sub(r"^(python -m pipeline|time-embeddings) | >.*", "", MADE.get(command, command))
    words = [WORDS.get(word, word) for word in shlex.split(called)]
    verb, settings = words[0], parse(words).overrides
    if verb == "claim" and "--study" not in words:
        return [*words, "--study", "kept"]
    if verb not in ("train", "compare", "main", "ablate"):
        return words
    of_file = "events.csv" in words or "vowels.json" in words
    given = {**settings, **RUN, **({} if of_file else IMAGES)}
    if "tuning.json" in command:
        given["trials"] = 2
    options = {f"--{name}": str(value) for name, value in given.items()}
    if verb != "train":
        # A study of which randomness it is has three seeds or more.
        options |= {"--seeds": "0,1,2" if "vary" in command else "0", "--workers": "1"}
    if "kan_mammote_components.json" in command:
        options["--models"] = "full,no_mamba"
    kept = [pair for pair in pairwise([*words[1:], ""]) if pair[0].startswith("--") and pair[0] not in options]
    return [verb, *(word for pair in (*kept, *options.items()) for word in pair)]


@pytest.fixture
def place(mlflow_store):
    """A folder with the files that the commands name, a study, and its champion."""
    folder = mlflow_store.parent
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"id": np.repeat(np.arange(600), 4), "time": np.tile([1, 5, 9, 20], 600)})
    rows["time"] += generator.integers(0, 3, len(rows))
    rows["label"] = np.where(rows["id"] % 2, "b", "a")
    rows.to_csv(folder / "events.csv", index=False)
    rows.to_parquet(folder / "events.parquet", index=False)
    visits = rows.rename(columns={"id": "patient", "time": "admitted", "label": "outcome"}).assign(age=rows["id"] % 7)
    visits.to_csv(folder / "visits.csv", index=False)
    visits.to_csv(folder / "visits.csv.gz", index=False)
    channels = {f"c{number}": generator.normal(size=len(rows)) for number in range(12)}
    rows.assign(**channels).to_csv(folder / "vowels.csv", index=False)
    [study] = re.findall(r"```json\n(.*?)```", (ROOT / "docs/own-data.md").read_text(), re.DOTALL)
    (folder / "vowels.json").write_text(study)
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    openssh = serialization.Encoding.OpenSSH
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (folder / "lab").write_bytes(private)
    (folder / "lab.pub").write_bytes(key.public_key().public_bytes(openssh, serialization.PublicFormat.OpenSSH))
    options = [part for name, value in {**RUN, **IMAGES}.items() for part in (f"--{name}", str(value))]
    models = ["--models", "sincos,lete", "--seeds", "0,1,2", "--workers", "1", "--name", "kept"]
    assert main(["main", *models, *options]) == 0
    assert main(["promote", "kept", "--reason", "the first"]) == 0
    return folder


@pytest.mark.exhaustive
def test_every_command_that_is_printed_runs(place, subtests, capsys):
    for where, words in run_here():
        if "export" in words:
            (place / words[2]).unlink(missing_ok=True)
        with subtests.test(where):
            # A promotion that the verdict does not allow is refused: that is its work, too.
            codes = (0, 1) if words[0] == "promote" and "--reason" not in words else (0,)
            code, said = main(words), capsys.readouterr()
            assert code in codes, (words, said.err)


def test_every_command_that_is_printed_is_run_in_a_test_or_takes_long(subtests):
    """Which here means that the command line takes it; `make test-faults` runs it."""
    commands = list(run_here())
    assert len(commands) > 40
    for where, words in commands:
        with subtests.test(where):
            assert parse(words).verb == words[0]


def test_what_runs_elsewhere_runs_there():
    for test in ELSEWHERE.values():
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), test
    commands = [command for _, command, _ in COMMANDS]
    assert [start for start in ELSEWHERE if not any(command.startswith(start) for command in commands)] == []


def test_what_is_said_to_take_long_is_little_and_every_page_is_read():
    long = {command for _, command, before in COMMANDS if is_long(before) and not elsewhere(command)}
    assert "bash run_lstm_comparison.sh" in long
    assert len(long) < 8
    assert {page for page, _, _ in COMMANDS} >= {
        "README.md",
        "commands.md",
        "own-data.md",
        "sharing.md",
        "CONTRIBUTING.md",
    }
