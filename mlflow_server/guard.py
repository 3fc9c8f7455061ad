"""The login of the tracking server: MLflow's own, which besides keeps artifacts where the server keeps them."""

from typing import Any

from flask import Response, request
from mlflow.protos.service_pb2 import CreateExperiment
from mlflow.server.auth import authenticate_request_basic_auth
from mlflow.server.handlers import _get_request_message


def authenticate() -> Any:  # noqa: ANN401 - what MLflow's own returns: the account, or a response that refuses
    """Authenticate a request. An experiment with a place of its own is refused.

    The server would read what lies there, any file of its own among them, and hand it to whoever asks.
    """
    answer = authenticate_request_basic_auth()
    creates = request.method == "POST" and request.path.endswith("/mlflow/experiments/create")
    if isinstance(answer, Response) or not creates:
        return answer
    # Read as MLflow will read it: names in other spellings and text within text are the same to it.
    if place := _get_request_message(CreateExperiment()).artifact_location:
        said = f"artifact_location: must be left to the server, got {place}. Create the experiment without it."
        return Response(said, status=400, mimetype="text/plain")
    return answer
