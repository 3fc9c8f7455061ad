"""The local stack: its files fit one another, and what they start serves the pipeline, here without containers."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import psycopg
import pytest
import yaml
from containers import ask
from mlflow import environment_variables
from mlflow.cli import server as mlflow_options

from pipeline.identity import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SECRETS = {
    "MLFLOW_DATABASE_PASSWORD": "p@ss:/word of MLFLOW",
    "OPTUNA_DATABASE_PASSWORD": "p@ss:/word of OPTUNA",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the test",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "p@ss: of the admin",
    "PIPELINE_PASSWORD": "p@ss: of the pipeline",
}
OURS = "MLFLOW_PUBLIC_URL"
"""The one setting that is called like MLflow's and is the project's."""
SMALL = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 64, "train.epochs": 1,
}  # fmt: skip


def filled(text, settings):
    """Put settings into the place of their names, the innermost first, as one may be the default of another."""
    while "${" in text:
        name = r"\$\{(\w+)(?::[-?]([^${}]*))?\}"
        text = re.sub(name, lambda part: settings.get(part[1], part[2] or ""), text)
    return text


def environment(service, **settings):
    """Return the environment of a service as compose would fill it in, with these settings in .env."""
    given = {name: filled(str(value), settings) for name, value in COMPOSE[service]["environment"].items() if value}
    kept = {name: os.environ[name] for name in ("PATH", "EVENT_DATA_DIR") if name in os.environ}
    return {**kept, **given, "PYTHONPATH": str(ROOT)}


def health(env):
    script = ROOT / "mlflow_server" / "healthy.py"
    return subprocess.run([sys.executable, script], env=env, check=False, capture_output=True).returncode


@contextlib.contextmanager
def serving(env, log):
    """Run the server as its image does until it is healthy, and end it as compose would."""
    command = json.loads(
        re.findall(r"^CMD (.*)$", (ROOT / "mlflow_server" / "Dockerfile").read_text(), re.MULTILINE)[-1]
    )
    assert command == ["python", "serve.py"]
    program = [sys.executable, ROOT / "mlflow_server/serve.py"]
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


def test_compose_reads_the_file_as_these_tests_do(tmp_path):
    found = shutil.which("docker")
    if not found or subprocess.run([found, "compose", "version"], check=False, capture_output=True).returncode:
        pytest.skip("no Docker with Compose: `make test-stack` gets one, or says how")
    settings = {**SECRETS, "POSTGRES_PASSWORD": "p@ss: of the superuser", "MLFLOW_PORT": "5055"}
    command = ["docker", "compose", f"--file={ROOT}/docker-compose.yml", "--env-file=/dev/null", "--profile=*"]
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "DOCKER_CONFIG"}}
    said = subprocess.run(
        [*command, "config", "--format=json"], cwd=tmp_path, env={**kept, **settings}, check=True, capture_output=True
    )
    for service, about in json.loads(said.stdout)["services"].items():
        given = {name: value for name, value in about["environment"].items() if value is not None}
        assert given.items() <= environment(service, **settings).items()


def test_the_example_of_the_settings_names_those_of_the_compose_file():
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    handed_on = {
        name for service in COMPOSE.values() for name, value in service["environment"].items() if value is None
    }
    assert set(re.findall(r"^#?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)) == used | handed_on


def test_the_server_gets_settings_that_it_knows_and_answers_on_this_machine_alone():
    options = {option.envvar for option in mlflow_options.params if isinstance(option, click.Option)}
    for name in COMPOSE["mlflow"]["environment"]:
        assert (
            name in options or hasattr(environment_variables, name) or not name.startswith("MLFLOW_") or name == OURS
        ), name
    for service in COMPOSE.values():
        assert all(filled(published, {}).startswith("127.0.0.1:") for published in service.get("ports", []))


def test_no_service_gets_more_than_it_needs():
    for name, service in COMPOSE.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}
        assert "network_mode" not in service  # whose network would be gone when that service restarts
    training = ("pipeline", "ray-head", "ray-worker")
    assert all(
        service["mem_limit"] and service["pids_limit"] for name, service in COMPOSE.items() if name not in training
    )
    assert not [name for name in training if COMPOSE[name].get("ports")]  # Ray has no login
    of_pipeline = str([COMPOSE[name] for name in training])
    assert not [name for name in SECRETS if name in of_pipeline and not name.startswith(("PIPELINE", "OPTUNA"))]
    # The folder is mounted; what lies in it of the server's is not to be seen.
    assert "/dev/null:/project/.env:ro" in COMPOSE["pipeline"]["volumes"]
    assert "/project/backups" in COMPOSE["pipeline"]["tmpfs"]


@pytest.mark.parametrize(
    ("launcher", "more"),
    [("", set()), ("ray", {"ray", "jsonschema", "jsonschema-specifications", "msgpack", "referencing", "rpds-py"})],
)
def test_the_image_of_the_pipeline_has_the_locked_packages_without_development_tools(launcher, more):
    [program] = re.findall(r"^RUN (awk .*) > base.requirements.lock", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    given = {**os.environ, "LAUNCHER": launcher}
    lock = subprocess.run(["sh", "-c", program], cwd=ROOT, env=given, capture_output=True, text=True, check=True).stdout
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"][-1]["pip"]
    pins = re.findall(r"^([\w.-]+==\S+)", lock, re.MULTILINE)
    base = {pin for pin in conda if not pin.startswith("torch==")}
    assert base <= set(pins)
    assert {pin.partition("==")[0] for pin in set(pins) - base} == more
    assert len(pins) == len(base) + len(more)
    assert lock.count("==") == len(re.findall(r"==\S+ \\\n    --hash=sha256:", lock))


@pytest.mark.parametrize("file", ["Dockerfile", "mlflow_server/Dockerfile", "mlflow_server/dashboard/Dockerfile"])
def test_an_image_is_built_from_files_that_the_context_holds_and_this_python(file):
    text = (ROOT / file).read_text()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for word in line.split()}
    assert copied
    assert copied <= sent
    assert all((ROOT / path).is_file() for path in sent)
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim" in text


def check_login(port, account):
    """Check what the server answers to whom."""
    search, create = "/api/2.0/mlflow/experiments/search?max_results=1", "/api/2.0/mlflow/experiments/create"
    assert ask(port, "/health")[0] == 200
    for path in ("/", search):
        assert ask(port, path)[0] == 401
        assert ask(port, path, account=(account[0], "a wrong password"))[0] == 401
        assert ask(port, path, account=account)[0] == 200
        assert ask(port, path, account=account, Host="localhost")[0] == 200
        assert ask(port, path, account=account, Host="elsewhere.example")[0] == 403
    assert "<title>MLflow</title>" in ask(port, "/", account=account)[1]
    for origin in ("http://elsewhere.example", "http://localhost:9999", "null"):
        assert ask(port, create, {"name": "a"}, account=account, Origin=origin)[0] == 403
    assert ask(port, create, {"name": "of a page"}, account=account, Origin=f"http://127.0.0.1:{port}")[0] == 200
    for spelling in ("artifact_location", "artifactLocation"):
        status, said = ask(port, create, {"name": "a", spelling: "file:///etc"}, account=account)
        assert (status, said[:18]) == (400, "artifact_location:")
    another = {"username": "mallory", "password": "long enough for it"}
    assert ask(port, "/api/2.0/mlflow/users/create", another, account=account)[0] == 403


def check_stranger(env, folder):
    """Check what the pipeline says without a password."""
    command = [sys.executable, "-m", "pipeline", "ls", "studies"]
    env = {name: value for name, value in env.items() if name != "MLFLOW_TRACKING_PASSWORD"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD: must be those")


@pytest.mark.slow
def test_the_pipeline_works_against_the_stack(workplace, postgres, databases):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with psycopg.connect(postgres, autocommit=True) as database:
        access = Path(database.execute("SHOW hba_file").fetchone()[0])
        access.write_text(f"host all mlflow,optuna 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        database.execute("SELECT pg_reload_conf()")
    artifacts = workplace / "artifacts"
    server, pipeline = (environment(service, MLFLOW_PORT=port, **SECRETS) for service in ("mlflow", "pipeline"))
    for given in (server, pipeline):
        given |= {name: value.replace("@postgres/", f"@{databases}/") for name, value in given.items()}
    server |= {"MLFLOW_ARTIFACTS_DESTINATION": str(artifacts), "MLFLOW_PORT": port}
    pipeline["MLFLOW_TRACKING_URI"] = pipeline["MLFLOW_TRACKING_URI"].replace("mlflow:5000", f"127.0.0.1:{port}")
    pipeline["BROWSER_PATH"] = "/bin/false"  # drawing takes long, and is no part of this
    account = "pipeline", SECRETS["PIPELINE_PASSWORD"]

    def run(*arguments):
        command = [sys.executable, "-m", "pipeline", *arguments]
        done = subprocess.run(command, cwd=workplace, env=pipeline, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        # The address for people, and none of MLflow itself.
        assert "http" not in done.stdout.replace(f"http://localhost:{port}", "")
        return done.stdout

    (workplace / "grid.json").write_text(
        json.dumps({**SMALL, "model.embedding.name": "none", "model.hidden_dim": [6, 7], "seeds": [0]})
    )
    with serving(server, workplace / "server.log"):
        said = run("ablate", "--config", "grid.json", "--workers", "1")
        check_login(port, account)
        check_stranger(pipeline, workplace)
        command = [sys.executable, ROOT / "mlflow_server/serve.py", "account", "alice"]
        password = subprocess.run(command, env=server, capture_output=True, text=True, check=True).stdout.split()[-1]
        alice = "alice", password
        assert ask(port, "/", account=alice)[0] == 200
        search = "/api/2.0/mlflow/experiments/search?max_results=10"
        experiments = json.loads(ask(port, search, account=alice)[1])["experiments"]
        [experiment] = [each for each in experiments if each["name"] == "lstm-time-embeddings"]
        wanted = {"experiment_ids": [experiment["experiment_id"]], "max_results": 100}
        runs = json.loads(ask(port, "/api/2.0/mlflow/runs/search", wanted, account=account)[1])["runs"]
    assert {each["info"]["status"] for each in runs} == {"FINISHED"}
    assert {"grid", "t0 hidden_dim=6", "t1 hidden_dim=7"} < {each["info"]["run_name"] for each in runs}
    assert len(runs) == 1 + 2 * 2
    stored = [path.parents[1].name for path in artifacts.rglob("predictions.parquet")]
    assert len(set(stored)) == len(stored) == 2
    assert set(stored) < {each["info"]["run_id"] for each in runs}
    assert f"http://localhost:{port}/#/experiments/{experiment['experiment_id']}/runs/" in said
    with psycopg.connect(postgres.rpartition("/")[0] + "/optuna") as database:
        assert database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone() == (2,)
    assert not list(workplace.glob("*.db"))
    assert not (workplace / "mlruns").exists()
