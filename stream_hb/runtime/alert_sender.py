"""Sends the alerts of a topic to a receiver over HTTP: every state, in order, once it was taken.

What is promised, and what nobody can: a state is tried until the receiver answers with 2xx, later
states wait for it, and only then its offset is committed; so none is lost. None is sent again whose
answer was seen and committed. Between the answer and the commit lies a moment: whoever is killed in
it, and whoever loses the answer on its way, sends that one request again. An alert is the same to
Alertmanager however often it comes; to a webhook its ``Idempotency-Key`` tells.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import structlog

from stream_hb.runtime.alert_posts import Post, Receiver, State
from stream_hb.runtime.backoff import Backoff
from stream_hb.runtime.client import TransientError
from stream_hb.runtime.http_post import Answer, NoAnswerError

QUEUE_MAX = 1_000
"""Most states that wait here; the others wait on the topic."""

POLL_SECONDS = 0.5

log = structlog.get_logger("stream_hb.alerts")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a topic held.

    Attributes
    ----------
    states
        In the order of each partition's offsets.
    ended
        There was nothing more.
    """

    states: list[State]
    ended: bool


class AlertSource(Protocol):
    """The topic of alerts, from its beginning, and how far its alerts were sent."""

    def committed(self) -> Mapping[int, int]:
        """Return by partition the offset up to which its alerts were sent."""
        ...

    def poll(self, states_max: int, timeout_seconds: float) -> Heard:
        """Return what comes next."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Note how far alerts were sent; return when it is noted.

        Raises
        ------
        TransientError
            It is not known to be noted.
        """
        ...


class AlertSender:
    """Sends alerts.

    Parameters
    ----------
    source
        The topic.
    receiver
        Makes the requests.
    post
        Makes them over HTTP.
    backoff
        Says how long to wait after failures.
    seconds, now_ms
        A clock that only goes forward, and the time of day.
    resend_seconds
        Time between two tellings of what is open.

    Attributes
    ----------
    sent, failed
        Requests that were taken, and that were not.
    """

    def __init__(
        self,
        source: AlertSource,
        receiver: Receiver,
        post: Callable[[bytes, Mapping[str, str]], Answer],
        backoff: Backoff,
        seconds: Callable[[], float],
        now_ms: Callable[[], int],
        resend_seconds: float,
    ) -> None:
        self._source = source
        self._receiver = receiver
        self._post = post
        self._backoff = backoff
        self._seconds = seconds
        self._now_ms = now_ms
        self._resend_seconds = resend_seconds
        self._committed = dict(source.committed())
        self._known: dict[bytes, State] = {}
        self._versions: dict[bytes, tuple[int, int]] = {}
        self._uncommitted: dict[int, int] = {}
        self._queue: deque[State] = deque()
        self._refreshing: deque[Post] = deque()
        self._refresh_at = 0.0
        self._not_before = 0.0
        self._read_all = False
        self.sent = self.failed = 0

    @property
    def is_done(self) -> bool:
        """Tell whether all that the topic held was sent, and what is open told again."""
        waiting = self._queue or self._uncommitted or self._refreshing
        return self._refresh_at > 0 and not waiting

    def run(self, stop: Event, *, until_done: bool = False) -> None:
        """Send until told to stop, or until all that the topic holds is sent."""
        while not stop.is_set() and not (until_done and self.is_done):
            self.listen(0.0 if self._queue else POLL_SECONDS)
            pause = self._not_before - self._seconds()
            if pause > 0:
                stop.wait(min(pause, POLL_SECONDS))
            else:
                self.step()

    def listen(self, timeout_seconds: float = 0.0) -> None:
        """Take what the topic holds; what was sent before is only remembered."""
        room = QUEUE_MAX - len(self._queue)
        if room <= 0:
            return
        heard = self._source.poll(room, timeout_seconds)
        self._read_all |= heard.ended
        for state in filter(self._is_news, heard.states):
            if state.offset < self._committed.get(state.partition, 0):
                self._remember(state)
            else:
                self._queue.append(state)

    def _is_news(self, state: State) -> bool:
        """Tell whether a state is newer than all that came of its alert."""
        if state.record is None:
            self._versions.pop(state.key, None)
        elif state.version <= self._versions.get(state.key, (0, 0)):
            return False
        else:
            self._versions[state.key] = state.version
        return True

    def step(self) -> None:
        """Make one request, if there is something to tell."""
        if self._uncommitted and not self._commit():
            return  # to send on now would send more than one request twice after a crash
        if self._queue:
            self._tell()
        elif self._read_all:
            self._refresh()

    def _tell(self) -> None:
        """Tell of the first states that wait."""
        post = self._receiver.post(list(self._queue), self._known, self._now_ms())
        if post.body is None or self._is_taken(post.body, post.headers):
            for _ in range(post.states):
                state = self._queue.popleft()
                self._uncommitted[state.partition] = state.offset + 1
                self._remember(state)
            self._commit()

    def _commit(self) -> bool:
        """Note what was told; False where it is not known to be noted."""
        try:
            self._source.commit(self._uncommitted)
        except TransientError as error:
            log.warning("what was sent is not noted yet", detail=str(error))
            self._not_before = self._seconds() + POLL_SECONDS
            return False
        self._uncommitted = {}
        return True

    def _remember(self, state: State) -> None:
        if state.record is None:
            self._known.pop(state.key, None)
        else:
            self._known[state.key] = state

    def _refresh(self) -> None:
        """Tell again of what is open, when it is time; never of what may have ended since."""
        if not self._refreshing and self._seconds() >= self._refresh_at:
            self._refreshing.extend(self._receiver.refresh(self._known, self._now_ms()))
            self._refresh_at = max(self._seconds() + self._resend_seconds, 1e-9)
        if self._refreshing:
            post = self._refreshing[0]
            if self._is_taken(post.body or b"", post.headers):
                self._refreshing.popleft()

    def _is_taken(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            answer = self._post(body, headers)
        except NoAnswerError as error:
            return self._failed(str(error))
        if not answer.is_taken:
            text = f"status {answer.status}: {answer.detail}"
            return self._failed(text, answer.retry_after_seconds)
        if self._backoff.failures:
            log.info("alerts are taken again", failures=self._backoff.failures)
        self._backoff.succeeded()
        self.sent += 1
        return True

    def _failed(self, detail: str, asked_seconds: float = 0.0) -> bool:
        pause = self._backoff.failed(asked_seconds)
        self._not_before = self._seconds() + pause
        # A refresh is made anew: until then its end, or what is open, may have changed.
        if self._refreshing:
            self._refreshing.clear()
            self._refresh_at = 0.0
        self.failed += 1
        log.warning(
            "alerts are not taken",
            detail=detail,
            again_in_seconds=round(pause, 1),
            waiting=len(self._queue),
        )
        return False
