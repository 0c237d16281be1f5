"""A TCP proxy before a broker that delays, repeats and loses the requests that end a transaction.

It parses the frames from a client: four bytes of length, then the request's api key, version and
correlation id. Everything else goes through as it comes. One fault is armed at a time; the next
EndTxn takes it.
"""

import socket
import struct
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event, Lock, Thread
from typing import Self

INIT_PRODUCER_ID = 22
END_TXN = 26


class Fault(StrEnum):
    """What happens to a request."""

    HOLD = "hold"
    """It and what follows on its connection is held; it comes to the broker late, even when the
    client has gone away."""

    CUT = "cut"
    """The same, and the client's connection is cut at once: it asks again on another one."""

    REPEAT = "repeat"
    """It comes twice in a row; the second answer is lost."""

    DEAF = "deaf"
    """It comes in time, and its answer late: the client asks again."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault, and for how long what it delays is late."""

    fault: Fault
    seconds: float


@dataclass(slots=True)
class _Link:
    """A client's connection, and its own to the broker."""

    client: socket.socket
    broker: socket.socket
    silent_until: float = 0.0
    unwanted: set[int] = field(default_factory=set)
    held: Event = field(default_factory=Event)


class Proxy:
    """See the module; to be closed.

    Attributes
    ----------
    requests
        How many requests came, by api key.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.requests: Counter[int] = Counter()
        self._broker_port = broker_port
        self._armed: Armed | None = None
        self._lock = Lock()
        self._closed = Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        _shut(self._listener)
        for each in self._sockets:
            _shut(each)

    def arm(self, fault: Fault, seconds: float) -> None:
        """Let this happen to the next request that ends a transaction."""
        with self._lock:
            self._armed = Armed(fault, seconds)

    @property
    def is_armed(self) -> bool:
        """Whether the fault is still to come."""
        return self._armed is not None

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                self._sockets += [client, broker]
                link = _Link(client, broker)
                for pump in (self._requests, self._answers):
                    Thread(target=pump, args=(link,), daemon=True).start()

    def _requests(self, link: _Link) -> None:
        with suppress(OSError):
            while frame := _frame(link.client):
                self._forward(link, frame)
        _shut(link.broker)
        _shut(link.client)

    def _forward(self, link: _Link, frame: bytes) -> None:
        key, _version, correlation = struct.unpack_from(">hhi", frame, 4)
        self.requests[key] += 1
        armed = self._take() if key == END_TXN else None
        if armed is None:
            link.broker.sendall(frame)
            return
        match armed.fault:
            case Fault.HOLD | Fault.CUT:
                if armed.fault is Fault.CUT:
                    link.held.set()
                    _shut(link.client)
                self._closed.wait(armed.seconds)
                link.broker.sendall(frame)
                if armed.fault is Fault.CUT:
                    self._closed.wait(1.0)  # the broker reads it before the connection ends
            case Fault.REPEAT:
                again = correlation + 1_000_000_000
                link.unwanted.add(again)
                link.broker.sendall(frame + frame[:8] + struct.pack(">i", again) + frame[12:])
            case Fault.DEAF:
                link.silent_until = time.monotonic() + armed.seconds
                link.broker.sendall(frame)

    def _take(self) -> Armed | None:
        with self._lock:
            armed, self._armed = self._armed, None
        return armed

    def _answers(self, link: _Link) -> None:
        with suppress(OSError):
            while frame := _frame(link.broker):
                self._closed.wait(max(link.silent_until - time.monotonic(), 0))
                (correlation,) = struct.unpack_from(">i", frame, 4)
                if correlation in link.unwanted:
                    link.unwanted.discard(correlation)
                else:
                    link.client.sendall(frame)
        if not link.held.is_set():
            _shut(link.client)


def _frame(source: socket.socket) -> bytes:
    """Read a frame with its length; nothing where the connection ends."""
    head = _exactly(source, 4)
    if len(head) < 4:
        return b""
    (size,) = struct.unpack(">i", head)
    body = _exactly(source, size)
    return head + body if len(body) == size else b""


def _exactly(source: socket.socket, size: int) -> bytes:
    parts, left = [], size
    while left and (part := source.recv(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
