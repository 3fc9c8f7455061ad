"""A tracking server of this process that can be away, slow or failing, or lose its answers: for tests of the spool."""

import socket
import threading
from contextlib import closing, contextmanager

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator


class Quiet(WSGIRequestHandler):
    """Says nothing of requests, and nothing of clients that are gone."""

    def log(self, *_):
        pass


class Server:
    """MLflow's server over an SQLite store, and what is wrong with it."""

    def __init__(self, app):
        self._app = app
        self.fault = lambda _call: None
        """Told of each call as `METHOD path`: returns "away", "failing", "lost" or nothing, and may wait."""
        self.calls = []
        self._http = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.uri = f"http://127.0.0.1:{self._http.port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def __call__(self, environ, start_response):
        call = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.calls.append(call)
        fault = self.fault(call)
        if fault == "failing":
            start_response("500 INTERNAL SERVER ERROR", [("Content-Length", "0")])
            return [b""]
        if fault != "away":
            with closing(ClosingIterator(self._app(environ, start_response))) as parts:
                answer = list(parts)
        if fault:  # the connection breaks off, before the call is done or after
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        return answer

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def serving(store):
    """Serve an SQLite store, with artifacts beside it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{store}")
        patched.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patched.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        patched.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(store.parent / "served"))
        from mlflow.server import app, handlers  # noqa: PLC0415

        for name in ("_tracking_store", "_artifact_repo"):
            patched.setattr(handlers, name, None)
        server = Server(app)
        try:
            yield server
        finally:
            server.close()
