"""One HTTP request with an end: an answer, or an error that says why there is none."""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from urllib.parse import urlsplit

from stream_hb.errors import StreamHBError

DETAIL_BYTES = 300
"""As much of an answer is read: it is for the log."""


class NoAnswerError(StreamHBError):
    """Nobody knows whether the request arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said.

    Attributes
    ----------
    status
        Its code.
    retry_after_seconds
        For how long it asks to be left alone; 0: it does not.
    detail
        The beginning of its text.
    """

    status: int
    retry_after_seconds: float = 0.0
    detail: str = ""

    @property
    def is_taken(self) -> bool:
        """Tell whether the server has taken what was sent."""
        return 200 <= self.status < 300


class HttpPost:
    """Posts to one address, each time over a connection of its own: alerts are seldom.

    A socket's timeout is for each read, and a server that sends a byte now and then would hold a
    request for ever: so the whole of it has a deadline, after which its socket is shut.

    Parameters
    ----------
    url
        ``http`` or ``https``. Redirections are not followed: a post that was moved is one that
        was not taken.
    timeout_seconds
        From the connection to the end of the answer.
    headers
        Sent with every request.
    ca_file
        Certificates to trust; None: the system's.
    seconds
        The time of day: it says how far off a date in ``Retry-After`` is.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float,
        headers: Mapping[str, str],
        ca_file: str | None = None,
        seconds: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_seconds = timeout_seconds
        self._headers = {"Content-Type": "application/json", "Connection": "close", **headers}
        self._seconds = seconds
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None

    @property
    def where(self) -> str:
        """The address without what may be secret in it."""
        port = f":{self._port}" if self._port else ""
        return f"{'https' if self._tls else 'http'}://{self._host}{port}"

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body.

        Raises
        ------
        NoAnswerError
            The server cannot be reached, or its answer did not come in time, or is none.
        """
        connection, began = self._connection(), time.monotonic()
        late = Timer(self._timeout_seconds, _shut, [connection])
        late.daemon = True
        late.start()
        try:
            connection.request("POST", self._target, body, {**self._headers, **headers})
            answer = connection.getresponse()
            wait_seconds = retry_after_seconds(answer.getheader("Retry-After"), self._seconds())
            return Answer(answer.status, wait_seconds, _detail(answer))
        except (OSError, HTTPException, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            if time.monotonic() - began >= self._timeout_seconds:
                why = f"no answer within {self._timeout_seconds:g} s"
            raise NoAnswerError(f"{self.where}: {why}") from error
        finally:
            late.cancel()
            connection.close()

    def _connection(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
        return HTTPSConnection(
            self._host, self._port, timeout=self._timeout_seconds, context=self._tls
        )


def _detail(answer: HTTPResponse) -> str:
    # The status has come: whatever becomes of the text, the request has its answer.
    try:
        return answer.read(DETAIL_BYTES).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""


def _shut(connection: HTTPConnection) -> None:
    # To close it under a thread that reads would free its number for somebody else's file.
    try:
        if connection.sock is not None:
            connection.sock.shutdown(2)
    except OSError:
        pass


def retry_after_seconds(header: str | None, now_seconds: float) -> float:
    """Return how long a ``Retry-After`` asks to wait: it has seconds, or a date.

    >>> retry_after_seconds("120", 0.0), retry_after_seconds("soon", 0.0)
    (120.0, 0.0)
    >>> retry_after_seconds("Sun, 27 Oct 2024 03:33:30 GMT", 1_730_000_000.0)
    10.0
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - now_seconds, 0.0)
    except (ValueError, OverflowError):
        return 0.0
