"""``stream-hb run`` on a real broker: right numbers, clean stops, recoveries, clear messages."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from stream_hb.calibration_feed import CalibrationFeed
from stream_hb.settings import EngineSettings
from tests.support import topics as kafka
from tests.support.broker import NamedBroker, RealBroker, free_ports
from tests.support.chain import PARTITIONS, Chain, made_chain, run, terminate
from tests.support.logs import purchase, visit
from tests.support.records import Record, assert_same_estimates, assert_without_gaps, newest
from tests.test_calibration_feed import days, fits, last, settings, shown

pytestmark = pytest.mark.broker

STOP_SECONDS_MAX = 5.0
START_MS = 1_760_000_000_000
STORES = 40

TopicMaker = Callable[..., str]


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: TopicMaker, tmp_path: Path) -> Chain:
    return made_chain(broker.bootstrap_servers, topics, tmp_path)


@pytest.fixture
def workers(chain: Chain) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(chain.start())
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.wait()


def shop(start: int, count: int) -> list[bytes]:
    """Visits to stores that convert unalike; every tenth visit or so buys."""
    log = []
    for number in range(start, start + count):
        place = (number * 2_654_435_761 >> 7) % STORES
        store, at_ms = f"s{place}", START_MS + number * 1000
        log.append(visit(store, f"v{number}", at_ms, "north"))
        if number * 7919 % (4 + place % 16) == 0:
            order = purchase(
                store, f"o{number}", at_ms, "north", 500 + number % 997, visit_id=f"v{number}"
            )
            log.append(order)
    return log


def complete(visits: int) -> Callable[[list[Record]], bool]:
    """All visits are in the newest records, and all of one pool name the same refit."""

    def done(records: list[Record]) -> bool:
        last = [r for r in newest(records).values() if r["metric"] == "conversion"]
        refits = {record["hyper"]["version"] for record in last}
        return sum(record["n_eff"] for record in last) == visits and len(refits) == 1

    return done


@pytest.mark.parametrize("count", [1, 3])
def test_estimates_equal_those_of_a_replay_of_the_same_events(
    count: int, chain: Chain, workers: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    log = shop(0, 3000)
    started = [workers() for _ in range(count)]
    chain.feed(log)
    records = chain.settled(complete(3000))
    for worker in started:
        terminate(worker)
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"\n".join(log))
    arguments = ["--events", str(events), "--output", str(tmp_path)]
    ran = run("replay", str(chain.config), *arguments, STREAM_HB__REFIT__EVERY_SECONDS="3600")
    assert ran.returncode == 0, ran.stderr
    lines = (tmp_path / "estimates.ndjson").read_text().splitlines()
    replayed = [json.loads(line) for line in lines]
    assert len(newest(records)) == 3 * STORES
    assert_same_estimates(newest(records).values(), newest(replayed).values(), 1e-9)
    assert_without_gaps(records)


def test_sigterm_ends_a_worker_cleanly_within_five_seconds(
    chain: Chain, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    chain.config.write_text(chain.config.read_text() + "http: {port: 0}\n")
    chain.feed(shop(0, 500))
    worker = workers()
    chain.settled(complete(500))
    at = re.search(r"http://127\.0\.0\.1:\d+", chain.said())
    assert at
    for path, said in (
        ("ready", "shards work"),
        ("live", "came round"),
        ("metrics", "lag_events{"),
    ):
        with urlopen(f"{at[0]}/{path}", timeout=10) as answer:
            assert said in answer.read().decode()
    assert terminate(worker) < STOP_SECONDS_MAX
    assert "Traceback" not in chain.said()


def test_a_killed_worker_is_followed_by_one_that_goes_on_where_it_was(
    chain: Chain, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    chain.feed([*shop(0, 1000), b"no event"])
    first = workers()
    chain.settled(complete(1000))
    first.kill()
    first.wait()
    chain.feed(shop(1000, 500))
    second = workers()
    records = chain.settled(complete(1500))
    terminate(second)
    assert chain.said().count("shard restored") == PARTITIONS
    assert "no event" not in chain.said(), "a payload in the log"
    assert {record["version"]["epoch"] for record in records} == {1}
    assert_without_gaps(records)
    assert [reject["reason"] for reject in chain.rejected()] == ["not_json"]


def test_a_restart_without_new_events_writes_nothing_again(
    chain: Chain, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    rule = "changed_sd: 0\n  changed_width: 0"
    text = chain.config.read_text()
    assert rule in text
    # A fit of the same groups in another order differs in its last digits.
    chain.config.write_text(text.replace(rule, "changed_sd: 1.0e-6\n  changed_width: 1.0e-6"))
    chain.feed(shop(0, 1000))
    first = workers()
    records = chain.settled(complete(1000))
    terminate(first)
    count = len(chain.records())
    second = workers()
    chain.wait_until_said("working")
    terminate(second)
    assert chain.said().count("shard restored") == PARTITIONS
    assert len(chain.records()) == count >= len(newest(records))


def _visits(record: Record) -> float:
    return float(record["n_eff"])


def test_a_new_group_goes_on_after_the_epochs_in_the_topic(
    chain: Chain, topics: TopicMaker, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    chain.feed(shop(0, 300))
    first = workers()
    chain.settled(complete(300))
    terminate(first)
    other = chain.config.read_text().replace("group_id: ", "group_id: other-")
    chain.config.write_text(other)
    refused = run("run", str(chain.config))
    assert refused.returncode == 1
    assert "every group needs topics of its own" in refused.stderr
    for theirs, partitions in (
        (chain.state, PARTITIONS),
        (chain.summaries, PARTITIONS),
        (chain.hyper, 1),
    ):
        own = topics(partitions=partitions, cleanup_policy="compact")
        other = other.replace(f": {theirs}\n", f": {own}\n")
    chain.config.write_text(other)
    second = workers()
    chain.settled(lambda records: {r["version"]["epoch"] for r in newest(records).values()} == {2})
    terminate(second)


def test_two_workers_share_the_partitions(
    chain: Chain, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    first, second = workers(), workers()
    chain.feed(shop(0, 1000))
    chain.settled(
        lambda records: (
            sum(_visits(r) for r in newest(records).values() if r["metric"] == "conversion") == 1000
        )
    )
    terminate(first)
    chain.feed(shop(1000, 500))
    chain.settled(complete(1500))
    terminate(second)
    assert "Traceback" not in chain.said()


def test_a_broker_that_dies_and_comes_back_stops_nobody(
    own_broker: RealBroker, chain: Chain, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    chain.feed(shop(0, 1000))
    worker = workers()
    chain.settled(complete(1000))
    own_broker.kill()
    own_broker.start()
    chain.feed(shop(1000, 500))
    records = chain.settled(complete(1500))
    assert worker.poll() is None, chain.said()
    assert_without_gaps(records)
    terminate(worker)
    assert "Traceback" not in chain.said()


def test_show_prints_the_newest_estimates(
    chain: Chain, workers: Callable[[], subprocess.Popen[bytes]]
) -> None:
    empty = run("show", str(chain.config))
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "no estimates yet" in empty.stderr
    chain.feed(shop(0, 500))
    worker = workers()
    records = chain.settled(complete(500))
    terminate(worker)
    shown = run("show", str(chain.config), "--store", "s1", "--json")
    metrics = ("conversion", "order_rate", "log_order_value")
    assert json.loads(shown.stdout) == [newest(records)["north", "s1", name] for name in metrics]
    assert "weight on pooled" in run("show", str(chain.config)).stdout
    assert "did you mean 's1" in run("show", str(chain.config), "--store", "s1x").stderr


def test_show_calibration_prints_how_the_intervals_have_kept_their_word(
    chain: Chain, topics: TopicMaker
) -> None:
    topic, setting = topics(), "STREAM_HB__TOPICS__CALIBRATION"
    command = ("show", str(chain.config), "--calibration")
    empty = run(*command, **{setting: topic})
    assert (empty.returncode, empty.stdout) == (0, "")
    assert f"topic '{topic}' holds no scores yet: set calibration.enabled" in empty.stderr
    absent = run(*command, **{setting: "nosuch"})
    assert (absent.returncode, absent.stdout) == (2, "")
    assert absent.stderr.endswith("nobody writes: calibration.enabled is false\n")
    ticks = days(20)
    _, told = shown(CalibrationFeed(settings(None), EngineSettings()), ticks, fits(ticks[:5]))
    for record in told[-6:]:
        kafka.produce(chain.bootstrap_servers, topic, [record.value], key=record.key)
    assert json.loads(run(*command, "--json", **{setting: topic}).stdout) == [
        record for _, record in sorted(last(told).items())
    ]
    one = run(*command, "--metric", "conversion", **{setting: topic}).stdout
    assert "95 % held" in one
    assert one.count("north") == 1
    refused = run(*command, "--store", "s1", **{setting: topic})
    assert (refused.returncode, "leave --store out" in refused.stderr) == (2, True)


def test_the_bundled_log_can_be_fed_to_a_broker(chain: Chain) -> None:
    ran = run("demo", "--feed", str(chain.config), "--rate", "1000000")
    assert (ran.returncode, ran.stdout) == (0, "fed 60287 events\n"), ran.stderr
    read = kafka.read_all(chain.bootstrap_servers, chain.purchases)
    assert len(read) == 287


@pytest.mark.parametrize("name", ["run", "show"])
def test_without_a_broker_every_command_says_so_in_two_lines(tmp_path: Path, name: str) -> None:
    config = tmp_path / "chain.yaml"
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config.write_text(f"kafka: {{bootstrap_servers: '{address}'}}\n")
    ran = run(*name.split(), str(config))
    assert ran.returncode == 3
    assert ran.stderr.startswith(f"error: no Kafka broker answers at {address}")
    assert ran.stderr.count("\n") <= 2, ran.stderr


def test_missing_topics_are_named_with_what_makes_them(chain: Chain) -> None:
    text = chain.config.read_text()
    text = text.replace(chain.visits, "absent-a").replace(chain.purchases, "absent-b")
    chain.config.write_text(text)
    ran = run("run", str(chain.config))
    assert ran.returncode == 4
    assert "'absent-a' (input), 'absent-b' (input)" in ran.stderr
    assert "--create" in ran.stderr
    assert ran.stderr.count("\n") <= 2, ran.stderr


def test_inputs_with_unequal_partitions_are_refused(chain: Chain, topics: TopicMaker) -> None:
    other = topics(partitions=PARTITIONS + 1)
    chain.config.write_text(chain.config.read_text().replace(chain.purchases, other))
    ran = run("run", str(chain.config))
    assert ran.returncode == 4
    assert f"'{chain.visits}' has 4, '{other}' has 5" in ran.stderr
