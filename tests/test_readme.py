"""README and docs say what is so: their examples run, their tables are those of the code, their links lead somewhere."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import parse
from pipeline.ablation.reading import load_ablation
from pipeline.ablation.space import AblationConfig
from pipeline.ls import settings, settings_markdown
from pipeline.settings import ALIASES, read_values, resolve
from pipeline.study import load_study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = ("A time embedding", "A metric", "An analysis", "A probe")
MOST_LINES = 14
REGISTRIES = {
    "models/time_embeddings/__init__.py": "    | PositionConfig\n",
    "analysis/metrics/registry.py": "METRICS: tuple[Metric, ...] = (\n",
    "analysis/analyses/registry.py": "ANALYSES: dict[str, Analysis] = {\n",
    "pipeline/probes/registry.py": "PROBES: dict[str, Probe] = {\n",
}
"""The line of each registry after which the line of the page is put."""
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
hardest = findings["hardest"]
print(json.dumps({
    "worst_class": findings["overview"].tables["runs"]["worst_class"].tolist(),
    "summary": hardest.summary,
    "hardest": hardest.tables["hardest"].to_dict("records"),
    "report": report(list(findings.values())),
}))
"""
PROBE = """
import json, runpy, sys
from dataclasses import replace
from pathlib import Path
from analysis import run_analyses
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
study = runpy.run_path("tests/analysis/conftest.py")["make_study"]({"a": [[1, 0]]})
[finding] = run_analyses(replace(study, probes=probes), ["weight_norms"])
print(json.dumps({
    "weights": sorted(probes["weight_norms"]["weight"]),
    "largest": probes["weight_norms"]["norm"].max(),
    "summary": finding.summary,
    "files": sorted(file.name for file in Path("artifacts").rglob("probes/*")),
    "tags": tracker.get(run_id).tags,
}))
"""


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(title, text):
    return re.search(rf"##+ {title}\n(.*?)(?=\n##|\Z)", text, re.DOTALL).group(1)


def example(title):
    """Return a section of the page on what one adds."""
    return section(title, page("extending.md"))


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def add_example(title, root):
    """Do what the page on extending says: create each new file, and put its import and its line into the registry."""
    for new, listed in batched(blocks(example(title), "python"), 2):
        add_file(new, listed, root)


def batched(texts, size):
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def add_file(new, listed, root):
    path = new.split("\n", 1)[0].removeprefix("# ")
    assert not (root / path).exists()
    (root / path).write_text(new, encoding="utf-8")
    head, *lines = listed.splitlines(keepends=True)
    registry = re.match(r"# in (\S+):", head).group(1)
    anchor, text = REGISTRIES[registry], (root / registry).read_text(encoding="utf-8")
    assert text.count(anchor) == 1
    statement, line = lines
    first = re.search(r"^from (models|analysis)\.", text, re.MULTILINE).start()
    text = text[:first] + statement + text[first:]
    (root / registry).write_text(text.replace(anchor, anchor + line), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with the examples of the documentation added."""
    root = tmp_path_factory.mktemp("copy") / "project"
    for folder in ("models", "analysis", "pipeline", "tests/models", "tests/analysis"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / file, root / file)
    for title in EXAMPLES:
        add_example(title, root)
    return root


def run(root, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example_overrides():
    """Return the settings of the command beside the example of an embedding."""
    [command] = blocks(example("A time embedding"), "sh")
    words = command.split()
    assert words[:3] == ["python", "-m", "pipeline"]
    options = parse(words[3:])
    assert options.verb == "train"
    [model] = options.models
    return read_values(options.overrides) | {"model.embedding.name": model}


@pytest.fixture(scope="module")
def told(extended):
    """What the examples say when they are used: in one process, as starting one takes longer than all of them."""
    lines = run(extended, "-c", TRAIN + ANALYSE + PROBE, json.dumps(example_overrides())).splitlines()
    return dict(zip(("train", "analyse", "probe"), map(json.loads, lines), strict=True))


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_has_fewer_than_fifteen_lines(title):
    for pair in batched(blocks(example(title), "python"), 2):
        lines = "".join(pair).splitlines()
        assert len([line for line in lines if line.strip() and not line.startswith("# ")]) <= MOST_LINES


def test_the_embedding_of_the_page_trains_by_the_command_beside_it(told):
    told = told["train"]
    assert told["embedding"] == "LogTimeConfig"
    assert told["epochs"] == 1
    assert 0 < told["train/loss"] < 3
    assert told["parameters"] == 216_330  # the LSTM and the head alone


def test_the_embedding_of_the_page_keeps_the_contract(extended):
    told = run(extended, "-m", "pytest", "tests/models/test_contract.py", "-k", "log_time")
    assert re.search(r"1\d passed", told)


def test_the_metric_and_the_analysis_of_the_page_run(told):
    told = told["analyse"]
    assert told["worst_class"] == [0.5, 0.5, 0.0, 0.5]
    assert told["summary"] == "1 of 6 test sequences are missed by every run."
    assert told["hardest"][0] == {"sample_id": 1, "label": 1, "length": 11, "missed": 1.0}
    assert "| Worst class | higher | 50.00 % | 25.00 % ± 35.36 % |" in told["report"]
    own = told["report"].partition("## Hardest sequences")[2].partition("\n## ")[0]
    assert "Table: Hardest\n\n| sample id | label | length | missed |" in own
    assert "\n| 1 | 1 | 11 | 1 |\n" in own


def test_the_probe_of_the_page_is_measured_and_analysed(extended, told):
    told = told["probe"]
    assert told["weights"][-2:] == ["layers.0.weight_hh_l0", "layers.0.weight_ih_l0"]
    assert told["summary"] == "The largest is embedding.table.weight of a."  # 784 x 64 draws of N(0, 1): about 224

    tags, probe = json.dumps(told["tags"]), extended / "pipeline/probes/weight_norms.py"
    source = probe.read_text(encoding="utf-8")
    assert source.count("float(") == 1
    probe.write_text(source.replace("float(", "1000 * float("), encoding="utf-8")
    edited = json.loads(run(extended, "-c", PROBE, "", tags))
    assert edited["largest"] == pytest.approx(1000 * told["largest"])
    [new] = set(edited["files"]) - set(told["files"])  # nothing else was measured again
    assert new.startswith("weight_norms-")


def test_the_embedding_of_the_readme_is_that_of_the_page():
    assert blocks(README, "python") == blocks(example("A time embedding"), "python")[:1]
    assert len(README.splitlines()) < 200


def test_the_stored_model_is_loaded_in_five_lines():
    [block] = [block for block in blocks(page("reading.md"), "python") if "pyfunc" in block]
    assert len(block.splitlines()) == 5
    assert ast.parse(textwrap.dedent(block))


def test_the_table_of_settings_is_the_one_of_the_code():
    # After a change: .venv/bin/python -m scripts.settings_table
    table = re.search(r"<!-- settings: begin -->\n(.*?)\n<!-- settings: end -->", page("settings.md"), re.DOTALL).group(
        1
    )
    assert table == settings_markdown()
    assert len(table.splitlines()) == 2 + len(settings()[1])


def test_every_short_name_is_in_the_table_and_stands_for_its_setting():
    rows = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)`", page("settings.md"), re.MULTILINE))
    assert {name: rows[name] for name in ALIASES} == ALIASES
    assert all(resolve(name, True)[0] == path for name, path in ALIASES.items())


def test_the_study_file_of_the_page_is_one(tmp_path):
    [text] = blocks(page("settings.md"), "json")
    (tmp_path / "own.json").write_text(text)
    study = load_study(tmp_path / "own.json")
    assert list(study.variants) == ["lete", "lete_fourier"]
    assert study.variants["lete_fourier"].model.embedding.p == 1
    assert study.variants["lete"].train.epochs == 5


def test_the_example_of_own_data_runs_as_printed_on_recordings_of_that_form(tmp_path, monkeypatch):
    """aeon itself is not installed here: a module of its name gives fewer recordings of the same form."""
    generator = np.random.default_rng(0)
    recordings = [generator.normal(number % 3, size=(12, 7 + number % 5)) for number in range(240)]
    speakers = np.array([str(number % 3) for number in range(240)])
    aeon = types.ModuleType("aeon.datasets")
    aeon.load_classification = {"JapaneseVowels": (recordings, speakers)}.get
    monkeypatch.setitem(sys.modules, "aeon", types.ModuleType("aeon"))
    monkeypatch.setitem(sys.modules, "aeon.datasets", aeon)
    monkeypatch.chdir(tmp_path)
    text = section("An example", page("own-data.md"))
    exec(blocks(text, "python")[0], {})  # noqa: S102 - the page's own code
    (tmp_path / "vowels.json").write_text(blocks(text, "json")[0])
    commands = [line.split()[3:] for line in blocks(text, "text")[0].splitlines() if "pipeline" in line]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["BROWSER_PATH"] = "/bin/false"  # drawing takes long, and is no part of this
    said = ""
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *command, "--train.epochs", "2"],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "position against none is" in said
    assert "sincos/seed-0: test accuracy" in said
    report = (tmp_path / "results/vowels/analysis_report.md").read_text()
    assert not re.search(r"\b(digit|pixel|image)s?\b", report)


def test_the_ablation_of_the_page_is_the_printed_example_and_varies_kan_mammote(tmp_path):
    [text] = blocks(page("ablation.md"), "json")
    (tmp_path / "own.json").write_text(text)
    study = load_ablation(tmp_path / "own.json")
    assert len(study.points) == 27
    assert study.config({}).model.embedding.name == "kan_mammote"


def test_every_key_of_an_ablation_is_in_its_table():
    assert all(f"`{name}`" in page("ablation.md") for name in (*AblationConfig.model_fields, "base", "rows"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_or_a_heading(page):
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in text.splitlines()
        if line[:1] == "#"
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (page.parent / target).exists(), target


def test_every_decision_is_in_the_index_and_says_what_it_costs():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for number, page in enumerate(sorted((ROOT / "docs/decisions").glob("*.md")), start=1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04}-")
        assert f"(decisions/{page.name})" in index
        assert all(f"**{part}" in text for part in ("Context", "Choice", "What it costs")), page.name
