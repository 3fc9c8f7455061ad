"""The stack in containers: what a team meets in its first week. Tests follow one another, as the days of that week do."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from base64 import b64encode

import pytest
from containers import SECRETS, free_port, wait_for

from pipeline.identity import ROOT

pytestmark = pytest.mark.containers

SMALL = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 64, "train.epochs": 1,
}  # fmt: skip
LONG_EPOCHS = 800


def study(stack, name, **changes):
    """Write the file of a study of two embeddings into the checkout, and return its name."""
    variants = {name: {"model.embedding.name": name} for name in ("none", "lete")}
    file = stack.folder / f"{name}.json"
    file.write_text(json.dumps({"base": {**SMALL, **changes}, "variants": variants, "seeds": [0]}))
    return file.name


def grid(stack, name, **changes):
    """Write the file of an ablation study into the checkout."""
    file = stack.folder / f"{name}.json"
    file.write_text(json.dumps({**SMALL, "model.embedding.name": "none", "seeds": [0], **changes}))


def states_of_trials(stack, name):
    """Return the state of each trial of an ablation study."""
    asked = "SELECT state FROM trials JOIN studies USING (study_id)"
    return stack.sql("optuna", f"{asked} WHERE study_name = '{name}'")


def trained(stack):
    """Return how many runs have been trained."""
    [(count,)] = stack.sql("mlflow", "SELECT count(DISTINCT run_uuid) FROM metrics WHERE key = 'train/loss'")
    return int(count)


def test_images_are_small_and_hold_what_the_stack_runs_alone(stack):
    # On a base that stands in, which holds this machine's wheels, as on the official one, which is 200 MB smaller.
    assert stack.built("mlflow") < 800
    assert stack.built("pipeline") < 2500
    for service in ("pipeline", "mlflow"):
        held = stack.compose("run", "--rm", "-T", "--no-deps", "--entrypoint=python", service, "-m", "pip", "list")
        assert not re.search(r"^(pytest|ruff|mypy|hypothesis) ", held, re.MULTILINE)
        stack.compose("run", "--rm", "-T", "--no-deps", "--entrypoint=sh", service, "-c", "! command -v gcc")


def test_secrets_are_for_their_owner_alone(stack):
    assert stat.S_IMODE((stack.folder / ".env").stat().st_mode) == 0o600
    seen = stack.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint=sh", "pipeline", "-c", "cat .env; ls backups; env"
    )
    own = stack.settings()
    for name in ("PIPELINE_PASSWORD", "OPTUNA_DATABASE_PASSWORD"):
        assert own.pop(name) in seen
    assert not [name for name, value in own.items() if len(value) == 48 and value in seen]


def test_a_study_and_an_ablation_run(stack):
    file = study(stack, "small")
    grid(stack, "grid", **{"model.hidden_dim": [6, 7]})
    start = time.monotonic()
    stack.pipeline("compare", "--config", file)
    stack.say(f"compare, 2 runs: {time.monotonic() - start:.0f} s")
    start = time.monotonic()
    stack.pipeline("analyze")
    stack.say(f"analyze, with figures: {time.monotonic() - start:.0f} s")
    assert list((stack.folder / "results/small").rglob("*.png"))
    # Links hold the address for people, not that of containers.
    report = stack.read("results/small/analysis_report.md")
    assert f"http://localhost:{stack.settings()['MLFLOW_PORT']}/#/experiments/" in report
    assert "mlflow:5000" not in report
    start = time.monotonic()
    stack.pipeline("ablate", "--config", "grid.json")
    stack.say(f"ablate, 2 trials: {time.monotonic() - start:.0f} s")
    assert states_of_trials(stack, "grid") == [("COMPLETE",)] * 2
    assert not list(stack.folder.glob("*.db"))


def test_the_pipeline_runs_as_the_runbook_says(stack):
    """What is trained already is found again, by the container and by this machine's own pipeline."""
    small = ("config/quick.json", "small.json")
    before = trained(stack)
    stack.book("docker compose run --rm --build pipeline main --config config/quick.json", small)
    user, password = stack.account("pipeline")
    line = next(line for line in stack.book_lines if line.startswith("MLFLOW_TRACKING_URI="))
    known = {
        "localhost:5000": f"localhost:{stack.settings()['MLFLOW_PORT']}",
        "alice": user,
        "PASSWORD=...": f"PASSWORD={password}",
    }
    stack.book(line, small, *known.items(), ("python ", f"{sys.executable} "))
    stack.give_back()
    assert trained(stack) == before


def test_the_server_runs_without_containers(stack):
    (stack.folder / ".venv").symlink_to(ROOT / ".venv")
    used, artifacts = f"sqlite:///{stack.folder}/another.db", f"{stack.folder}/artifacts"
    replaced = ("postgresql://mlflow@localhost/mlflow", used), ("/srv/artifacts", artifacts)
    for line in sorted(line for line in stack.book_lines if line.startswith("make serve")):
        port = free_port()
        command = stack.words(line, *replaced, ("make ", f"exec make --old-file=setup MLFLOW_PORT={port} "))
        with subprocess.Popen(
            ["sh", "-c", command], cwd=stack.folder, env=stack.environment, start_new_session=True
        ) as server:
            try:
                wait_for(lambda: stack.ask("/", port=port)[0] == 401 or server.poll() is not None)  # noqa: B023
                assert stack.ask("/", account=stack.account("admin"), port=port)[0] == 200
            finally:
                os.killpg(server.pid, signal.SIGTERM)
    assert (stack.folder / "served/mlflow.db").exists()
    assert (stack.folder / "another.db").exists()
    (stack.folder / ".venv").unlink()


# Reads the routes of the server that runs, with the login that it has.
ROUTES = """
import json, os
from pathlib import Path
os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(next(Path("/tmp").glob("login-*/login.ini")))
from mlflow.server import app
from mlflow.server.auth import create_app
from mlflow.server.fastapi_app import create_fastapi_app
create_app(app)
found = {("/" + rule.rule.lstrip("/"), method) for rule in app.url_map.iter_rules() for method in rule.methods}
for route in create_fastapi_app(app).routes:
    found |= {(route.path, method) for method in getattr(route, "methods", None) or ()}
print(json.dumps(sorted(each for each in found if each[1] not in ("HEAD", "OPTIONS"))))
"""
OPEN = {"/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info", "/static-files/1"}


def test_every_endpoint_asks_for_an_account(stack):
    said = stack.compose("exec", "-T", "mlflow", "python", "-c", ROUTES)
    routes = [(re.sub(r"[<{].*?[>}]", "1", path), method) for path, method in json.loads(said.splitlines()[-1])]
    answers = {(path, method): stack.ask(path, method=method)[0] for path, method in routes}
    stack.say(f"endpoints without an account: {len(answers)}, of them refused: {list(answers.values()).count(401)}")
    assert len(answers) > 200
    assert {path for (path, _), status in answers.items() if status != 401} == OPEN


def test_the_login_and_the_names_of_the_server(stack):
    pipeline, admin = stack.account("pipeline"), stack.account("admin")
    search, create = "/api/2.0/mlflow/experiments/search?max_results=1", "/api/2.0/mlflow/experiments/create"
    users = "/api/2.0/mlflow/users/create"
    another = {"username": "mallory", "password": "long enough for it"}
    for path in ("/", search):
        assert stack.ask(path, account=("admin", "password1234"))[0] == 401
        assert stack.ask(path, account=pipeline)[0] == 200
        for host in ("localhost", "mlflow:5000"):  # the first is what a browser says where the port is 80
            assert stack.ask(path, account=pipeline, Host=host)[0] == 200
        assert stack.ask(path, account=pipeline, Host="elsewhere.example")[0] == 403
    assert stack.ask(create, {"name": "a"}, account=pipeline, Origin="http://localhost:9999")[0] == 403
    for spelling in ("artifact_location", "artifactLocation"):
        assert stack.ask(create, {"name": "a", spelling: "file:///tmp"}, account=pipeline)[0] == 400
    assert stack.ask(users, another, account=pipeline)[0] == 403
    alice = "alice", stack.book("make account NAME=alice").split()[-1]
    assert stack.ask("/", account=alice)[0] == 200
    assert stack.ask(users, another, account=alice)[0] == 403
    alice = "alice", stack.book("make account NAME=alice ADMIN=1").split()[-1]
    assert stack.ask(users, another, account=alice)[0] == 200
    assert stack.ask(users, another, account=admin)[0] == 400  # it exists
    stack.book("make account NAME=alice REMOVE=1")
    wait_for(lambda: stack.ask("/", account=alice)[0] == 401, seconds=90)


def test_roles_reach_their_own_database_and_nothing_of_the_machine(stack):
    assert stack.sql("postgres", "SELECT rolname FROM pg_roles WHERE rolsuper") == [("postgres",)]
    attack = """
import os, psycopg
for database in ("mlflow", "postgres"):
    try:
        psycopg.connect(f"postgresql://optuna@postgres/{database}")
    except psycopg.OperationalError as error:
        print(error)
with psycopg.connect("postgresql://optuna@postgres/optuna", autocommit=True) as own:
    for statement in ("COPY trials FROM PROGRAM 'id'", "SELECT pg_read_file('/etc/passwd')"):
        try:
            own.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            print(str(error).splitlines()[0])
"""
    said = stack.compose("run", "--rm", "-T", "--no-deps", "--entrypoint=python", "pipeline", "-c", attack)
    assert said.count("permission denied") == 4, said


def check_closed(stack, service, port=None):
    """Check the limits of a service, and that this machine alone reaches its port."""
    about = stack.container(service)
    host = about["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"]
    assert host["PidsLimit"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert "Read-only file system" in stack.run("docker", "exec", "--user=0", about["Id"], "touch", "/here", code=1)
    published = [each for ports in about["NetworkSettings"]["Ports"].values() for each in ports or ()]
    assert published == ([{"HostIp": "127.0.0.1", "HostPort": stack.settings()[port]}] if port else [])


def test_containers_are_closed(stack):
    check_closed(stack, "postgres")
    check_closed(stack, "mlflow", "MLFLOW_PORT")
    used = "docker", "stats", "--no-stream", "--format={{.Name}}: {{.MemUsage}}, {{.PIDs}} processes"
    stack.say("idle: " + "; ".join(stack.run(*used).splitlines()))


def last_step(stack):
    """Return the newest epoch that the long study has recorded; none while PostgreSQL does not answer."""
    query = """SELECT min(last) FROM (SELECT max(step) AS last FROM metrics JOIN runs USING (run_uuid)
        JOIN params ON params.run_uuid = runs.run_uuid AND params.key = 'train.epochs' AND params.value = '{}'
        WHERE status = 'RUNNING' AND metrics.key = 'train/loss' GROUP BY runs.run_uuid) AS steps"""
    with contextlib.suppress(ValueError, IndexError):
        [(step,)] = stack.sql("mlflow", query.format(LONG_EPOCHS))
        return int(step)
    return None


def kill_child(stack):
    """Kill the process that answers, the newest of the server's container, as whoever runs in it can; the container ends with it."""
    processes = "for each in /proc/[0-9]*; do tr '\\0' ' ' <$each/cmdline | grep -q [u]vicorn && echo ${each#/proc/}; done; true"
    found = stack.compose("exec", "-T", "mlflow", "sh", "-c", processes).split()
    stack.compose("exec", "-T", "mlflow", "sh", "-c", f"kill -9 {found[-1]}")


def began(stack):
    """Return when the containers of the server and of PostgreSQL have started."""
    return [stack.container(service)["State"]["StartedAt"] for service in ("mlflow", "postgres")]


FAULTS = {
    "restart of the server": lambda stack: stack.compose("restart", "mlflow"),
    "restart of PostgreSQL": lambda stack: stack.compose("restart", "postgres"),
    "restart of both": lambda stack: stack.compose("restart", "postgres", "mlflow"),
    "kill -9 of the server's child": kill_child,
    "kill -9 of the server": lambda stack: stack.kill(stack.container("mlflow")["State"]["Pid"]),
    "kill -9 of PostgreSQL": lambda stack: stack.kill(stack.container("postgres")["State"]["Pid"]),
}


def test_studies_outlive_what_befalls_the_server(stack):
    file = study(stack, "long", **{"train.epochs": LONG_EPOCHS})
    grid(stack, "trials", **{"train.epochs": LONG_EPOCHS // 4, "model.hidden_dim": [7, 9]})
    with (
        stack.background("pipeline", "compare", "--config", file, "--workers", "2") as trains,
        stack.background("pipeline", "ablate", "--config", "trials.json", "--workers", "1") as varies,
    ):
        for name, fault in FAULTS.items():
            before = wait_for(lambda: trains() and last_step(stack))
            start, since = time.monotonic(), began(stack)
            fault(stack)
            # What the engine says of its health is older than a fault of this moment.
            wait_for(lambda: began(stack) != since and stack.healthy())  # noqa: B023
            back, reached = time.monotonic() - start, last_step(stack) or 0
            wait_for(lambda: not trains() or (last_step(stack) or 0) > reached)  # noqa: B023
            stack.say(
                f"{name} at epoch {before}: healthy after {back:.0f} s, recorded after {time.monotonic() - start:.0f} s"
            )
        wait_for(lambda: not trains() and not varies(), seconds=600)
    twice = "SELECT run_uuid, key, step FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1"
    assert stack.sql("mlflow", twice) == []
    runs = """SELECT runs.status, count(*) FROM runs
        JOIN params ON params.run_uuid = runs.run_uuid AND params.key = 'train.epochs' AND params.value = '{}'
        JOIN metrics ON metrics.run_uuid = runs.run_uuid AND metrics.key = 'train/loss' GROUP BY runs.run_uuid, runs.status"""
    for epochs in (LONG_EPOCHS, LONG_EPOCHS // 4):
        assert stack.sql("mlflow", runs.format(epochs)) == [("FINISHED", str(epochs))] * 2
    assert states_of_trials(stack, "trials") == [("COMPLETE",)] * 2


def test_a_study_that_starts_while_the_server_is_away_waits_for_it(stack):
    file = study(stack, "early", **{"train.learning_rate": 0.0025})
    stack.compose("stop", "mlflow")
    with stack.background("--no-deps", "pipeline", "compare", "--config", file) as trains:
        wait_for(lambda: trains() and "does not answer yet" in trains.said())
        stack.compose("start", "mlflow")
        wait_for(lambda: not trains(), seconds=300)
    runs = """SELECT runs.status FROM runs
        JOIN params ON params.run_uuid = runs.run_uuid AND params.key = 'train.learning_rate' AND params.value = '0.0025'
        JOIN metrics ON metrics.run_uuid = runs.run_uuid AND metrics.key = 'train/loss' GROUP BY runs.run_uuid, runs.status"""
    assert stack.sql("mlflow", runs) == [("FINISHED",)] * 2


def test_the_dashboard_shows_the_trials(stack):
    stack.book("docker compose --profile dashboard up --detach --build --wait")
    assert stack.built("dashboard") < 500
    status, said = stack.ask("/api/studies", port=stack.settings()["DASHBOARD_PORT"])
    assert status == 200
    assert len(json.loads(said)["study_summaries"]) == 2
    check_closed(stack, "dashboard", "DASHBOARD_PORT")


def test_the_champion_answers(stack):
    stack.pipeline("promote", "small", "--reason", "the first of this test")
    stack.book("docker compose --profile serving up --detach --build --wait")
    check_closed(stack, "serving", "SERVING_PORT")
    stack.book("docker compose restart serving")
    wait_for(lambda: stack.container("serving")["State"]["Health"]["Status"] == "healthy")
    request = {"dataframe_records": [{"times": [152, 153, 180.5]}, {"times": []}]}
    status, said = stack.ask("/invocations", request, port=stack.settings()["SERVING_PORT"])
    assert status == 200, said
    assert [set(answer) >= {"predicted", "class", "probabilities"} for answer in json.loads(said)["predictions"]] == [
        True
    ] * 2
    stack.compose("--profile", "serving", "--profile", "dashboard", "rm", "--stop", "--force", "serving", "dashboard")


def contents(stack):
    """Return what the stack holds: a hash of the rows of each table, and of each artifact."""
    held = {}
    for name in ("mlflow", "optuna"):
        options = "--username=postgres", "--data-only", "--inserts"
        dump = stack.compose("exec", "-T", "postgres", "pg_dump", *options, name)
        for table in sorted(set(re.findall(r"^INSERT INTO (\S+)", dump, re.MULTILINE))):
            rows = sorted(line for line in dump.splitlines() if line.startswith(f"INSERT INTO {table} "))
            held[f"{name} {table}"] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    files = stack.compose("exec", "-T", "mlflow", "sh", "-c", "cd /artifacts && find . -type f -exec sha256sum {} +")
    return held | {path: value for value, path in (line.split("  ", 1) for line in files.splitlines())}


def changed(before, after):
    """Return the names of what differs between two contents."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_databases_and_artifacts_come_back(stack):
    kept = contents(stack)
    size = stack.sql("mlflow", "SELECT pg_database_size('mlflow'), pg_database_size('optuna'), count(*) FROM runs")
    stack.say(f"bytes of the databases mlflow and optuna, and runs: {size}")
    size = stack.sql("mlflow", "SELECT count(*), pg_total_relation_size('metrics') FROM metrics")
    stack.say(f"values of metrics, and bytes of their table: {size}")
    used = stack.compose("exec", "-T", "mlflow", "sh", "-c", "du -sl /artifacts /artifacts/*/*").splitlines()
    stack.say(f"KiB of all artifacts, and of those of each run and model: {[int(line.split()[0]) for line in used]}")
    file = stack.book("make backup").split()[-1]
    assert stat.S_IMODE((stack.folder / file).stat().st_mode) == 0o600
    stack.say(f"backup: {(stack.folder / file).stat().st_size} bytes")
    subprocess.run(["git", "check-ignore", "--quiet", file], cwd=ROOT, check=True)
    # Over a stack that runs and has gone on.
    stack.sql("mlflow", "DELETE FROM metrics")
    stack.book("make restore FILE=backups/20261126T120000Z.tar", ("backups/20261126T120000Z.tar", file))
    assert changed(kept, contents(stack)) == set()
    # On another machine: no volumes, other secrets.
    port, old = stack.settings()["MLFLOW_PORT"], stack.account("pipeline")
    stack.compose("down", "--volumes")
    (stack.folder / ".env").unlink()
    stack.book("make secrets")
    stack.set("MLFLOW_PORT", port)
    stack.book("make restore FILE=backups/20261126T120000Z.tar", ("backups/20261126T120000Z.tar", file))
    restored = contents(stack)
    assert changed(kept, restored) == {"mlflow public.users"}  # the server's own accounts have new passwords
    assert stack.ask("/", account=old)[0] == 401
    # One run is found again, one is trained and stores its artifacts.
    before = trained(stack)
    variants = {"none": {}, "lete": {"model.embedding.name": "lete", "train.learning_rate": 0.002}}
    after = {"base": {**SMALL, "model.embedding.name": "none"}, "variants": variants, "seeds": [0]}
    (stack.folder / "after.json").write_text(json.dumps(after))
    stack.pipeline("compare", "--config", "after.json")
    assert trained(stack) == before + 1


OLD_SCHEMA = """
import os
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
config = _get_alembic_config(uri)
engine = sa.create_engine(uri)
Base.metadata.create_all(engine)
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, ScriptDirectory.from_config(config).get_revision("head").down_revision)
    connection.execute(sa.text("INSERT INTO experiments (name, lifecycle_stage) VALUES ('of old', 'active')"))
"""


def test_an_older_schema_stops_the_server_until_somebody_upgrades(stack):
    file = stack.book("make backup").split()[-1]
    kept = contents(stack)
    stack.compose("stop", "mlflow")
    stack.sql("mlflow", "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION mlflow")
    stack.compose("run", "--rm", "--no-deps", "-T", "mlflow", "python", "-", stdin=OLD_SCHEMA)
    before = stack.sql("mlflow", "SELECT version_num FROM alembic_version")
    stack.compose("up", "--detach", "mlflow")
    wait_for(lambda: "`make upgrade` backs up and migrates" in stack.compose("logs", "mlflow"))
    assert stack.sql("mlflow", "SELECT version_num FROM alembic_version") == before
    backups = set((stack.folder / "backups").iterdir())
    stack.book("make upgrade")
    assert len(set((stack.folder / "backups").iterdir()) - backups) == 1
    assert stack.sql("mlflow", "SELECT version_num FROM alembic_version") != before
    assert ("of old",) in stack.sql("mlflow", "SELECT name FROM experiments")
    assert stack.ask("/", account=stack.account("admin"))[0] == 200
    stack.run("make", "restore", f"FILE={file}")
    assert changed(kept, contents(stack)) == set()


def test_secrets_can_be_changed_all_at_once(stack):
    before = stack.settings()
    old = stack.account("pipeline")
    stack.book("make rotate")
    after = stack.settings()
    assert not {before[name] for name in SECRETS} & {after[name] for name in SECRETS}
    assert stack.ask("/", account=old)[0] == 401
    assert stack.ask("/", account=stack.account("pipeline"))[0] == 200
    assert "grid" in stack.pipeline("ls", "studies")  # which connects to both databases
    # A password in .env alone does not count, and the server says so.
    stack.set("MLFLOW_DATABASE_PASSWORD", "another")
    stack.compose("up", "--detach", "mlflow")
    wait_for(lambda: "must be a database that answers" in stack.compose("logs", "mlflow"))
    assert "Start it, or correct the address or PGPASSWORD." in stack.compose("logs", "mlflow")
    stack.set("MLFLOW_DATABASE_PASSWORD", after["MLFLOW_DATABASE_PASSWORD"])
    stack.compose("up", "--detach", "--wait")


def test_a_folder_of_somebody_else_is_named(stack):
    said = stack.compose(
        "run", "--rm", "-T", "pipeline", "compare", "--config", study(stack, "foreign", **{"train.learning_rate": 0.003}),
        code=2, RUN_AS="4321:4321",
    )  # fmt: skip
    assert said.splitlines()[-1].startswith("error: ")
    assert "must have room and be writable, got one that is not (Permission denied)" in said
    assert "Traceback" not in said


def test_a_proxy_serves_it_by_tls_under_a_name_of_its_own(stack):
    name, port = "runs.example", free_port()
    stack.set("TLS_NAME", name)
    stack.set("TLS_PORT", port)
    stack.set("MLFLOW_PUBLIC_URL", f"https://{name}:{port}")
    stack.book("docker compose --profile tls up --detach --build --wait")
    check_closed(stack, "proxy", "TLS_PORT")

    def ask(context, account="nobody:at all"):
        """Return the status with which the proxy answers."""
        with (
            socket.create_connection(("127.0.0.1", int(port))) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            asked = http.client.HTTPSConnection(name, int(port))
            asked.sock = secure
            asked.request("GET", "/", headers={"Authorization": f"Basic {b64encode(account.encode()).decode()}"})
            with asked.getresponse() as said:
                return said.status

    def answers(context):
        """Return that status as soon as there is one."""
        with contextlib.suppress(OSError):
            return ask(context)

    copied = "docker compose cp proxy:/data/caddy/pki/authorities/local/root.crt ."
    wait_for(lambda: "no such" not in stack.compose(*copied.split()[2:], code=None).lower(), seconds=60)
    stack.book(copied)
    context = ssl.create_default_context(cafile=stack.folder / "root.crt")
    assert wait_for(lambda: answers(context), seconds=60) == 401
    assert ask(context, ":".join(stack.account("pipeline"))) == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(ssl.create_default_context())
    stack.compose("--profile", "tls", "rm", "--stop", "--force", "proxy")


BUCKET = """
FROM test-stack-mlflow
USER 0
RUN pip install --no-cache-dir 'moto[server]'
USER 1000
CMD ["moto_server", "--host", "0.0.0.0", "--port", "9000"]
"""
OF_BUCKET = """
import boto3, json, os
client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"], region_name="us-east-1")
{}
"""


def test_artifacts_can_go_to_a_bucket(stack):
    settings = {
        "EXTRA_PACKAGES": "boto3", "MLFLOW_ARTIFACTS_DESTINATION": "s3://runs/mlflow", "MLFLOW_S3_ENDPOINT_URL": "http://bucket:9000",
        "AWS_ACCESS_KEY_ID": "server", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(24),
    }  # fmt: skip
    for name, value in settings.items():
        stack.set(name, value)
    stack.book("docker compose up --detach --build --wait")
    stack.run("docker", "build", "--quiet", "--tag=test-stack-bucket", "-", stdin=BUCKET)
    held = "cd /artifacts && find . -type f | wc -l"
    before = stack.compose("exec", "-T", "mlflow", "sh", "-c", held)
    name = stack.run(
        "docker", "run", "--detach", "--network=test-stack_default", "--network-alias=bucket", "test-stack-bucket"
    ).strip()
    try:

        def ask(line):
            return stack.compose("exec", "-T", "mlflow", "python", "-c", OF_BUCKET.format(line), code=None)

        wait_for(lambda: "HTTPStatusCode" in ask("print(client.create_bucket(Bucket='runs'))"))
        small = (f"--{key}={value}" for key, value in {**SMALL, "train.learning_rate": 0.004}.items())
        stack.pipeline("train", "--models=none", *small)
        listed = "print(json.dumps([each['Key'] for each in client.list_objects_v2(Bucket='runs')['Contents']]))"
        files = json.loads(ask(listed))
        [history] = [file for file in files if file.endswith("/history.json")]
        assert {"MLmodel", "predictions.parquet"} <= {file.rpartition("/")[2] for file in files}
        path = history.removeprefix("mlflow/")
        status, said = stack.ask(f"/api/2.0/mlflow-artifacts/artifacts/{path}", account=stack.account("pipeline"))
        assert status == 200
        assert len(json.loads(said)) == SMALL["train.epochs"]
        assert stack.compose("exec", "-T", "mlflow", "sh", "-c", held) == before
    finally:
        stack.run("docker", "rm", "--force", "--volumes", name)


def test_no_secret_is_in_an_image_a_log_or_an_artifact(stack):
    hidden = [value.encode() for value in stack.secrets]
    assert len(hidden) >= 3 * len(SECRETS)
    backup = stack.run("make", "backup").split()[-1]
    places = {
        "image of the server": (["docker", "save", "test-stack-mlflow"], b"must have the tables of mlflow"),
        "image of the pipeline": (["docker", "save", "test-stack-pipeline"], b"BROWSER_PATH"),
        "logs": (["docker", "compose", "logs"], b"database system is ready"),
        "backup": (["tar", "-xOf", backup], b"lstm-time-embeddings"),
        "checkout": (["tar", "-c", "--exclude=.env", "--exclude=backups", "."], b"lstm-time-embeddings"),
    }
    for name, (command, known) in places.items():
        with subprocess.Popen(command, cwd=stack.folder, env=stack.environment, stdout=subprocess.PIPE) as source:
            found = found_in(source.stdout, [known, *hidden])
        assert source.returncode == 0
        assert found == {known}, name


def found_in(stream, words):
    """Return those of the words that a stream of bytes holds."""
    longest, rest, found = max(map(len, words)), b"", set()
    while part := stream.read(1 << 24):
        rest = rest[-longest:] + part
        found |= {word for word in words if word in rest}
    return found


def test_every_line_of_the_runbook_was_run(stack):
    assert stack.book_lines == stack.book_run
