"""The login of the tracking server: MLflow's own, which besides keeps artifacts where the server keeps them."""

import os
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from mlflow.protos.service_pb2 import CreateExperiment
from mlflow.server.auth import authenticate_request_basic_auth
from mlflow.server.handlers import _get_request_message

READING = {"GET", "HEAD", "OPTIONS"}


def authenticate() -> Any:  # noqa: ANN401 - what MLflow's own returns: the account, or a response that refuses
    """Authenticate a request. Two that MLflow would let pass are refused.

    A page of another site cannot change anything here, not even one of another port of this machine: a browser that knows the
    password sends it along. An experiment cannot have a place of its own: the server would read what lies there, any file of
    its own among them, and hand it to whoever asks.
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
    # Read as MLflow will read it: names in other spellings and text within text are the same to it.
    if place := _get_request_message(CreateExperiment()).artifact_location:
        said = f"artifact_location: must be left to the server, got {place}. Create the experiment without it."
        return Response(said, status=400, mimetype="text/plain")
    return answer
