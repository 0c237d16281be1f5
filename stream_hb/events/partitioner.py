"""Which partition a key belongs to, as the producers' default partitioners compute it.

A shard is partition p of every input topic, so a store's visits and purchases meet only if all
producers key by store and partition alike. Where the partitioner is configured, an event in a
partition that its key does not belong to is noticed instead of being counted twice.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from zlib import crc32

Partitioner = Callable[[bytes, int], int]

_MASK = 0xFFFFFFFF
_MIX = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(key: bytes) -> int:
    """MurmurHash2 of the key as a signed 32-bit integer, as ``Utils.murmur2`` of Kafka's client.

    >>> murmur2(b"foobar")
    -790332482
    """
    value = _SEED ^ len(key)
    whole = len(key) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * _MIX & _MASK
        word = (word ^ word >> 24) * _MIX & _MASK
        value = value * _MIX & _MASK ^ word
    if whole < len(key):
        value = (value ^ int.from_bytes(key[whole:], "little")) * _MIX & _MASK
    value = (value ^ value >> 13) * _MIX & _MASK
    value ^= value >> 15
    return value - (value >> 31 << 32)


def murmur2_partition(key: bytes, count: int) -> int:
    """Partition of a key under the default partitioner of Kafka's Java client.

    >>> murmur2_partition(b"store-01", 8)
    3
    """
    return (murmur2(key) & 0x7FFFFFFF) % count


def consistent_partition(key: bytes, count: int) -> int:
    """Partition of a key under ``consistent`` of librdkafka: CRC-32 modulo the count.

    >>> consistent_partition(b"store-01", 8)
    1
    """
    return crc32(key) % count


#: The configuration's names; ``none`` trusts the producers.
PARTITIONERS: Mapping[str, Partitioner | None] = MappingProxyType(
    {"murmur2": murmur2_partition, "consistent": consistent_partition, "none": None}
)
