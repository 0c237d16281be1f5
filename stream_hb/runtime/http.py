"""Metrics and health over HTTP, from a thread beside the worker."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from stream_hb.errors import StreamHBError
from stream_hb.runtime.health import Answer, liveness, readiness
from stream_hb.runtime.worker import Worker
from stream_hb.runtime.worker_metrics import Ends, WorkerMetrics

ASK_SECONDS_MAX = 10.0
"""Who connects and asks nothing holds a thread no longer than this."""

Start = Callable[..., Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Whoever asked went away before the answer: no traceback among the worker's lines."""


class _Quiet(WSGIRequestHandler):
    timeout = ASK_SECONDS_MAX

    def log_message(self, *_: Any) -> None:
        """A line for every look of a probe would drown the worker's own."""


def application(worker: Worker, ends: Ends) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """Return what answers ``/metrics``, ``/live`` and ``/ready``."""
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(worker, ends))
    metrics = make_wsgi_app(registry)
    asked = {"/live": liveness, "/ready": readiness}

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, start)
            return found
        if path in asked:
            return _said(asked[path](worker), start)
        return _send("404 Not Found", {"paths": ["/metrics", *asked]}, start)

    return answer


def _said(answer: Answer, start: Start) -> Iterable[bytes]:
    status = "200 OK" if answer.good else "503 Service Unavailable"
    return _send(status, {"ok": answer.good, "detail": answer.detail}, start)


def _send(status: str, body: dict[str, Any], start: Start) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]


@contextmanager
def served(worker: Worker, ends: Ends, host: str, port: int) -> Iterator[int]:
    """Serve while the block runs; yields the port, which is a free one where 0 is asked for.

    Raises
    ------
    StreamHBError
        The port is taken.
    """
    try:
        server = make_server(host, port, application(worker, ends), _Server, _Quiet)
    except OSError as error:
        raise StreamHBError(
            f"http.port: cannot listen at {host}:{port} ({error.strerror}). Several workers of one "
            "host need a port each: STREAM_HB__HTTP__PORT sets it, 0 takes a free one"
        ) from error
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
