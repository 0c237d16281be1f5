import msgspec
import pytest

from stream_hb.errors import BrokerError, RecordError, TopicError
from stream_hb.runtime import reader
from stream_hb.runtime.embedded import EmbeddedBroker
from stream_hb.runtime.kafka import KafkaOutput, producer_settings
from stream_hb.runtime.reader import EstimateReader


def estimate(epoch: int, seq: int) -> bytes:
    return msgspec.json.encode({"version": {"epoch": epoch, "seq": seq}})


def test_the_newest_version_of_a_key_counts_whatever_comes_last() -> None:
    with EmbeddedBroker() as broker:
        broker.make_topics(["estimates"])
        output = KafkaOutput(producer_settings(broker.bootstrap_servers))
        for epoch, seq in ((1, 1), (2, 1), (1, 9)):  # the last by an owner that was replaced
            output.produce("estimates", 0, b"key", estimate(epoch, seq))
        assert output.flush(10) == 0
        found = EstimateReader(broker.bootstrap_servers, "estimates", {})
        found.read_to_end()
        assert found.records == 3
        assert found.newest == {b"key": {"version": {"epoch": 2, "seq": 1}}}
        found.close()
        output.close()


@pytest.mark.parametrize("value", [b"hello", b"\xff", b"7", b"{}", b'{"version": 1}'])
def test_what_is_no_record_is_named_with_its_topic_and_offset(value: bytes) -> None:
    """Wrong before: ``show`` of another topic than that of estimates was an internal error."""
    with EmbeddedBroker() as broker:
        broker.make_topics(["visits"])
        output = KafkaOutput(producer_settings(broker.bootstrap_servers))
        output.produce("visits", 0, b"key", value)
        assert output.flush(10) == 0
        found = EstimateReader(broker.bootstrap_servers, "visits", {})
        with pytest.raises(RecordError, match="topic 'visits', offset 0: no record of stream_hb"):
            found.read_to_end()
        found.close()
        output.close()


def test_a_missing_topic_is_said_to_be_missing_and_how_it_is_made() -> None:
    with EmbeddedBroker() as broker:
        broker.make_topics(["estimates"])
        with pytest.raises(TopicError, match="missing topic: 'nosuch'; stream-hb topics CONFIG"):
            EstimateReader(broker.bootstrap_servers, "nosuch", {})


def test_a_broker_that_falls_silent_is_an_error_and_not_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "ASK_SECONDS", 1.0)
    broker = EmbeddedBroker()
    broker.make_topics(["estimates"])
    found = EstimateReader(broker.bootstrap_servers, "estimates", {})
    broker.close()
    with pytest.raises(BrokerError, match="fell silent before the end of 'estimates'"):
        found.read_to_end()
    found.close()
