"""What `python -m pipeline new` writes passes the checks and the contract tests of its kind, and works."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main, parse
from pipeline.errors import UsageError, unknown
from pipeline.new import NEXT, TEMPLATES, filled, new
from pipeline.registries import REGISTRIES, unlisted
from pipeline.settings import read_values

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
LONG = "{}_of_the_longest_name_ab"
"""With the shortest kind of a letter in front: a name of 24 letters, beside which no line may become too long."""
CONTRACTS = (
    "tests/models/test_contract.py", "tests/models/test_cards.py", "tests/models/test_backbones.py",
    "tests/pipeline/data/test_datasets.py", "tests/analysis/metrics/test_registry.py",
    "tests/pipeline/probes/test_registry.py",
)  # fmt: skip
TRAIN = """
import json, sys
from pathlib import Path
from pipeline.study import Cell
from pipeline.study import load_run
from pipeline.tracking import MemoryTracker
from pipeline.train import run_cell

tracker = MemoryTracker(Path("trained"))
cell = Cell("example", load_run(None, json.loads(sys.argv[1])))
outcome = run_cell(cell, tracker, device="cpu", report=lambda *_: None)
print(json.dumps({"embedding": type(cell.config.model.embedding).__name__, **tracker.get(outcome.run_id).metrics}))
"""
ANALYSE = """
import json, runpy
from analysis import run_analyses
from analysis.report.markdown import report

make_study = runpy.run_path("tests/analysis/conftest.py")["make_study"]
# Six sequences of classes 0, 1, 2, 0, 1, 2: the second is missed by all four runs.
a, b = [[1, 0, 1, 1, 1, 0], [1, 0, 1, 1, 1, 1]], [[1, 0, 1, 1, 0, 1], [1, 0, 0, 1, 1, 1]]
findings = {finding.name: finding for finding in run_analyses(make_study({"a": a, "b": b}))}
listed = findings["fresh_analysis"]
print(json.dumps({
    "metric": findings["overview"].tables["runs"]["fresh_metric"].tolist(),
    "summary": listed.summary,
    "table": listed.tables["fresh_analysis"].to_dict("records"),
    "report": report(list(findings.values())),
}))
"""
PROBE = """
import json, sys
from pathlib import Path
from pipeline.study import Cell
from pipeline.study import load_run
from pipeline.probes.tables import probe_tables
from pipeline.tracking import MemoryTracker
from pipeline.train import run_cell

tracker = MemoryTracker(Path("artifacts"))
small = {"data.name": "mnist_sample", "data.max_events": 4, "model.hidden_dim": 2, "model.num_layers": 1, "train.epochs": 1}
if sys.argv[2:]:  # the run of another process, whose files are still there
    run_id = tracker.create("a", tags=json.loads(sys.argv[2]))
else:
    run_id = run_cell(Cell("a", load_run(None, small)), tracker, device="cpu", report=lambda *_: None).run_id
probes = probe_tables([(run_id, "a", 0)], tracker)
print(json.dumps({
    "weights": sorted(probes["fresh_probe"]["weight"]),
    "largest": probes["fresh_probe"]["norm"].max(),
    "files": sorted(file.name for file in Path("artifacts").rglob("probes/*")),
    "tags": tracker.get(run_id).tags,
}))
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with one new thing of each kind, and one with a name as long as names may be."""
    root = tmp_path_factory.mktemp("copy") / "project"
    for folder in (
        "models",
        "analysis",
        "pipeline",
        "scripts",
        "tests",
    ):  # with the compiled kernels, which take half a minute
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("*.pyc"))
    for file in ("pyproject.toml", "README.md", "docs/encodings.md"):
        (root / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, root / file)
    for kind in TEMPLATES:
        new(kind, f"fresh_{kind}", root)
        new(kind, LONG.format(kind[0]), root)
    return root


def run(root, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings_of(command):
    """Return the settings of a `train` command."""
    options = parse(command.split()[3:])
    assert options.verb == "train"
    return read_values(options.overrides) | ({"model.embedding.name": options.models[0]} if options.models else {})


@pytest.fixture(scope="module")
def told(extended):
    """What the new things say when they are used: in one process, as starting one takes longer than all of them."""
    settings = settings_of(filled(NEXT["embedding"], {"{name}": "fresh_embedding"}))
    settings |= settings_of(filled(NEXT["backbone"], {"{name}": "fresh_backbone"}))
    settings |= settings_of(filled(NEXT["dataset"], {"{name}": "fresh_dataset"}))
    lines = run(extended, "-c", TRAIN + ANALYSE + PROBE, json.dumps(settings)).splitlines()
    return dict(zip(("train", "analyse", "probe"), map(json.loads, lines), strict=True))


def test_what_is_written_passes_the_style_checks(extended):
    run(extended, "-m", "ruff", "check", "--no-cache", "models", "analysis", "pipeline")
    run(extended, "-m", "ruff", "format", "--no-cache", "--check", "models", "analysis", "pipeline")


def test_what_is_written_keeps_the_import_contracts(extended):
    assert "0 broken" in run(extended, "-c", LINT_IMPORTS, "--no-cache")


@pytest.mark.slow
def test_what_is_written_passes_the_type_checker(extended):
    if (cache := ROOT / ".mypy_cache").is_dir():  # of the check of the project itself: what is the same is checked once
        shutil.copytree(cache, extended / ".mypy_cache")
    assert "no issues found" in run(extended, "-m", "mypy")


@pytest.mark.slow
def test_what_is_written_keeps_the_contract_of_its_kind(extended):
    said = run(extended, "-m", "pytest", *CONTRACTS, "-k", "fresh_ or listed_by_the_name")
    assert int(re.search(r"(\d+) passed", said).group(1)) > 35


def test_new_encodings_backbones_and_data_sets_train(told):
    assert told["train"]["embedding"] == "FreshEmbeddingConfig"
    assert told["train"]["epochs"] == 1
    assert 0 < told["train"]["train/loss"] < 3


def test_new_metrics_and_analyses_run(told):
    told = told["analyse"]
    assert told["metric"] == [0.5, 0.5, 0.0, 0.5]
    assert told["summary"] == "1 of 6 test sequences are missed by every run."
    assert told["table"][0] == {"sample_id": 1, "label": 1, "missed": 1.0}
    assert "## Fresh analysis" in told["report"]


def test_a_new_probe_is_measured_once_for_each_state_of_its_code(extended, told):
    told = told["probe"]
    assert told["weights"][-2:] == ["layers.0.weight_hh_l0", "layers.0.weight_ih_l0"]

    tags, probe = json.dumps(told["tags"]), extended / "pipeline/probes/fresh_probe.py"
    source = probe.read_text(encoding="utf-8")
    assert source.count("float(") == 1
    probe.write_text(source.replace("float(", "1000 * float("), encoding="utf-8")
    edited = json.loads(run(extended, "-c", PROBE, "", tags))
    assert edited["largest"] == pytest.approx(1000 * told["largest"])
    added = set(edited["files"]) - set(told["files"])  # nothing else was measured again
    assert [name.split("-")[0] for name in added] == ["fresh_probe"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("embedding", "lete"), ("backbone", "lstm"), ("metric", "brier_score"), ("dataset", "class"),
     ("metric", "print"), ("probe", "Own"), ("probe", "a" * 25), ("analysis", "../own"), ("backbone", "config")],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_in_one_line(kind, name, capsys):
    assert main(["new", kind, name]) == 2
    assert re.fullmatch(r"error: new: must be .*, got .*\. .*\n", capsys.readouterr().err)


def test_an_installed_package_is_not_written_into(tmp_path):
    with pytest.raises(UsageError, match="must write into a copy of the project's source"):
        new("metric", "own", tmp_path)


@pytest.fixture
def forgotten(extended, tmp_path):
    """A copy in which the new files lie, and the registries are those of this project."""
    for kind in ("embedding", "backbone", "dataset"):
        registry = REGISTRIES[kind]
        (tmp_path / registry.folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(extended / registry.folder / f"fresh_{kind}.py", tmp_path / registry.folder)
        shutil.copy(ROOT / registry.file, tmp_path / registry.file)
    return tmp_path


def test_a_forgotten_line_in_a_registry_is_named(extended, forgotten):
    assert unlisted("fresh_backbone", forgotten).startswith(
        "must be listed in models/registry.py, got one that models/fresh_backbone.py defines"
    )
    assert not unlisted("fresh_backbone", extended)
    assert not unlisted("fresh_backbone")


def test_the_error_for_an_unknown_name_says_what_was_forgotten(monkeypatch, forgotten):
    monkeypatch.setattr("pipeline.errors.unlisted", lambda name: unlisted(name, forgotten))
    message = str(unknown("model", "fresh_embedding", ["lete", "log_gap"]))
    assert "models/time_embeddings/fresh_embedding.py defines" in message
    assert "new embedding NAME" in message
    assert "Did you mean log_gap?" in str(unknown("model", "log_gab", ["lete", "log_gap"]))


def test_every_kind_has_its_registry():
    assert set(REGISTRIES) == set(TEMPLATES)
