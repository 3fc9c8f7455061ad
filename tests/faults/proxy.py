"""A proxy in front of a tracking server that makes the server unreachable, slow or failing, as a test requests."""

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KINDS = ("500", "slow", "reset", "lose", "away")
SLOW_SECONDS = 2.0
OF_ONE_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


class Proxy:
    """Forwards requests; while a fault is set, a share of the requests, drawn with a seed, meets it."""

    def __init__(self, server: str, seed: int) -> None:
        self.upstream = str(urlsplit(server).netloc)
        self.kind, self.share, self.injected = "", 0.0, 0
        self._draws, self._mutex = random.Random(seed), threading.Lock()  # noqa: S311 - draws faults

    def meets(self) -> str:
        """Return the fault that a request meets, or "", and count it."""
        with self._mutex:
            kind = self.kind if self._draws.random() < self.share else ""
            self.injected += bool(kind)
            return kind

    def set(self, kind: str, share: float = 1.0) -> None:
        with self._mutex:
            self.kind, self.share = kind, share


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def _pass_on(self) -> None:
        kind = self.proxy.meets()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if kind == "500":
            self._answer(500, [("Content-Type", "text/plain")], b"the test says so")
            return
        if kind == "slow":
            time.sleep(SLOW_SECONDS)
        if kind not in ("reset", "away"):
            answer = self._ask(body)
            if kind != "lose":
                self._answer(*answer)
                return
        self.close_connection = True  # no answer is sent

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - names of http.server

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_HOP}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in OF_ONE_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def proxy_of(server: str, seed: int) -> Iterator[tuple[Proxy, str]]:
    """Run a proxy of a server; yield the proxy and its address."""
    proxy = Proxy(server, seed)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy})) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield proxy, f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
