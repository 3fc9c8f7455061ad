"""The local stack: its files fit one another, and what they start serves the pipeline, here without containers."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import click
import psycopg
import pytest
import yaml
from mlflow import environment_variables
from mlflow.cli import server as mlflow_options

from pipeline.identity import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PASSWORD = "p@ss:/word"  # noqa: S105 - of a database that lives as long as a test
SMALL = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 64, "train.epochs": 1,
}  # fmt: skip


def environment(service, **settings):
    """Return the environment of a service as compose would fill it in, with these settings in .env."""
    given = {
        name: re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda part: settings.get(part[1], part[2] or ""), str(value))
        for name, value in COMPOSE[service]["environment"].items()
        if value is not None
    }
    kept = {name: os.environ[name] for name in ("PATH", "EVENT_DATA_DIR") if name in os.environ}
    return {**kept, **given, "PYTHONPATH": str(ROOT)}


def ask(port, path, body=None, host=None):
    request = urllib.request.Request(
        f"http://localhost:{port}{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json", **({"Host": host} if host else {})},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the test's own server
        return answer.read()


def health(env):
    script = ROOT / "mlflow_server" / "healthy.py"
    return subprocess.run([sys.executable, script], env=env, check=False, capture_output=True).returncode


@contextlib.contextmanager
def serving(env, log):
    """Run the server as its image does until it is healthy, and end it as compose would."""
    command = json.loads(
        re.findall(r"^CMD (.*)$", (ROOT / "mlflow_server" / "Dockerfile").read_text(), re.MULTILINE)[-1]
    )
    program = [sys.executable, "-m", *command]
    assert health(env) == 1
    with (
        log.open("w") as output,
        subprocess.Popen(program, env=env, stdout=output, stderr=output, cwd=log.parent) as server,
    ):
        try:
            deadline = time.monotonic() + 180
            while health(env):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(0.5)
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
            yield
        finally:
            server.terminate()
            server.wait(timeout=30)


def test_the_example_of_the_settings_names_those_of_the_compose_file():
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    handed_on = {
        name for service in COMPOSE.values() for name, value in service["environment"].items() if value is None
    }
    assert set(re.findall(r"^#?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)) == used | handed_on


def test_the_server_gets_settings_that_it_knows_and_answers_on_this_machine_alone():
    options = {option.envvar for option in mlflow_options.params if isinstance(option, click.Option)}
    for name in COMPOSE["mlflow"]["environment"]:
        assert name in options or hasattr(environment_variables, name) or not name.startswith("MLFLOW_"), name
    for service in COMPOSE.values():
        assert all(published.startswith("127.0.0.1:") for published in service.get("ports", []))


@pytest.mark.parametrize("file", ["Dockerfile", "mlflow_server/Dockerfile"])
def test_an_image_is_built_from_files_that_the_context_holds_and_this_python(file):
    text = (ROOT / file).read_text()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (\S+)", text, re.MULTILINE)
    assert copied
    assert set(copied) <= sent
    assert all((ROOT / path).is_file() for path in sent)
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim" in text


@pytest.mark.slow
def test_the_pipeline_works_against_the_stack(workplace, postgres):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with psycopg.connect(postgres, autocommit=True) as database:
        database.execute(f"CREATE ROLE tracking SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        database.execute("CREATE DATABASE mlflow OWNER tracking")
        database.execute((ROOT / "mlflow_server" / "optuna.sql").read_text())
        access = Path(database.execute("SHOW hba_file").fetchone()[0])
        access.write_text(f"host all tracking 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        database.execute("SELECT pg_reload_conf()")
    address = postgres.partition("@")[2].partition("/")[0]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://tracking@{address}/mlflow", password="another")  # noqa: S106
    settings = {"MLFLOW_PORT": port, "POSTGRES_PASSWORD": PASSWORD}
    artifacts = workplace / "artifacts"
    server, pipeline = (environment(service, **settings) for service in ("mlflow", "pipeline"))
    for given in (server, pipeline):
        given |= {name: value.replace("@postgres/", f"@{address}/") for name, value in given.items()}
    server["MLFLOW_ARTIFACTS_DESTINATION"] = str(artifacts)
    pipeline["BROWSER_PATH"] = "/bin/false"  # drawing takes long, and is no part of this

    def run(*arguments):
        command = [sys.executable, "-m", "pipeline", *arguments]
        done = subprocess.run(command, cwd=workplace, env=pipeline, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "http" not in done.stdout.replace(f"http://localhost:{port}", "")  # no addresses from MLflow itself

    study = {
        "base": SMALL,
        "variants": {name: {"model.embedding.name": name} for name in ("none", "lete")},
        "seeds": [0],
    }
    (workplace / "small.json").write_text(json.dumps(study))
    (workplace / "grid.json").write_text(
        json.dumps({**SMALL, "model.embedding.name": "none", "model.hidden_dim": [6, 7], "seeds": [0]})
    )
    with serving(server, workplace / "server.log"):
        run("main", "--config", "small.json", "--workers", "2")
        run("ablate", "--config", "grid.json", "--workers", "1")
        assert b"<title>MLflow</title>" in ask(port, "/")
        experiments = json.loads(ask(port, "/api/2.0/mlflow/experiments/search?max_results=10"))["experiments"]
        [experiment] = [each for each in experiments if each["name"] == "lstm-time-embeddings"]
        wanted = {"experiment_ids": [experiment["experiment_id"]], "max_results": 100}
        runs = json.loads(ask(port, "/api/2.0/mlflow/runs/search", wanted))["runs"]
        with pytest.raises(HTTPError, match="403"):
            ask(port, "/", host="elsewhere.example")
    assert {each["info"]["status"] for each in runs} == {"FINISHED"}
    names = [each["info"]["run_name"] for each in runs]
    assert {"small", "none s0", "lete s0", "grid", "t0 hidden_dim=6", "t1 hidden_dim=7"} < set(names)
    assert len(names) == 3 + 1 + 2 * 2
    assert {path.parents[1].name for path in artifacts.rglob("predictions.parquet")} <= {
        each["info"]["run_id"] for each in runs
    }
    assert len(list(artifacts.rglob("predictions.parquet"))) == 4
    report = (workplace / "results" / "small" / "analysis_report.md").read_text()
    [lete] = [each["info"]["run_id"] for each in runs if each["info"]["run_name"] == "lete s0"]
    assert f"http://localhost:{port}/#/experiments/{experiment['experiment_id']}/runs/{lete}" in report
    with psycopg.connect(postgres.rpartition("/")[0] + "/optuna") as database:
        assert database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone() == (2,)
    assert not list(workplace.glob("*.db"))
    assert not (workplace / "mlruns").exists()
