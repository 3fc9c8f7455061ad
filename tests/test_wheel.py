"""The wheel holds all that it needs: installed elsewhere, it trains and analyses a study from any folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from pipeline.identity import ROOT

TINY = {
    "base": {
        "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 16, "data.test_size": 32,
        "model.embedding.dim": 4, "model.hidden_dim": 4, "train.epochs": 1,
    },
    "variants": {"sincos": {"model.embedding.name": "sincos"}, "none": {"model.embedding.name": "none"}},
    "seeds": [0],
}  # fmt: skip


def call(*command, cwd, **environment):
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_wheel_runs_a_study_from_another_folder(mlflow_store, tmp_path_factory):
    workplace, folder = mlflow_store.parent, tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    call(
        *pip,
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
        cwd=folder,
    )
    [wheel] = folder.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in ("analysis", "models", "pipeline")} <= names
    assert {f"pipeline/packed/{name}" for name in ("conda.yaml", "config/quick.json")} <= names
    assert "pipeline/data/mnist_sample.npz" in names
    assert not {name for name in names if name.split("/")[0] in ("tests", "scripts", "docs", "mlflow_server")}

    installed = folder / "installed"
    call(*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", str(installed), str(wheel), cwd=folder)
    for kernel in (ROOT / "models").rglob("*.nb?"):  # compiled kernels, which take half a minute
        (installed / kernel.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        shutil.copy(kernel, installed / kernel.relative_to(ROOT))
    for source in (ROOT / "models").rglob("*.py"):
        shutil.copystat(source, installed / source.relative_to(ROOT))
    (workplace / "tiny.json").write_text(json.dumps(TINY))

    def run(*arguments):
        return call(sys.executable, "-m", "pipeline", *arguments, cwd=workplace, PYTHONPATH=str(installed))

    code = "import pipeline; print(pipeline.__file__)"
    assert call(sys.executable, "-c", code, cwd=workplace, PYTHONPATH=str(installed)).startswith(str(installed))
    assert "config/quick.json" in run("ls", "presets")
    assert "2 to train" in run("compare", "--config", "tiny.json", "--workers", "2")
    assert "report and figures: results/tiny/analysis_report.html" in run("analyze")
    assert {path.name for path in workplace.iterdir()} >= {"results", "mlflow.db"}
    assert not [path for path in installed.rglob("*") if path.name in ("results", "mlflow.db", "checkpoints", "docs")]
    stored = {path.read_text() for path in workplace.rglob("conda.yaml")}
    assert stored
    assert all("torch==" in text for text in stored)  # the packaged models name the pins
    # A preset is found without its folder, and the command is there.
    shutil.rmtree(workplace / "results")
    script = installed / "bin/time-embeddings"
    said = call(sys.executable, str(script), "train", "--config", "config/quick.json", "--models", "sincos",
                "--data.name", "mnist_sample", "--validation_size", "100", "--train_size", "64", "--test_size", "50",
                "--train.epochs", "1", cwd=workplace, PYTHONPATH=str(installed))  # fmt: skip
    assert "sincos/seed-0: test accuracy" in said
