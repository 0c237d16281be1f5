"""The sender against a real HTTP server that fails, hangs and comes back."""

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import Any

import numpy as np
import pytest

from stream_hb.runtime.alert_posts import Alertmanager, Receiver, State, Webhook
from stream_hb.runtime.alert_sender import QUEUE_MAX, AlertSender, Heard
from stream_hb.runtime.backoff import Backoff
from stream_hb.runtime.client import TransientError
from stream_hb.runtime.http_post import HttpPost
from tests.support import http_receiver
from tests.support.http_receiver import Receiver as Server
from tests.support.http_receiver import Request, receiving, refuse

RESEND_SECONDS = 60.0
NOW_MS = 1_730_000_000_000
TIMEOUT_SECONDS = 0.4
HOUR = "2024-01-01T%02d:00:00.000Z"


class Topic:
    """A topic of alerts in memory, and the offsets that a group has committed."""

    def __init__(self, partitions: int = 2) -> None:
        self.logs: list[list[State]] = [[] for _ in range(partitions)]
        self.offsets: dict[int, int] = {}
        self.faults: deque[Exception] = deque()
        self.commits = 0

    def write(self, name: str, status: str, **more: Any) -> None:
        """Write the next state of an alert."""
        partition = sum(name.encode()) % len(self.logs)
        log = self.logs[partition]
        seq = 1 + sum(state.key == name.encode() for state in log)
        record = {
            "fingerprint": name,
            "status": status,
            "severity": "warning",
            "labels": {"alertname": "StoreDrift", "store_id": name},
            "annotations": {"summary": f"{name} {seq}"},
            "startsAt": HOUR % 1,
            "endsAt": HOUR % (2 + seq) if status == "resolved" else None,
            "updatedAt": HOUR % (2 + seq),
            "version": {"epoch": 1, "seq": seq},
        } | more
        value = json.dumps(record).encode()
        log.append(State(partition, len(log), name.encode(), value, record))

    def delete(self, name: str) -> None:
        log = self.logs[sum(name.encode()) % len(self.logs)]
        log.append(State(sum(name.encode()) % len(self.logs), len(log), name.encode(), b"", None))

    @property
    def states(self) -> list[State]:
        return [state for log in self.logs for state in log]


class Reading:
    """One sender's view of the topic: from its beginning."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.at = [0] * len(topic.logs)

    def committed(self) -> Mapping[int, int]:
        return dict(self.topic.offsets)

    def poll(self, states_max: int, timeout_seconds: float) -> Heard:
        found: list[State] = []
        for number, log in enumerate(self.topic.logs):
            more = log[self.at[number] :][: states_max - len(found)]
            self.at[number] += len(more)
            found += more
        ended = all(at == len(log) for at, log in zip(self.at, self.topic.logs, strict=True))
        return Heard(found, ended)

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self.topic.faults:
            raise self.topic.faults.popleft()
        self.topic.commits += 1
        self.topic.offsets.update(offsets)


class Sending:
    """A sender whose clock the test moves."""

    def __init__(self, topic: Topic, url: str, receiver: Receiver | None = None) -> None:
        self.now = 1_000.0
        self.sender = AlertSender(
            Reading(topic),
            receiver or Webhook(),
            HttpPost(url + "/hook", TIMEOUT_SECONDS, {}),
            Backoff(1.0, 60.0, lambda: 0.0),
            lambda: self.now,
            self.now_ms,
            RESEND_SECONDS,
        )

    def now_ms(self) -> int:
        return NOW_MS + round(self.now * 1000)

    def step(self, count: int = 1, seconds: float = 1.0) -> None:
        for _ in range(count):
            self.sender.listen()
            if self.sender._not_before <= self.now:
                self.sender.step()
            self.now += seconds


@pytest.fixture
def server() -> Iterator[Server]:
    with receiving() as made:
        yield made


def lives(topic: Topic, names: Sequence[str]) -> None:
    """Write whole lives of some alerts, one state of each in turn."""
    for status in ("pending", "firing", "firing", "recovering", "resolved"):
        for name in names:
            topic.write(name, status)


def told(requests: Sequence[Request]) -> dict[str, list[int]]:
    """Return the states that came, by alert, in the order in which they came."""
    found: dict[str, list[int]] = defaultdict(list)
    for request in requests:
        found[request.body["fingerprint"]].append(request.body["version"]["seq"])
    return dict(found)


def test_every_state_arrives_in_order_and_once(server: Server) -> None:
    topic = Topic()
    lives(topic, "abc")
    Sending(topic, server.url).step(20)
    assert told(server.requests) == {name: [1, 2, 3, 4, 5] for name in "abc"}
    assert topic.offsets == {n: len(log) for n, log in enumerate(topic.logs)}
    states = {state.value for state in topic.states}
    assert {json.dumps(request.body).encode() for request in server.requests} == states


def test_a_server_that_fails_hangs_closes_and_comes_back_gets_every_state_once(
    server: Server,
) -> None:
    topic = Topic()
    lives(topic, "abcd")
    server.behaviours.extend(
        [
            refuse(500),
            http_receiver.take,
            refuse(429, Retry_After="5"),
            http_receiver.hang,
            http_receiver.close,
            http_receiver.take,
            http_receiver.drip,
            refuse(404, "what?"),
            refuse(301, Location="/there"),
        ]
    )
    sending = Sending(topic, server.url)
    sending.step(200, seconds=1.0)
    assert told(server.taken) == {name: [1, 2, 3, 4, 5] for name in "abcd"}
    assert sending.sender.sent == 20
    assert sending.sender.failed == 7


def test_a_server_that_was_away_gets_what_it_missed() -> None:
    topic = Topic()
    topic.write("a", "firing")
    with receiving() as server:
        sending = Sending(topic, server.url)
        sending.step(3)
        port = int(server.url.rpartition(":")[2])
    topic.write("a", "resolved")
    sending.step(5)
    assert sending.sender.failed >= 2
    with receiving(port) as again:
        sending.step(20)
    assert told(server.requests) == {"a": [1]}
    assert told(again.requests) == {"a": [2]}


def test_a_state_waits_for_the_one_before_it(server: Server) -> None:
    topic = Topic(1)
    topic.write("a", "firing")
    topic.write("b", "firing")
    server.behaviours.extend([refuse(503)] * 3)
    sending = Sending(topic, server.url)
    sending.step(30)
    assert [request.body["fingerprint"] for request in server.requests] == list("aaaab")


def test_pauses_double_to_a_bound_and_a_server_may_ask_for_more(server: Server) -> None:
    topic = Topic()
    topic.write("a", "firing")
    server.behaviours.extend([refuse(500)] * 8 + [refuse(429, Retry_After="100")])
    sending = Sending(topic, server.url)
    tried = []
    for _ in range(600):
        before = len(server.requests)
        sending.step()
        if len(server.requests) > before:
            tried.append(sending.now)
    pauses = np.diff(tried).tolist()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 100]


def test_a_pause_is_shorter_by_chance_by_up_to_a_half() -> None:
    source = np.random.default_rng(1)
    backoff = Backoff(8.0, 8.0, source.random)
    pauses = [backoff.failed() for _ in range(1_000)]
    assert 4 <= min(pauses) < 4.1
    assert 7.9 < max(pauses) <= 8


@pytest.mark.parametrize("seed", range(6))
def test_kills_lost_answers_and_lost_commits_lose_nothing_and_repeat_what_nobody_could_know(
    server: Server, seed: int
) -> None:
    source = np.random.default_rng(seed)
    topic = Topic()
    lives(topic, "abcd")
    behaviours = (http_receiver.take, http_receiver.take_and_lose_the_answer, refuse(500))
    kinds = source.integers(0, 3, 30).tolist()
    server.behaviours.extend(behaviours[kind] for kind in kinds)
    kills = lost = 0
    sending = Sending(topic, server.url)
    for _ in range(400):
        if source.random() < 0.1:
            topic.faults.append(TransientError("who knows"))
        sending.step()
        if source.random() < 0.05:
            sending, kills = Sending(topic, server.url), kills + 1
    topic.faults.clear()
    sending.step(100)
    lost = sum(kind == 1 for kind in kinds)
    found = told(server.taken)
    assert {name: sorted(set(seqs)) for name, seqs in found.items()} == {
        name: [1, 2, 3, 4, 5] for name in "abcd"
    }
    for seqs in found.values():
        assert seqs == sorted(seqs)
    repeated = sum(len(seqs) - 5 for seqs in found.values())
    assert repeated <= kills + lost
    keys: dict[str, set[str]] = defaultdict(set)
    for request in server.taken:
        keys[request.headers["Idempotency-Key"]].add(json.dumps(request.body))
    assert len(keys) == 20
    assert all(len(bodies) == 1 for bodies in keys.values())


def test_a_kill_between_the_answer_and_the_commit_repeats_one_request_under_its_name(
    server: Server,
) -> None:
    topic = Topic(1)
    lives(topic, "ab")
    topic.faults.extend([TransientError("who knows")] * 50)
    sending = Sending(topic, server.url)
    sending.step(20)  # what is not noted holds up what comes after it
    assert [request.headers["Idempotency-Key"] for request in server.requests] == ["a-1-1"]
    topic.faults.clear()
    again = Sending(topic, server.url)
    again.step(20)
    names = [request.headers["Idempotency-Key"] for request in server.requests]
    assert names[:3] == ["a-1-1", "a-1-1", "b-1-1"]
    assert len(names) == 11


def test_a_state_that_stands_twice_on_the_topic_is_sent_once(server: Server) -> None:
    topic = Topic(1)
    topic.write("a", "firing")
    topic.write("a", "resolved")
    topic.logs[0] += [topic.logs[0][0], topic.logs[0][1]]
    Sending(topic, server.url).step(10)
    assert told(server.requests) == {"a": [1, 2]}
    Sending(topic, server.url).step(10)
    assert told(server.requests) == {"a": [1, 2]}


def test_a_deleted_alert_is_passed_over_and_may_come_again(server: Server) -> None:
    topic = Topic(1)
    topic.write("a", "resolved")
    topic.delete("a")
    topic.write("a", "firing", version={"epoch": 1, "seq": 1})
    Sending(topic, server.url).step(10)
    assert told(server.requests) == {"a": [1, 1]}
    assert topic.offsets == {0: 3}


def test_no_more_wait_than_the_queue_holds(server: Server) -> None:
    topic = Topic(1)
    for number in range(QUEUE_MAX + 200):
        topic.write(f"alert{number}", "firing")
    server.behaviours.extend([refuse(500)] * 3)
    sending = Sending(topic, server.url)
    sending.step(3)
    assert len(sending.sender._queue) == QUEUE_MAX


def test_told_to_stop_it_ends_and_told_to_end_it_ends_when_all_is_sent(server: Server) -> None:
    topic = Topic()
    lives(topic, "ab")
    sending = Sending(topic, server.url)
    stopped = Event()
    stopped.set()
    sending.sender.run(stopped)
    assert not server.requests
    sending.sender.run(Event(), until_done=True)
    assert len(server.requests) == 10


class Manager:
    """What Alertmanager makes of what it is posted: its rules of merging and of ends.

    After provider/mem/mem.go and types/types.go of prometheus/alertmanager.
    """

    def __init__(self) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.seen = 0

    def take(self, requests: Sequence[Request]) -> None:
        for request in requests[self.seen :]:
            assert request.path == "/hook"
            names = [json.dumps(alert["labels"], sort_keys=True) for alert in request.body]
            assert len(set(names)) == len(names)
            for name, alert in zip(names, request.body, strict=True):
                assert alert["startsAt"] < alert["endsAt"]
                self.alerts[name] = alert
        self.seen = len(requests)

    def open(self, now_ms: int) -> set[tuple[str, str]]:
        now = np.datetime64(now_ms, "ms")
        return {
            (alert["labels"]["store_id"], alert["labels"]["severity"])
            for alert in self.alerts.values()
            if np.datetime64(alert["endsAt"].removesuffix("Z")) > now
        }


def alertmanager(topic: Topic, server: Server, **more: Any) -> Sending:
    return Sending(topic, server.url, Alertmanager(round(RESEND_SECONDS * 1000), **more))


def test_alertmanager_has_what_is_open_and_nothing_else_for_as_long_as_it_is(
    server: Server,
) -> None:
    topic, manager = Topic(), Manager()
    sending = alertmanager(topic, server)
    expected: set[tuple[str, str]] = set()
    script = {
        0: ("a", "firing"),
        3: ("b", "pending"),
        5: ("b", "firing"),
        100: ("a", "recovering"),
        400: ("c", "pending"),
        401: ("c", "resolved"),
        900: ("a", "resolved"),
        2_000: ("b", "resolved"),
    }
    for second in range(2_400):
        if second in script:
            name, status = script[second]
            topic.write(name, status)
            if status == "firing":
                expected.add((name, "warning"))
            elif status == "resolved":
                expected.discard((name, "warning"))
        sending.step()
        manager.take(server.requests)
        assert manager.open(sending.now_ms()) == expected
    labels = {json.dumps(alert["labels"]) for r in server.requests for alert in r.body}
    assert not any('"c"' in label for label in labels)
    assert len(server.requests) < 60


def test_open_alerts_are_told_again_before_they_would_be_over_and_by_whoever_starts(
    server: Server,
) -> None:
    topic, manager = Topic(), Manager()
    for number in range(100):
        topic.write(f"s{number}", "firing")
    alertmanager(topic, server).step(20)
    again = alertmanager(topic, server)
    for _ in range(600):
        again.step()
        manager.take(server.requests)
        assert len(manager.open(again.now_ms())) == 100
    sizes = [len(request.body) for request in server.requests]
    assert set(sizes) == {64, 36}
    away = again.now + 4 * RESEND_SECONDS + 1
    assert manager.open(NOW_MS + round(away * 1000)) == set()


def test_what_has_ended_is_not_told_as_open_while_its_end_waits(server: Server) -> None:
    topic, manager = Topic(), Manager()
    topic.write("a", "firing")
    alertmanager(topic, server).step(3)
    topic.write("a", "resolved")
    server.behaviours.extend([refuse(503)] * 4)
    later = alertmanager(topic, server)
    before = len(server.requests)
    later.step(200)
    manager.take(server.requests)
    assert manager.open(later.now_ms()) == set()
    ends = [request.body[0]["endsAt"] for request in server.requests[before:]]
    assert set(ends) == {HOUR % 4}


def test_a_failed_refresh_is_made_anew(server: Server) -> None:
    topic, manager = Topic(), Manager()
    topic.write("a", "firing")
    sending = alertmanager(topic, server)
    sending.step(3)
    server.behaviours.extend([refuse(503)] * 5)
    sending.step(150)
    manager.take(server.taken)
    assert manager.open(sending.now_ms()) == {("a", "warning")}


def test_an_alert_that_becomes_critical_is_not_two_alerts(server: Server) -> None:
    topic, manager = Topic(), Manager()
    sending = alertmanager(topic, server)
    steps = [
        ({"severity": "warning"}, {("a", "warning")}),
        ({"severity": "critical"}, {("a", "critical")}),
        ({"severity": "critical"}, {("a", "critical")}),
        ({"severity": "warning"}, {("a", "warning")}),
    ]
    for more, expected in steps:
        topic.write("a", "firing", **more)
        sending.step(100)
        manager.take(server.requests)
        assert manager.open(sending.now_ms()) == expected
    topic.write("a", "resolved", severity="critical")
    sending.step(100)
    manager.take(server.requests)
    assert manager.open(sending.now_ms()) == set()


def test_a_link_is_in_every_alert_where_one_is_configured(server: Server) -> None:
    topic = Topic()
    topic.write("a", "firing")
    alertmanager(topic, server, source_url="https://example.org/a").step(3)
    (alert,) = server.requests[0].body
    assert alert["generatorURL"] == "https://example.org/a"
    assert alert.keys() == {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
