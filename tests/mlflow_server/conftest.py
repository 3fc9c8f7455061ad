import os
import subprocess
from urllib.parse import urlsplit

import pytest

from pipeline.identity import ROOT


@pytest.fixture
def databases(postgres, monkeypatch):
    """Host and port of the stack's databases, made as its PostgreSQL makes them; PostgreSQL's programs reach them."""
    address = urlsplit(postgres)
    monkeypatch.setenv("PGHOST", address.hostname)
    monkeypatch.setenv("PGPORT", str(address.port))
    roles = {f"{name}_DATABASE_PASSWORD": f"p@ss:/word of {name}" for name in ("MLFLOW", "OPTUNA")}
    script = ROOT / "mlflow_server/databases.sql"
    command = ["psql", "--username=postgres", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={script}"]
    subprocess.run(command, env={**os.environ, **roles}, check=True)
    return f"{address.hostname}:{address.port}"
