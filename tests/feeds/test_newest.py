"""The newest record of every key: any order, any repetition, tombstones among them."""

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from stream_hb.feeds.newest import Newest, VersionPair


@dataclass(frozen=True)
class Entry:
    """A message of a valid log; without a version it is a tombstone."""

    key: bytes
    offset: int
    version: VersionPair | None

    @property
    def item(self) -> str:
        return f"{self.key.decode()} {self.version}"


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    """A log as workers write it: seqs without a gap in each epoch, tombstones between them."""
    last: dict[bytes, VersionPair] = {}
    log = []
    steps = st.tuples(
        st.sampled_from([b"a", b"b", b"c"]), st.sampled_from("rrrrte"), st.integers(1, 3)
    )
    offset = 0
    for key, kind, skipped in draw(st.lists(steps, max_size=40)):
        offset += skipped  # markers of transactions take offsets too
        if kind == "t":
            log.append(Entry(key, offset, None))
            continue
        epoch, seq = last.get(key, (1, 0))
        last[key] = (epoch + 1, 1) if kind == "e" else (epoch, seq + 1)
        log.append(Entry(key, offset, last[key]))
    return log


def fed(entries: Iterable[Entry], *, with_offsets: bool = True) -> Newest[str]:
    newest = Newest[str](keys_max=10)
    for entry in entries:
        offset = entry.offset if with_offsets else None
        if entry.version is None:
            newest.delete(entry.key, offset)
        else:
            newest.put(entry.key, entry.version, entry.item, offset)
    return newest


def state(newest: Newest[str]) -> tuple[dict[bytes, str], dict[bytes, int]]:
    return dict(newest.items()), {key: newest.missed(key) for key in (b"a", b"b", b"c")}


def last_wins(log: Iterable[Entry]) -> dict[bytes, str]:
    """What a reader of the whole log in its order knows at the end."""
    known: dict[bytes, str] = {}
    for entry in log:
        if entry.version is None:
            known.pop(entry.key, None)
        else:
            known[entry.key] = entry.item
    return known


@given(logs(), st.data())
def test_any_order_and_any_repetition_end_in_the_same_table(
    log: list[Entry], data: st.DataObject
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(log), max_size=20)) if log else []
    shuffled = data.draw(st.permutations([*log, *repeated]))
    assert state(fed(shuffled)) == (last_wins(log), {b"a": 0, b"b": 0, b"c": 0})


@given(logs(), st.data())
def test_what_compaction_left_of_the_log_ends_in_the_same_table(
    log: list[Entry], data: st.DataObject
) -> None:
    """A cleaner may take any message that a later one of its key replaces."""
    last = {entry.key: entry for entry in log}
    kept = [entry for entry in log if last[entry.key] is entry or data.draw(st.booleans())]
    shuffled = data.draw(st.permutations(kept))
    assert dict(fed(shuffled).items()) == last_wins(log)


@given(logs(), st.data())
def test_a_part_of_a_log_misses_the_same_records_in_every_order(
    log: list[Entry], data: st.DataObject
) -> None:
    came = [entry for entry in log if data.draw(st.booleans())]
    assert state(fed(data.draw(st.permutations(came)))) == state(fed(came))


@given(logs(), st.data())
def test_without_offsets_the_order_within_each_key_is_enough(
    log: list[Entry], data: st.DataObject
) -> None:
    queues = {key: [e for e in log if e.key == key] for key in (b"a", b"b", b"c")}
    merged = []
    while any(queues.values()):
        key = data.draw(st.sampled_from([key for key, queue in queues.items() if queue]))
        entry = queues[key].pop(0)
        merged += [entry] * data.draw(st.integers(1, 2))
    assert dict(fed(merged, with_offsets=False).items()) == last_wins(log)


@given(logs(), st.data())
def test_without_offsets_and_tombstones_any_order_will_do(
    log: list[Entry], data: st.DataObject
) -> None:
    records = [entry for entry in log if entry.version is not None]
    shuffled = data.draw(st.permutations(records))
    assert dict(fed(shuffled, with_offsets=False).items()) == last_wins(records)


def test_without_an_offset_a_repeated_tombstone_hides_a_store_until_its_next_record() -> None:
    """What the rule cannot promise: the tombstone may be of before or after the record."""
    newest = Newest[str](keys_max=1)
    newest.delete(b"a")
    newest.put(b"a", (1, 3), "back")
    newest.delete(b"a")
    assert newest.get(b"a") is None
    assert not newest.put(b"a", (1, 3), "back")
    assert newest.put(b"a", (1, 4), "more")


def test_an_old_record_after_a_tombstone_does_not_bring_a_store_back() -> None:
    newest = Newest[str](keys_max=1)
    for version in ((1, 1), (1, 2)):
        newest.put(b"a", version, "gone")
    newest.delete(b"a")
    assert not newest.put(b"a", (1, 1), "gone")
    assert newest.was_deleted(b"a")


def test_a_gap_is_told_by_key_and_heals() -> None:
    newest = Newest[str](keys_max=2)
    for key, seq in ((b"a", 1), (b"a", 4), (b"b", 9)):
        newest.put(key, (1, seq), "x")
    assert (newest.missed(b"a"), newest.missed(b"b"), newest.missed_total) == (2, 0, 2)
    assert not newest.put(b"a", (1, 3), "late")
    assert newest.missed_total == 1


def test_a_new_epoch_misses_nothing_of_the_old_one() -> None:
    newest = Newest[str](keys_max=1)
    for version in ((1, 1), (1, 9), (2, 1), (1, 5)):
        newest.put(b"a", version, "x")
    assert newest.missed_total == 0


def test_keys_beyond_the_limit_are_left_out_and_counted() -> None:
    newest = Newest[str](keys_max=2)
    for number in range(5):
        newest.put(b"%d" % number, (1, 1), "x")
    newest.delete(b"9")
    assert [key for key, _ in newest.items()] == [b"0", b"1"]
    assert newest.left_out == 4
    assert newest.put(b"1", (1, 2), "y")


def test_a_record_is_news_once() -> None:
    newest = Newest[str](keys_max=1)
    assert newest.put(b"a", (1, 1), "x", 0)
    assert not newest.put(b"a", (1, 1), "x", 0)
    assert newest.delete(b"a", 1)
    assert not newest.delete(b"a", 1)
