"""Partitions as the producers compute them."""

import pytest

from stream_hb.events.partitioner import (
    PARTITIONERS,
    consistent_partition,
    murmur2,
    murmur2_partition,
)

# From testMurmur2 of org.apache.kafka.common.utils.UtilsTest.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), MURMUR2.items())
def test_murmur2_gives_the_numbers_of_kafkas_own_test(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


@pytest.mark.parametrize(("key", "value"), MURMUR2.items())
def test_the_java_partition_drops_the_sign_bit_and_takes_the_remainder(
    key: bytes, value: int
) -> None:
    # Utils.toPositive: & 0x7fffffff, not the absolute value.
    unsigned = value + 2**31 if value < 0 else value
    assert murmur2_partition(key, 7) == unsigned % 7


def test_the_consistent_partition_is_the_crc32_modulo_the_count() -> None:
    # The check value of CRC-32/ISO-HDLC.
    assert consistent_partition(b"123456789", 2**32) == 0xCBF43926
    assert consistent_partition(b"123456789", 8) == 0xCBF43926 % 8
    # librdkafka maps all empty keys to one partition: the CRC-32 of nothing is 0.
    assert consistent_partition(b"", 8) == 0


@pytest.mark.parametrize("partition", [murmur2_partition, consistent_partition])
def test_every_partition_gets_its_share_of_10_000_stores(partition: object) -> None:
    assert callable(partition)
    partitions = [partition(f"store-{i:05d}".encode(), 8) for i in range(10_000)]
    counts = [partitions.count(number) for number in range(8)]
    assert sum(counts) == 10_000
    assert min(counts) > 1_000


def test_the_configurations_names_are_three() -> None:
    assert {
        "murmur2": murmur2_partition,
        "consistent": consistent_partition,
        "none": None,
    } == PARTITIONERS
