"""Whatever a snapshot's file may have become, it is believed only when it is what was written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stream_hb.errors import SnapshotError
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.runtime.snapshot_files import (
    AGE_MS_MAX,
    MAGIC,
    SnapshotFiles,
    UnusableSnapshotError,
)
from stream_hb.state import pack
from stream_hb.statelog import records, snapshot

LOG = LogIdentity("cluster", "topic-1", "state", "g")
NOW_MS = 1_730_000_000_000
BODY = pack({"version": snapshot.VERSION, "log_version": records.VERSION, "marker": {}})


def files(folder: Path, log: LogIdentity = LOG, now_ms: int = NOW_MS) -> SnapshotFiles:
    return SnapshotFiles(folder, log, lambda: now_ms)


def refused(found: SnapshotFiles, low: int = 0, end: int = 100) -> str:
    with pytest.raises(UnusableSnapshotError) as caught:
        found.read(3, low, end)
    return caught.value.reason


def test_what_was_written_is_read(tmp_path: Path) -> None:
    files(tmp_path).write(3, 42, BODY)
    kept = files(tmp_path).read(3, 42, 42)
    assert kept is not None
    assert (kept.offset, kept.values["marker"]) == (42, {})
    assert [path.name for path in tmp_path.iterdir()] == ["g-state-3.snapshot"]


def test_a_shard_without_a_snapshot_has_none(tmp_path: Path) -> None:
    files(tmp_path).write(2, 42, BODY)
    assert files(tmp_path).read(3, 0, 100) is None


@pytest.mark.parametrize("length", range(0, 300, 13))
def test_a_file_that_was_cut_off_is_not_believed(length: int, tmp_path: Path) -> None:
    files(tmp_path).write(3, 42, BODY)
    path = files(tmp_path).path(3)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(length, len(whole) - 1)])
    assert refused(files(tmp_path)) == ("corrupt" if length >= len(MAGIC) else "foreign")


def test_a_file_with_one_bit_that_is_another_is_not_believed(tmp_path: Path) -> None:
    files(tmp_path).write(3, 42, BODY)
    path = files(tmp_path).path(3)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        assert refused(files(tmp_path)) in ("corrupt", "foreign")


def test_a_torn_file_in_the_room_of_a_whole_one_is_not_believed(tmp_path: Path) -> None:
    """As a disk may leave it after a crash: the right length, and nothing written of its end."""
    files(tmp_path).write(3, 42, BODY)
    path = files(tmp_path).path(3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + bytes(20))
    assert refused(files(tmp_path)) == "corrupt"


def test_a_write_that_fails_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path).write(3, 42, BODY)

    def full(_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        files(tmp_path).write(3, 77, BODY)
    kept = files(tmp_path).read(3, 0, 100)
    assert kept is not None
    assert kept.offset == 42
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("offset", [9, 101])
def test_a_snapshot_of_an_offset_that_the_log_does_not_have_is_not_believed(
    offset: int, tmp_path: Path
) -> None:
    files(tmp_path).write(3, offset, BODY)
    assert refused(files(tmp_path), low=10, end=100) == "not_in_log"


@pytest.mark.parametrize("other", ["cluster_id", "topic_id", "topic", "group"])
def test_a_snapshot_of_another_log_is_not_believed(other: str, tmp_path: Path) -> None:
    files(tmp_path).write(3, 42, BODY)
    changes: dict[str, str] = {other: "another"}
    elsewhere = files(tmp_path, replace(LOG, **changes))
    files(tmp_path).path(3).rename(elsewhere.path(3))
    assert refused(elsewhere) == "foreign"


def test_the_snapshot_of_another_shard_is_not_believed(tmp_path: Path) -> None:
    files(tmp_path).write(2, 42, BODY)
    files(tmp_path).path(2).rename(files(tmp_path).path(3))
    assert refused(files(tmp_path)) == "foreign"


@pytest.mark.parametrize("age_ms", [-1, AGE_MS_MAX + 1])
def test_a_snapshot_from_before_what_deletions_remember_is_not_believed(
    age_ms: int, tmp_path: Path
) -> None:
    files(tmp_path, now_ms=NOW_MS - age_ms).write(3, 42, BODY)
    assert refused(files(tmp_path)) == "too_old"


@pytest.mark.parametrize("version", ["version", "log_version"])
def test_a_snapshot_of_an_older_program_is_not_believed(version: str, tmp_path: Path) -> None:
    values = {"version": snapshot.VERSION, "log_version": records.VERSION, version: 0}
    files(tmp_path).write(3, 42, pack(values))
    assert refused(files(tmp_path)) == "version"


@pytest.mark.parametrize(
    "content",
    [lambda: b"", lambda: b"a text", lambda: bytes(4096), lambda: MAGIC, lambda: pack({"a": 1})],
)
def test_any_other_file_is_not_believed(content: Callable[[], bytes], tmp_path: Path) -> None:
    files(tmp_path).path(3).write_bytes(content())
    assert refused(files(tmp_path)) in ("corrupt", "foreign")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    files(tmp_path).path(3).mkdir()
    assert refused(files(tmp_path)) == "unreadable"


def test_an_unusable_snapshot_is_no_reason_to_end() -> None:
    assert issubclass(UnusableSnapshotError, SnapshotError)
