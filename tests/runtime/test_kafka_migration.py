"""What a migration refuses before it has looked at any state."""

from pathlib import Path
from typing import Any

import pytest

from stream_hb.config import Config, load_config
from stream_hb.errors import MigrationError, UsageError
from stream_hb.runtime import kafka_migration
from stream_hb.runtime.kafka_migration import run_migration
from stream_hb.runtime.topics import TopicNeed, TopicState, TopicUse

GROWN = "topics: {state: state-v2, summaries: summaries-v2, partitioner: murmur2}\n"


def config(tmp_path: Path, text: str = GROWN) -> Config:
    path = tmp_path / "chain.yaml"
    path.write_text(text)
    return load_config(path, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topics: {state: state-v2}\n", "topics.partitioner is none"),
        (GROWN + "delivery: at_least_once\n", "only with exactly_once is there a state"),
        (GROWN.replace("state-v2", "old"), "--from old: topics.state must name a new topic"),
    ],
)
def test_a_configuration_that_cannot_be_migrated_to_is_refused(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        run_migration(config(tmp_path, text), "old", print)


@pytest.mark.parametrize(
    ("old", "inputs", "said"),
    [
        (0, 6, "--from old: there is no such topic"),
        (6, 6, "nothing is to be migrated: the inputs have 6 partitions, the state in 'old' has 6"),
        (8, 6, "nothing is to be migrated: the inputs have 6"),
    ],
)
def test_an_input_that_has_not_grown_is_refused(
    old: int, inputs: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspected(_servers: str, needs: list[TopicNeed], _client: Any) -> list[TopicState]:
        counts = {TopicUse.INPUT: inputs}
        return [TopicState(n, old if n.name == "old" else counts.get(n.use, 0), {}) for n in needs]

    monkeypatch.setattr(kafka_migration, "inspect_topics", inspected)
    with pytest.raises(MigrationError, match=said):
        run_migration(config(tmp_path), "old", print)


def test_as_long_as_workers_run_nothing_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_migration, "_members", lambda *_: ["stream-hb-0", "stream-hb-1"])
    monkeypatch.setattr(kafka_migration, "MEMBERS_SECONDS_MORE", -20.0)
    with pytest.raises(MigrationError, match=r"still run \(stream-hb-0, stream-hb-1\): end them"):
        kafka_migration._wait_for_no_members(config(tmp_path), print)


@pytest.mark.parametrize("payload", [None, b"no json", b"{}", b'{"store_id": 5}', b"[]"])
def test_what_is_no_event_is_of_no_store(payload: bytes | None) -> None:
    assert kafka_migration._store(payload) is None
    assert kafka_migration._store(b'{"store_id": "s1", "event_type": "visit"}') == "s1"
