"""A real HTTP server that takes alerts, when it does."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What came, and whether it was answered with 2xx."""

    path: str
    headers: dict[str, str]
    body: Any
    taken: bool


@dataclass(slots=True)
class Receiver:
    """What a server does with the next requests, and those that came.

    Attributes
    ----------
    behaviours
        For one request each; without any it takes what comes.
    requests
        In the order in which they came.
    released
        Ends what hangs.
    """

    behaviours: deque[Behaviour] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def taken(self) -> list[Request]:
        return [request for request in self.requests if request.taken]


class Handler(BaseHTTPRequestHandler):
    """Answers as the receiver is told to."""

    receiver: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        behaviours = self.receiver.behaviours
        (behaviours.popleft() if behaviours else take)(self)

    def note(self, *, taken: bool) -> None:
        headers = dict(self.headers.items())
        body = json.loads(self.body)
        self.receiver.requests.append(Request(self.path, headers, body, taken))

    def say(self, status: int, text: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


def take(handler: Handler) -> None:
    handler.note(taken=True)
    handler.say(200)


def refuse(status: int, text: str = "", **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.note(taken=False)
        handler.say(status, text, **headers)

    return behave


def hang(handler: Handler) -> None:
    """Say nothing until the test ends."""
    handler.note(taken=False)
    handler.receiver.released.wait(30)
    handler.close_connection = True


def drip(handler: Handler) -> None:
    """Send a byte of the first line now and then: no read waits for long."""
    handler.note(taken=False)
    handler.close_connection = True
    try:
        handler.wfile.write(b"HTTP/1.1 ")
        while not handler.receiver.released.wait(0.02):
            handler.wfile.write(b"x")
    except OSError:
        pass


def close(handler: Handler) -> None:
    """Close the connection in place of an answer."""
    handler.note(taken=False)
    handler.close_connection = True


def take_and_lose_the_answer(handler: Handler) -> None:
    """Take it, and close the connection before the answer: nobody knows."""
    handler.note(taken=True)
    handler.close_connection = True


def take_and_hang_in_the_text(handler: Handler) -> None:
    """Answer with 200, and never send the text that was announced."""
    handler.note(taken=True)
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.flush()
    handler.receiver.released.wait(30)
    handler.close_connection = True


def take_and_garble_the_text(handler: Handler) -> None:
    """Answer with 200, and with chunks that are none."""
    handler.note(taken=True)
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"not a number of bytes\r\n")
    handler.close_connection = True


@contextmanager
def receiving(port: int = 0, **shared: Any) -> Iterator[Receiver]:
    """Serve on a port of the loopback address; ``shared`` are fields of the receiver."""
    receiver = Receiver(**shared)
    handler = type("Bound", (Handler,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
