"""`compare` from Python: tables, a report that shows itself, errors in one line, and workers without a guard."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import pipeline
from pipeline import analyze
from pipeline.api import comparison
from pipeline.errors import RunError, UsageError
from pipeline.identity import ROOT
from pipeline.tracking import SEALED

DOCS = (ROOT / "docs/python.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "notebooks/quickstart.ipynb"
SMALL = {"train_size": 32, "validation_size": 16, "test_size": 32, "dim": 4, "hidden_dim": 4, "epochs": 1, "workers": 1}


class Waves(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.frequencies = nn.Parameter(torch.logspace(0, -3, dim))

    def forward(self, times):
        return torch.sin(times[:, None] * self.frequencies)


class Diverges(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, times):
        return torch.full((len(times), self.dim), torch.inf)


class TooNarrow(nn.Module):
    def __init__(self, dim):  # noqa: ARG002 - the case
        super().__init__()

    def forward(self, times):
        return times[:, None]


@pytest.fixture
def compare(memory, monkeypatch):
    """`compare` over a store in memory, without drawings."""
    monkeypatch.setattr(comparison, "open_store", lambda: (memory, None))
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    return lambda models, **more: pipeline.compare(models, "synthetic", **{**SMALL, "seeds": [0, 1, 2], **more})


def test_a_study_has_tables_and_a_report_that_shows_itself(compare, memory, workplace):
    threads = torch.get_num_threads()
    study = compare({"mine": Waves, "none": "none"}, name="first", plan={"margin": 0.01})
    assert isinstance(study, pipeline.Study)
    assert study.verdicts[["model_a", "model_b"]].to_numpy().tolist() == [
        ["none", "mine"]
    ]  # the first is the reference
    assert list(study.models["model"]) == ["mine", "none"]
    assert len(study.runs) == 6
    assert set(study.curves["epoch"]) == {1}
    assert len(study.predictions) == 6 * 32
    assert study.folder == Path("results") / f"first-{study.id}"
    assert (workplace / study.folder / "significance.csv").is_file()
    page = study._repr_html_()
    assert "mine" in page
    assert "<table>" in page
    assert f'href="{study.folder}/analysis_report.html"' in page
    assert str(study.report()).startswith(f"first (study {study.id})")
    assert torch.get_num_threads() == threads
    run = memory.get(study.runs["run_id"][0])
    assert "class Waves" in memory.fetch(run.id, "embedding.py").read_text()
    assert "model.embedding.source" not in memory.params[run.id]
    assert any(name.startswith(f"{SEALED}probes/") for name in run.tags)
    again = compare({"mine": Waves, "none": "none"}, name="first", plan={"margin": 0.01})
    assert list(again.runs["run_id"]) == list(study.runs["run_id"])  # nothing is trained twice


def test_another_study_of_that_name_gets_another_folder(compare):
    assert compare(["none"], seeds=[0]).folder != compare(["scalar"], seeds=[0]).folder


def test_what_cannot_be_is_an_exception_of_one_line(compare, memory):
    with pytest.raises(
        UsageError, match=r"models.mine: must encode times \(U\) as finite codes \(U, 4\), got \(\d+, 1\) for"
    ):
        compare({"mine": TooNarrow})
    with pytest.raises(UsageError, match="--device: must be auto, cpu, cuda or cuda:N, got tpu"):
        compare(["none"], device="tpu")
    with pytest.raises(UsageError, match="workers: must be a whole number from 1"):
        compare(["none"], workers=0)
    with pytest.raises(UsageError, match=r"as finite codes .*, got others"):
        compare({"mine": Diverges})
    assert memory.find(kind="study") == []


def test_a_run_that_fails_is_an_exception_and_the_others_can_be_analysed(compare):
    wild = {"embedding": "sincos", "learning_rate": 1e38, "optimizer": "sgd", "clip_norm": 0.0, "batch_size": 16}
    with pytest.raises(RunError, match="wild/seed-0: FloatingPointError"):
        compare({"calm": "sincos", "wild": wild}, train_size=96)
    study = compare({"calm": "sincos", "wild": wild}, train_size=96, allow_missing=True)
    assert list(study.models["model"]) == ["calm"]


def test_importing_the_package_costs_nothing():
    code = "import pipeline.launch, pipeline, sys; print([name for name in ('torch', 'pandas', 'mlflow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'compar'"):
        pipeline.compar  # noqa: B018


LOAD = """
import mlflow, pandas
mlflow.set_tracking_uri("sqlite:///mlflow.db")
[run_id] = mlflow.search_runs(search_all_experiments=True, filter_string="tags.model = 'waves' and tags.seed = '0'")["run_id"]
model = mlflow.pyfunc.load_model(f"runs:/{run_id}/waves")
print(model.predict(pandas.DataFrame({"times": [[1.0, 2.0, 9.0], [45.0, 60.0]]}))["class"].tolist())
"""


def call(*command, cwd, **environment):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PYTHON"))
    } | environment
    environment |= {"EVENT_DATA_DIR": str(cwd / "data")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_script_of_the_docs_runs_as_printed_with_workers_and_without_a_guard(workplace):
    [script] = [block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "class Waves" in block]
    assert len([line for line in script.splitlines() if line.strip() and not line.startswith("#")]) <= 15
    assert "__main__" not in script
    (workplace / "own.py").write_text(script.replace("epochs=", "workers=2, epochs="))
    done = call(sys.executable, "own.py", cwd=workplace, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert "with 2 worker(s)" in done.stdout
    assert re.search(r"none\s+waves\s+-0\.\d+\s+worse", done.stdout), done.stdout
    assert "none is worse than waves" in done.stdout
    # The stored model brings its class along, also to a process that has neither the script nor this project.
    loaded = call(sys.executable, "-c", LOAD, cwd=workplace)
    assert loaded.stdout.strip().endswith("['0', '2']"), loaded.stdout + loaded.stderr


@pytest.mark.slow
def test_the_notebook_runs_from_its_first_cell_to_its_last(workplace):
    import nbclient  # noqa: PLC0415 - it and the kernel are for this test alone
    import nbformat  # noqa: PLC0415

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # it is stored without
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(workplace)}})
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT))
        client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pages = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert "training" in pages  # the progress
    assert "analysis_report.html" in pages
    assert re.search(r"<strong>[^<]* is (better|worse) than", pages)
    # A kernel without ipywidgets has a word of tqdm, and a browser that does not start one of its library.
    errors = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert "Traceback" not in "".join(errors)
    assert json.dumps(notebook).count("127.0.0.1:5000/#/experiments") >= 1
