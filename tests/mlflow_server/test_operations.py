"""What is done to the stack from outside it: secrets, backups, restores, rotation, and a server that refuses to start."""

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege

from pipeline.identity import ROOT

# Stands for Docker: what would run in a container runs here, and the container's root is a folder.
DOCKER = """#!{python}
import os, sys
verb, *words = sys.argv[2:]
open("docker.log", "a").write(" ".join(sys.argv[2:]) + "\\n")
if verb in ("exec", "run"):
    while words[0].startswith("-"):
        del words[0]
    command = [word.replace(" / ", " root ") if " " in word else word for word in words[1:]]
    command = ["root" if word == "/" else word for word in command]
    os.execvp(command[0], command)
"""


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """A folder with the stack's script and settings, and a stand-in for Docker."""
    place = tmp_path / "stack"
    (place / "mlflow_server").mkdir(parents=True)
    shutil.copy(ROOT / "mlflow_server/stack.sh", place / "mlflow_server")
    shutil.copy(ROOT / ".env.example", place)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER.format(python=sys.executable))
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return place


def call(place, *words):
    command = [place / "mlflow_server/stack.sh", *words]
    return subprocess.run(command, cwd=place.parent, check=False, capture_output=True, text=True)


def settings(place):
    lines = (place / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def login(databases, name, database=None):
    return psycopg.connect(f"postgresql://{name}@{databases}/{database or name}", autocommit=True)


def test_secrets_are_random_and_for_the_owner_alone(stack):
    assert call(stack, "secrets").returncode == 0
    first = settings(stack)
    assert stat.S_IMODE((stack / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((stack / "backups").stat().st_mode) == 0o700
    assert first.pop("RUN_AS") == f"{stack.stat().st_uid}:{stack.stat().st_gid}"
    assert len(first) == len(set(first.values())) == 6
    assert all(len(value) == 48 for value in first.values())

    # What somebody has set stays, and a setting of a later version is added; another machine has others.
    (stack / ".env").write_text("POSTGRES_PASSWORD='my own'\nRUN_AS=7:7\nPIPELINE_PASSWORD=\n")
    (stack / ".env").chmod(0o644)
    assert call(stack, "secrets").returncode == 0
    second = settings(stack)
    assert (second.pop("POSTGRES_PASSWORD"), second.pop("RUN_AS")) == ("'my own'", "7:7")
    assert stat.S_IMODE((stack / ".env").stat().st_mode) == 0o600
    assert set(second) < set(first)
    assert not set(second.values()) & set(first.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "stack.sh: must be given a verb"),
        (("backup",), ".env: must be there, got nothing."),
        (("restore", "none.tar"), "FILE: must be a file that `make backup` wrote, got 'none.tar'."),
        (("restore", ".env"), "FILE: must be a whole file that `make backup` wrote, got .env ("),
    ],
    ids=["verb", "settings", "missing", "broken"],
)
def test_what_cannot_be_done_is_one_line_before_anything_is_stopped(stack, words, said):
    if "restore" in words:
        call(stack, "secrets")
    done = call(stack, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert not (stack / "docker.log").exists()


def test_a_role_reaches_its_own_database_and_nothing_of_the_machine(databases):
    for name, other in (("mlflow", "optuna"), ("optuna", "mlflow")):
        with login(databases, name) as own:
            own.execute("CREATE TABLE kept (number int)")
            for forbidden in (
                "COPY kept FROM PROGRAM 'echo 1'",
                "COPY kept TO '/tmp/kept'",
                "SELECT pg_read_file('/etc/passwd')",
                "CREATE ROLE another",
                "CREATE DATABASE another",
                f"SET ROLE {other}",
            ):
                with pytest.raises(InsufficientPrivilege):
                    own.execute(forbidden)
        for database in (other, "postgres"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                login(databases, name, database)


def test_a_backup_brings_databases_and_artifacts_back(databases, stack):
    call(stack, "secrets")
    kept = stack / "root/artifacts/1/model.bin"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights")
    for name in ("mlflow", "optuna"):
        with login(databases, name) as own:
            own.execute("CREATE TABLE kept (id serial PRIMARY KEY, text text)")
            own.execute("INSERT INTO kept (text) VALUES (%s)", [name])
    done = call(stack, "backup")
    assert done.returncode == 0, done.stderr
    [file] = (stack / "backups").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def change():
        kept.unlink(missing_ok=True)
        for name in ("mlflow", "optuna"):
            with login(databases, name) as own:
                own.execute("UPDATE kept SET text = 'changed'")
                own.execute("CREATE TABLE IF NOT EXISTS later (number int)")

    for _ in range(2):  # a restored database can be restored again
        change()
        done = call(stack, "restore", f"backups/{file.name}")
        assert done.returncode == 0, done.stderr
        assert kept.read_bytes() == b"weights"
        for name in ("mlflow", "optuna"):
            with login(databases, name) as own:
                assert own.execute("SELECT text FROM kept").fetchall() == [(name,)]
                assert own.execute("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall() == [
                    (name,)
                ]
                own.execute("INSERT INTO kept (text) VALUES ('the sequence goes on')")
    assert [path.name for path in (stack / "backups").iterdir()] == [file.name]

    # A dump that breaks off changes nothing.
    change()
    broken = stack / "broken"
    broken.mkdir()
    subprocess.run(["tar", "-C", broken, "-xf", file], check=True)
    dump = (broken / "mlflow.sql").read_text()
    (broken / "mlflow.sql").write_text(f"{dump[: dump.index('COPY')]}SELECT broken off;\n")
    subprocess.run(
        ["tar", "-C", broken, "-cf", stack / "broken.tar", *(path.name for path in broken.iterdir())], check=True
    )
    assert call(stack, "restore", "broken.tar").returncode != 0
    with login(databases, "mlflow") as own:
        assert own.execute("SELECT DISTINCT text FROM kept").fetchall() == [("changed",)]


def test_rotated_passwords_are_those_of_the_database(databases, stack):
    call(stack, "secrets")
    before = settings(stack)
    done = call(stack, "rotate")
    assert done.returncode == 0, done.stderr
    after = settings(stack)
    assert after.pop("RUN_AS") == before.pop("RUN_AS")
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert stat.S_IMODE((stack / ".env").stat().st_mode) == 0o600
    with psycopg.connect(f"postgresql://postgres@{databases}/postgres", autocommit=True) as database:
        access = Path(database.execute("SHOW hba_file").fetchone()[0])
        access.write_text(f"host all mlflow,optuna 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        database.execute("SELECT pg_reload_conf()")
    for name in ("mlflow", "optuna"):
        address = f"postgresql://{name}@{databases}/{name}"
        psycopg.connect(address, password=after[f"{name.upper()}_DATABASE_PASSWORD"]).close()
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(address, password=before[f"{name.upper()}_DATABASE_PASSWORD"])
    assert (stack / "docker.log").read_text().splitlines()[-1] == "up --detach --wait --force-recreate"


@pytest.fixture
def serve(monkeypatch):
    """The module that starts the server, with an environment of its own."""
    about = importlib.util.spec_from_file_location("serve", ROOT / "mlflow_server/serve.py")
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    monkeypatch.setattr(os, "environ", kept)
    monkeypatch.setattr(sys, "argv", ["serve.py"])
    return module


def refused(serve, capsys):
    with pytest.raises(SystemExit) as ended:
        serve.main()
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.mark.parametrize(
    "missing", ["MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD", "PIPELINE_PASSWORD"]
)
def test_a_server_without_a_secret_does_not_start(workplace, serve, capsys, missing):
    os.environ.update({name: "x" * 12 for name in serve.SECRETS if name != missing})
    assert refused(serve, capsys).startswith(f"error: {missing}: must be set, got nothing. `make secrets`")
    assert list(workplace.iterdir()) == []


def test_a_database_that_does_not_answer_is_one_line(workplace, serve, capsys):  # noqa: ARG001
    os.environ.update(dict.fromkeys(serve.SECRETS, "x" * 12))
    os.environ["MLFLOW_BACKEND_STORE_URI"] = "postgresql://me:hidden@127.0.0.1:9/mlflow"
    line = refused(serve, capsys)
    assert line.startswith("error: MLFLOW_BACKEND_STORE_URI: must be a database that answers, got postgresql://me:***@")
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("public", "hosts", "origin"),
    [
        ("", "localhost,localhost:*,127.0.0.1,127.0.0.1:*,mlflow:5000", "http://localhost"),
        (
            "https://runs.example/",
            "localhost,localhost:*,127.0.0.1,127.0.0.1:*,runs.example,mlflow:5000",
            "https://runs.example",
        ),
    ],
    ids=["local", "proxy"],
)
def test_the_server_answers_to_its_names_alone(serve, tmp_path, public, hosts, origin):
    os.environ.update({"MLFLOW_PUBLIC_URL": public, "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000"})
    serve.configure(tmp_path)
    assert os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] == hosts
    assert os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == origin


def test_tables_of_another_version_stop_the_server(mlflow_store, serve, capsys):
    os.environ.update(dict.fromkeys(serve.SECRETS, "x" * 12))
    os.environ["MLFLOW_BACKEND_STORE_URI"] = f"sqlite:///{mlflow_store}"
    engine = sa.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
    assert serve.check_tables(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '728d730b5ebd'"))
    line = refused(serve, capsys)
    assert ": must have the tables of mlflow " in line
    assert "`make upgrade` backs up and migrates" in line
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "728d730b5ebd"


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:No path_separator found in configuration:DeprecationWarning"
)  # MLflow's, of its login
def test_tables_of_another_version_are_migrated_when_somebody_asks(tmp_path, serve, monkeypatch, capsys):
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from mlflow.store.db.utils import _get_alembic_config  # noqa: PLC0415
    from mlflow.store.tracking.dbmodels.initial_models import Base  # noqa: PLC0415

    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri = f"sqlite:///{tmp_path}/old.db"
    config = _get_alembic_config(uri)
    script = ScriptDirectory.from_config(config)
    with sa.create_engine(uri).begin() as connection:
        Base.metadata.create_all(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, script.get_revision("head").down_revision)
    engine = sa.create_engine(uri)
    with pytest.raises(serve.SettingError, match="must have the tables of mlflow"):
        serve.check_tables(engine)
    monkeypatch.setattr(sys, "argv", ["serve.py", "upgrade"])
    serve.main()
    assert capsys.readouterr().out.endswith(": migrated\n")
    assert serve.check_tables(engine)
