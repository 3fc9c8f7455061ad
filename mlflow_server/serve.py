"""Starts the tracking server: checks its settings and tables, sees to its accounts, and becomes `mlflow server` with a login.

The image runs it, and `make serve` runs it without containers. Settings are environment variables; DEFAULTS has those that have
a default. `upgrade` migrates the tables instead, and `account NAME` makes an account or gives it a new password.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
DEFAULTS = {
    "MLFLOW_HOST": "127.0.0.1",
    "MLFLOW_PORT": "5000",
    "MLFLOW_WORKERS": "1",
    "MLFLOW_BACKEND_STORE_URI": "sqlite:///served/mlflow.db",
    "MLFLOW_ARTIFACTS_DESTINATION": "served/artifacts",
    "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
SECRETS = ("MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD", "PIPELINE_PASSWORD")
LOCAL_HOSTS = ("localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*")
"""Host names of the server on this machine, also without a port: a browser omits port 80."""
PIPELINE = "pipeline"
"""The account that the pipeline's container trains with."""
MIGRATIONS = {
    "alembic_version": ("experiments", "store/db_migrations"),
    "alembic_version_auth": ("users", "server/auth/db/migrations"),
}
"""{table that holds a schema version: (a table of that schema, MLflow's folder of its migrations)}."""
# Every account can record to every experiment; deleting runs in another account's experiment needs a grant. A checked
# password is cached for a minute, because checking it takes longer than most requests.
LOGIN = """\
[mlflow]
default_permission = EDIT
database_uri = {database}
admin_username = {admin}
authorization_function = guard:authenticate
auth_cache_ttl_seconds = 60
"""


class SettingError(Exception):
    """A setting is invalid. The message is one line: `where: what must hold, got value. what to do.`."""


def check_secrets() -> None:
    """Raise `SettingError` for a secret that is not set; secrets have no defaults."""
    for name in SECRETS:
        if not os.environ.get(name):
            raise SettingError(f"{name}: must be set, got nothing. `make secrets` writes it into .env.")


def configure(folder: Path) -> None:
    """Set the variables that follow from others, and write the settings of the login into `folder`."""
    for name, value in DEFAULTS.items():
        os.environ[name] = os.environ.get(name) or value
    given = os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS", "")
    public = urlsplit(os.environ.get("MLFLOW_PUBLIC_URL") or "http://localhost")
    if public.scheme not in {"http", "https"} or not public.netloc:
        raise SettingError(
            f"MLFLOW_PUBLIC_URL: must be an address such as https://runs.example, got {public.geturl()}. Correct it."
        )
    hosts = dict.fromkeys([*LOCAL_HOSTS, public.netloc, *filter(None, given.split(","))])
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(hosts)
    # Pages of other sites cannot change anything here; pages under the server's public address can.
    os.environ.setdefault("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", f"{public.scheme}://{public.netloc}")
    database = os.environ["MLFLOW_BACKEND_STORE_URI"].replace("%", "%%")
    file = folder / "login.ini"
    file.write_text(LOGIN.format(database=database, admin=os.environ["MLFLOW_AUTH_ADMIN_USERNAME"]))
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(file)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))


def connected() -> Any:  # noqa: ANN401 - SQLAlchemy is imported late
    """Return an engine of the server's database after a successful connection."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - settings come first
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    address = make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
    if address.drivername.startswith("sqlite") and address.database:
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(address)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        why = str(error.args[0]).splitlines()[0] if error.args else type(error).__name__
        raise SettingError(
            f"MLFLOW_BACKEND_STORE_URI: must be a database that answers, got {address} ({why}). "
            "Start it, or correct the address or PGPASSWORD."
        ) from error
    return engine


def check_tables(engine: Any) -> bool:  # noqa: ANN401
    """Return whether the database has tables; `SettingError` for those of another MLflow version: only `upgrade` migrates them."""
    import mlflow  # noqa: PLC0415 - takes seconds
    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from sqlalchemy import inspect  # noqa: PLC0415

    found = False
    for version, (table, folder) in MIGRATIONS.items():
        if not inspect(engine).has_table(table):
            continue
        found = True
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": version})
            present = context.get_current_revision()
        wanted = ScriptDirectory(str(Path(mlflow.__file__).parent / folder)).get_current_head()
        if present != wanted:
            raise SettingError(
                f"{engine.url}: must have the tables of mlflow {mlflow.__version__}, got those of another version "
                f"({version} {present} instead of {wanted}). `make upgrade` backs up and migrates the stack's; without "
                "containers, back up, then run `python mlflow_server/serve.py upgrade`."
            )
    return found


def upgrade(engine: Any) -> None:  # noqa: ANN401
    """Migrate the tables, if there are any, to this version of MLflow."""
    try:
        check_tables(engine)
    except SettingError:
        from mlflow.server.auth.db.utils import migrate  # noqa: PLC0415
        from mlflow.store.db.utils import _upgrade_db  # noqa: PLC0415 - what `mlflow db upgrade` calls

        _upgrade_db(engine)
        migrate(engine, "head")
        check_tables(engine)
        print(f"{engine.url}: migrated")
    else:
        print(f"{engine.url}: nothing to migrate")


def accounts() -> Any:  # noqa: ANN401 - MLflow is untyped here
    """Return the store of accounts; missing tables are created."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - reads the configuration

    store = SqlAlchemyStore()
    store.init_db(os.environ["MLFLOW_BACKEND_STORE_URI"])
    return store


def set_account(store: Any, name: str, password: str, *, admin: bool) -> None:  # noqa: ANN401
    """Create an account, or update its password and rights."""
    if not store.has_user(name):
        store.create_user(name, password, is_admin=admin)
    elif not store.authenticate_user(name, password) or store.get_user(name).is_admin != admin:
        store.update_user(name, password=password, is_admin=admin)


def serve(engine: Any) -> None:  # noqa: ANN401
    """Become the server. Its own two accounts get the passwords of the environment, even if they had others."""
    check_tables(engine)
    store = accounts()
    set_account(store, os.environ["MLFLOW_AUTH_ADMIN_USERNAME"], os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"], admin=True)
    set_account(store, PIPELINE, os.environ["PIPELINE_PASSWORD"], admin=False)
    store.engine.dispose()
    engine.dispose()
    from mlflow.cli import cli  # noqa: PLC0415

    cli(["server", "--app-name", "basic-auth"], prog_name="mlflow")


def account(engine: Any, name: str, *, admin: bool, remove: bool) -> None:  # noqa: ANN401
    """Create an account with a random password, give an existing one a new password, or remove it."""
    if name in {os.environ["MLFLOW_AUTH_ADMIN_USERNAME"], PIPELINE}:
        raise SettingError(
            f"account: must be one of a person, got {name}, whose password is in .env. `make rotate` changes it."
        )
    if not check_tables(engine):
        raise SettingError(f"{engine.url}: must have tables, got none. Start the server once.")
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    store = accounts()
    try:
        if remove:
            store.delete_user(name)
            print(f"account {name}: removed")
            return
        password = secrets.token_urlsafe(18)
        set_account(store, name, password, admin=admin)
    except MlflowException as error:
        raise SettingError(
            f"account: must be a name that can be used, got {name} ({error.message}). Choose another."
        ) from error
    print(f"account {name}: password {password}")


def main() -> None:
    """Run the command given on the command line; the default is to serve."""
    parser = argparse.ArgumentParser(prog="serve.py", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("upgrade", help="migrate the tables")
    of_account = verbs.add_parser("account", help="make an account, or give it a new password")
    of_account.add_argument("name")
    of_account.add_argument("--admin", action="store_true")
    of_account.add_argument("--remove", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="login-") as folder:
        try:
            configure(Path(folder))
            if not options.verb:
                check_secrets()
            engine = connected()
            if options.verb == "upgrade":
                upgrade(engine)
            elif options.verb == "account":
                account(engine, options.name, admin=options.admin, remove=options.remove)
            else:
                serve(engine)
        except SettingError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
