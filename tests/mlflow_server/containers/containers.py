"""The stack of a checkout, in containers, and what its runbook says: what the tests of it share."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from urllib.error import HTTPError

OWNER = 1000
"""Of the folder, where root runs the test: containers write into it as somebody else."""
BASES = ("python:3.11-slim-bookworm", "postgres:17-bookworm", "caddy:2")
SECRETS = (
    "POSTGRES_PASSWORD", "MLFLOW_DATABASE_PASSWORD", "OPTUNA_DATABASE_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD", "PIPELINE_PASSWORD",
)  # fmt: skip


def wait_for(condition, *, seconds=240, every=1):
    """Return what `condition` gives as soon as that is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"{condition.__doc__ or condition} within {seconds} s"
        time.sleep(every)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def ask(port, path, body=None, account=None, method=None, **headers):
    """Return the status and the text with which a server of this machine answers; status 0 where it does not."""
    if account:
        headers["Authorization"] = f"Basic {b64encode(':'.join(account).encode()).decode()}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json", **headers},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Stack:
    """The stack of a folder. What is measured of it goes to `say`, a line each."""

    def __init__(self, folder, say):
        self.folder = folder
        self.say = say
        commands = "\n".join(re.findall(r"```sh\n(.*?)```", self.read("mlflow_server/README.md"), re.DOTALL))
        self.book_lines = {re.split(r"\s+#", line)[0] for line in commands.splitlines() if line}
        self.book_run = set()
        self.secrets = set()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "COMPOSE_", "AWS_", "OPTUNA_", "MAKE"))
        }
        self.environment = {**kept, "COMPOSE_PROJECT_NAME": "test-stack", "COMPOSE_ANSI": "never"}

    def read(self, path):
        return (self.folder / path).read_text()

    def give_back(self):
        """Give what root has written into the folder to its owner, as whom containers run."""
        if os.getuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, OWNER, OWNER, follow_symlinks=False)

    def settings(self):
        """Return what .env says."""
        lines = self.read(".env").splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def set(self, name, value):
        """Change a setting of .env, which keeps its owner and its mode."""
        text = re.sub(rf"^#?{name}=.*\n", "", self.read(".env"), flags=re.MULTILINE)
        (self.folder / ".env").write_text(f"{text}{name}={value}\n")

    def run(self, *command, code=0, stdin=None, **given):
        """Run a program in the folder and return what it printed, which includes its errors."""
        done = subprocess.run(
            command, cwd=self.folder, env={**self.environment, **given}, input=stdin, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def words(self, line, *replaced):
        """Return a line of the runbook with some of its words replaced. It counts as run."""
        assert line in self.book_lines, self.book_lines
        self.book_run.add(line)
        for old, new in replaced:
            line = line.replace(old, new)
        return line

    def book(self, line, *replaced, code=0):
        """Run a line of the runbook, and measure its time."""
        command = self.words(line, *replaced)
        start = time.monotonic()
        said = self.run("sh", "-c", command, code=code)
        self.say(f"{line}: {time.monotonic() - start:.0f} s")
        self.secrets |= {value for value in self.settings().values() if re.fullmatch("[0-9a-f]{48}", value)}
        return said

    def compose(self, *words, code=0, stdin=None, **given):
        return self.run("docker", "compose", *words, code=code, stdin=stdin, **given)

    def pipeline(self, *words, code=0):
        return self.compose("run", "--rm", "-T", "pipeline", *words, code=code)

    @contextlib.contextmanager
    def background(self, *words):
        """Run the pipeline meanwhile: a function that says whether it still runs, and must have succeeded if not.

        Its attribute `said` returns what the pipeline has printed so far.
        """
        command = ["docker", "compose", "run", "--rm", "-T", *words]
        file = self.folder.parent / f"background-{len(list(self.folder.parent.iterdir()))}.log"
        with (
            file.open("w") as log,
            subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log) as training,
        ):

            def runs():
                assert not training.poll(), file.read_text()
                return training.poll() is None

            runs.said = file.read_text
            try:
                yield runs
            finally:
                training.kill()

    def sql(self, database, statement):
        """Return the rows that a statement gives, as tuples of text; nothing where the database does not answer."""
        command = ["exec", "-T", "postgres", "psql", "--username=postgres", f"--dbname={database}", "--csv", "-t"]
        said = self.compose(*command, f"--command={statement}", code=None)
        return [tuple(line.split(",")) for line in said.splitlines()]

    def container(self, service):
        """Return what the engine says of the container of a service."""
        kind = "label=com.docker.compose."
        names = {"project": "test-stack", "service": service, "oneoff": "False"}
        filters = [f"--filter={kind}{key}={value}" for key, value in names.items()]
        number = self.run("docker", "ps", "--all", "--quiet", *filters).strip()
        [found] = json.loads(self.run("docker", "inspect", number))
        return found

    def healthy(self):
        """Say whether the server and PostgreSQL are healthy."""
        with contextlib.suppress(AssertionError, ValueError, KeyError):
            states = [self.container(service)["State"] for service in ("postgres", "mlflow")]
            return all(state["Status"] == "running" and state["Health"]["Status"] == "healthy" for state in states)
        return False

    def kill(self, process):
        """Kill a process of the engine's machine by its number there."""
        image = self.container("mlflow")["Image"]
        self.run("docker", "run", "--rm", "--pid=host", "--user=0", image, "sh", "-c", f"kill -9 {process}")

    def account(self, name):
        """Return the name and password of an account of .env."""
        return name, self.settings()["MLFLOW_AUTH_ADMIN_PASSWORD" if name == "admin" else "PIPELINE_PASSWORD"]

    def ask(self, path, body=None, account=None, method=None, port=None, **headers):
        """Return the status and the text with which the server answers, or what listens at another port."""
        return ask(port or self.settings()["MLFLOW_PORT"], path, body, account, method, **headers)

    def size_of_image(self, name):
        """Return the size of an image, in MB."""
        return int(self.run("docker", "image", "inspect", "--format={{.Size}}", name)) / 1e6

    def built(self, service):
        """Build the image of a service and return its size, in MB."""
        start = time.monotonic()
        self.compose("build", service)
        whole, base = self.size_of_image(f"test-stack-{service}"), self.size_of_image(BASES[0])
        self.say(
            f"image of {service}: {time.monotonic() - start:.0f} s, {whole:.0f} MB, of them {base:.0f} of its base"
        )
        return whole
