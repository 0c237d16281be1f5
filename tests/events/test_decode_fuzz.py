"""Whatever the bytes: nothing is raised, and the counts add up."""

import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_hb.events.batch import Decoded, RawBatch
from stream_hb.events.decode import Decoder
from stream_hb.events.rejects import REASONS
from tests.events.examples import ACCEPT, PURCHASE, REFUND, TOTALS, VISIT, as_json, raw_batch

MUTANTS = 20_000
SEEDS = [as_json(event) for event in (VISIT, PURCHASE, REFUND, TOTALS, ACCEPT)] + [
    as_json(VISIT | {"experiment": {"experiment_id": "e1", "arm": "a"}, "covariates": {"a": 1.5}}),
    as_json(PURCHASE | {"visitor_id": "é😀", "unknown": [{"a": [None, 1e300]}]}),
]
TOKENS = [b"NaN", b"null", b"-", b"1e999", b"9" * 400, b"\\ud800", b"\xff", b"\x00", b'"', b"{}"]

Mutation = Callable[[random.Random, bytes], bytes]


def flip(source: random.Random, payload: bytes) -> bytes:
    at = source.randrange(len(payload))
    return payload[:at] + bytes([payload[at] ^ 1 << source.randrange(8)]) + payload[at + 1 :]


def truncate(source: random.Random, payload: bytes) -> bytes:
    return payload[: source.randrange(len(payload))]


def delete(source: random.Random, payload: bytes) -> bytes:
    start = source.randrange(len(payload))
    return payload[:start] + payload[start + source.randrange(1, 20) :]


def insert(source: random.Random, payload: bytes) -> bytes:
    at = source.randrange(len(payload))
    return payload[:at] + source.choice(TOKENS) + payload[at:]


def splice(source: random.Random, payload: bytes) -> bytes:
    other = source.choice(SEEDS)
    return payload[: source.randrange(len(payload))] + other[source.randrange(len(other)) :]


def nest(source: random.Random, payload: bytes) -> bytes:
    levels = source.choice([1, 5, 200, 400, 3000])
    return payload[:-1] + b', "unknown": ' + b"[" * levels + payload + b"]" * levels + b"}"


def replace_number(source: random.Random, payload: bytes) -> bytes:
    number = source.choice([b"1730000000000", b"1", b"3599", b"41"])
    return payload.replace(number, source.choice(TOKENS))


MUTATIONS: list[Mutation] = [flip, truncate, delete, insert, splice, nest, replace_number]


def mutant(source: random.Random) -> bytes:
    payload = source.choice(SEEDS)
    for _ in range(source.choice([0, 1, 1, 1, 2, 4])):
        payload = source.choice(MUTATIONS)(source, payload) or b" "
    return payload


def assert_taken_apart(batch: RawBatch, result: Decoded) -> None:
    rejects = result.rejects
    offsets = [reject.offset for reject in rejects]
    accepted = [at for events in result.events for at in events.indexes.tolist()]
    assert result.received == len(batch.payloads)
    assert sorted([*accepted, *offsets]) == list(range(result.received))
    assert offsets == sorted(offsets)
    assert {reject.reason for reject in rejects} <= REASONS.keys()
    assert all(reject.payload is batch.payloads[reject.offset] for reject in rejects)
    assert max((len(reject.detail) for reject in rejects), default=0) <= 300


def test_nothing_escapes_from_20_000_mutated_payloads() -> None:
    source = random.Random(20241027)
    payloads = [mutant(source) for _ in range(MUTANTS)]
    result = Decoder().decode(raw_batch(payloads))
    assert_taken_apart(raw_batch(payloads), result)
    reasons = {reject.reason for reject in result.rejects}
    assert {"not_json", "not_utf8", "too_deep", "out_of_range", "wrong_type"} <= reasons
    assert len(result.visits.indexes) > MUTANTS // 20


def test_a_payload_decodes_alike_alone_and_among_others() -> None:
    source = random.Random(7)
    payloads = [mutant(source) for _ in range(1000)]
    together = Decoder().decode(raw_batch(payloads)).rejects
    alone = [Decoder().decode(raw_batch([payload])).rejects for payload in payloads]
    expected = [(reject.reason, reject.detail) for (reject,) in filter(None, alone)]
    assert [(reject.reason, reject.detail) for reject in together] == expected


@given(st.lists(st.none() | st.binary(max_size=300), max_size=20))
@settings(max_examples=200, deadline=None)
def test_nothing_escapes_from_arbitrary_bytes(payloads: list[bytes | None]) -> None:
    assert_taken_apart(raw_batch(payloads), Decoder().decode(raw_batch(payloads)))
