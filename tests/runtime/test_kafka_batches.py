"""A poll's messages by partition, with the right offsets."""

from confluent_kafka import Message

from stream_hb.runtime.kafka_batches import to_batches


def message(topic: str, partition: int, offset: int) -> Message:
    return Message(topic, partition, offset, value=b"%s-%d" % (topic.encode(), offset))


def test_runs_of_messages_become_one_batch_for_each_partition() -> None:
    messages = [
        message("a", 0, 5),
        message("a", 0, 6),
        message("a", 1, 0),
        message("b", 1, 1),  # the partition stays the same, the topic does not
        message("a", 0, 7),
    ]
    batches = to_batches(messages, {"a": 0, "b": 1})
    assert [(b.topic, b.partition, list(b.payloads), b.next_offset) for b in batches] == [
        ("a", 0, [b"a-5", b"a-6", b"a-7"], 8),
        ("a", 1, [b"a-0"], 1),
        ("b", 1, [b"b-1"], 2),
    ]


def test_offsets_are_right_with_and_without_gaps() -> None:
    gapless, gapped = to_batches(
        [*(message("a", 0, 3 + i) for i in range(4)), *(message("a", 1, 3 * i) for i in range(4))],
        {"a": 0},
    )
    assert [gapless.offset_of(index) for index in range(4)] == [3, 4, 5, 6]
    assert [gapped.offset_of(index) for index in range(4)] == [0, 3, 6, 9]


def test_an_empty_poll_is_no_batch() -> None:
    assert to_batches([], {"a": 0, "b": 1}) == []
