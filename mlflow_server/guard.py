"""The login of the tracking server: MLflow's basic authentication, with two further checks of requests."""

import os
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from mlflow.protos.service_pb2 import CreateExperiment
from mlflow.server.auth import authenticate_request_basic_auth
from mlflow.server.handlers import _get_request_message

READING = {"GET", "HEAD", "OPTIONS"}


def authenticate() -> Any:  # noqa: ANN401 - as MLflow's function: the account, or a response that refuses
    """Authenticate a request, and refuse two kinds of requests that MLflow would accept.

    A page of another origin, even of another port of this machine, cannot change anything here, because a browser that knows
    the password would send it along. An experiment cannot have an artifact location of its own, because the server would read
    any file there, its own files included, and return it to any account.
    """
    answer = authenticate_request_basic_auth()
    if isinstance(answer, Response) or request.method in READING:
        return answer
    origin = request.headers.get("Origin")
    if (
        origin
        and origin != os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"]
        and urlsplit(origin).netloc != request.host
    ):
        said = f"Origin: must be a page of this server, got {origin}. Set MLFLOW_PUBLIC_URL where that is its address."
        return Response(said, status=403, mimetype="text/plain")
    if not request.path.endswith("/mlflow/experiments/create"):
        return answer
    # Parsed by MLflow's own function, because MLflow accepts other spellings of names and JSON within a JSON string.
    if place := _get_request_message(CreateExperiment()).artifact_location:
        said = f"artifact_location: must be left to the server, got {place}. Create the experiment without it."
        return Response(said, status=400, mimetype="text/plain")
    return answer
