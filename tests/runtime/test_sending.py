"""From a configuration to a sender; and from a real topic to a real server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer

from stream_hb.config import load_config
from stream_hb.errors import ConfigError, UsageError
from stream_hb.runtime.alert_posts import Alertmanager, Webhook
from stream_hb.runtime.alert_topic import AlertTopic
from stream_hb.runtime.sending import http_post, receiver_of
from tests.cli.running import run
from tests.support.broker import NamedBroker, RealBroker
from tests.support.http_receiver import Handler, receiving, take

STATES = ("pending", "firing", "firing", "recovering", "resolved")


def settings(tmp_path: Path, text: str, **environ: str) -> Any:
    path = tmp_path / "chain.yaml"
    path.write_text(f"alert_sender: {{{text}}}", encoding="utf-8")
    return load_config(path, environ).alert_sender


def test_alertmanagers_address_is_completed_and_a_webhooks_is_not(tmp_path: Path) -> None:
    for url, target in (
        ("http://am:9093", "/api/v2/alerts"),
        ("https://am/prefix/", "/prefix/api/v2/alerts"),
        ("http://am/api/v2/alerts", "/api/v2/alerts"),
    ):
        assert http_post(settings(tmp_path, f"url: '{url}'"))._target == target
    hook = settings(tmp_path, "kind: webhook, url: 'http://am/x?y=z'")
    assert http_post(hook)._target == "/x?y=z"
    assert isinstance(receiver_of(hook), Webhook)
    assert isinstance(receiver_of(settings(tmp_path, "url: 'http://am'")), Alertmanager)


def test_who_is_told_of_nothing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"alert_sender\.url is null"):
        http_post(settings(tmp_path, ""))
    path = tmp_path / "plain.yaml"
    path.write_text("time: {}\n", encoding="utf-8")
    assert run("send-alerts", str(path)).code == 2


def test_the_authorization_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    variable = {"STREAM_HB__ALERT_SENDER__AUTHORIZATION": "Bearer hunter2"}
    found = http_post(settings(tmp_path, "url: 'http://am'", **variable))
    assert found._headers["Authorization"] == "Bearer hunter2"
    (tmp_path / "secret").write_text("Basic aHVudGVyMg==\n", encoding="utf-8")
    found = http_post(settings(tmp_path, "url: 'http://am', authorization_file: secret"))
    assert found._headers["Authorization"] == "Basic aHVudGVyMg=="
    assert "Authorization" not in http_post(settings(tmp_path, "url: 'http://am'"))._headers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("authorization_file: none", "No such file or directory"),
        ('authorization: "a\\nb"', "should be one line of ASCII"),
        ("authorization: é", "should be one line of ASCII"),
        ("ca_file: none", "alert_sender.ca_file: "),
    ],
)
def test_files_and_headers_that_cannot_be_used_are_named(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        http_post(settings(tmp_path, f"url: 'https://am', {text}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url: am:9093", "alert_sender.url: should be http://HOST"),
        ("url: 'ftp://hunter2'", "alert_sender.url: should be http://HOST"),
        ("url: 'http://me:hunter2@am'", "they belong into authorization"),
        ("url: 12345678", "alert_sender.url: should be a text"),
        ("authorization: 12345678", "alert_sender.authorization: should be a text"),
        ("authorization: hunter2, authorization_file: x", "one of the two"),
        ("timeout_seconds: 0", "alert_sender.timeout_seconds: should be greater than 0"),
        ("kind: mail", "alert_sender.kind"),
    ],
)
def test_a_section_that_cannot_work_is_refused_without_its_secrets(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "12345678" not in str(caught.value)


def test_address_and_authorization_are_never_printed(tmp_path: Path) -> None:
    text = "url: 'http://am/hunter2', authorization: hunter2"
    path = tmp_path / "chain.yaml"
    path.write_text(f"alert_sender: {{{text}}}", encoding="utf-8")
    ran = run("check", str(path))
    assert ran.code == 0
    assert "hunter2" not in ran.out + ran.err + repr(load_config(path, {}))


class Writer:
    """Writes states of alerts in transactions, as a worker does."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        settings = {
            "bootstrap.servers": bootstrap_servers,
            "transactional.id": topic,
            "log_level": 0,
        }
        self._producer = Producer(settings)
        self._producer.init_transactions(20)

    def write(self, seqs: range, names: str, *, abort: bool = False) -> None:
        self._producer.begin_transaction()
        for seq in seqs:
            for name in names:
                self._state(name * 16, seq)
        if abort:
            self._producer.abort_transaction(20)
        else:
            self._producer.commit_transaction(20)

    def _state(self, name: str, seq: int) -> None:
        status = STATES[(seq - 1) % len(STATES)]
        record = {"fingerprint": name, "status": status, "version": {"epoch": 1, "seq": seq}}
        self._producer.produce(self._topic, json.dumps(record), name)


def configured(broker: RealBroker | NamedBroker, topic: str, url: str, folder: Path) -> str:
    content = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers, "group_id": topic},
        "topics": {"alerts": topic},
        "alert_sender": {"kind": "webhook", "url": url, "backoff_seconds": 0.05},
    }
    path = folder / "chain.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return what starts a sender; none outlives the test."""
    senders: list[subprocess.Popen[bytes]] = []

    def start(config: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "stream_hb", "send-alerts", config, *options]
        sender = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "error"})
        senders.append(sender)
        return sender

    yield start
    for sender in senders:
        sender.kill()
        sender.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.broker
def test_a_sender_that_is_killed_in_the_middle_loses_nothing_and_repeats_one_request_at_most(
    broker: RealBroker | NamedBroker,
    topics: Callable[..., str],
    started: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    topic = topics(partitions=2, cleanup_policy="compact")
    writer = Writer(broker.bootstrap_servers, topic)
    writer.write(range(1, 16), "abc")
    writer.write(range(16, 18), "abc", abort=True)
    kills = 0

    def slowly(handler: Handler) -> None:
        time.sleep(0.03)
        take(handler)

    with receiving() as server:
        server.behaviours.extend([slowly] * 500)
        config = configured(broker, topic, server.url, tmp_path)
        sender = started(config)
        for reached in (5, 30):
            wait_for(lambda at=reached: len(server.requests) >= at)  # type: ignore[misc]
            sender.kill()
            sender.wait()
            kills += 1
            sender = started(config)
        writer.write(range(16, 21), "abc")
        wait_for(lambda: len(told(server.requests)) == 60)
        sender.send_signal(signal.SIGTERM)
        assert sender.wait(20) == 0
        last = started(config, "--until-done")
        before = len(server.requests)
        assert last.wait(60) == 0
        assert len(server.requests) == before
    seqs = defaultdict(list)
    for request in server.requests:
        seqs[request.body["fingerprint"]].append(request.body["version"]["seq"])
    for found in seqs.values():
        assert found == sorted(found)
        assert set(found) == set(range(1, 21))
    assert len(server.requests) - 60 <= kills


def told(requests: list[Any]) -> Counter[str]:
    return Counter(request.headers["Idempotency-Key"] for request in requests)


@pytest.mark.broker
def test_offsets_of_an_earlier_topic_of_the_name_are_not_believed(
    broker: RealBroker | NamedBroker, topics: Callable[..., str]
) -> None:
    topic = topics(partitions=1)
    Writer(broker.bootstrap_servers, topic).write(range(1, 3), "a")
    first = AlertTopic(broker.bootstrap_servers, topic, f"{topic}.g", {})
    assert first.committed() == {}
    first.commit({0: 2})
    first.close()
    again = AlertTopic(broker.bootstrap_servers, topic, f"{topic}.g", {})
    assert again.committed() == {0: 2}
    again.commit({0: 1_000})
    assert again.committed() == {0: 0}
    again.close()
