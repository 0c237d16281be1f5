"""Snapshots of shards on the local disk: they make a restore short, and are never needed.

What a file says is believed only if it is whole, of this very log, and young enough that the log's
deletions since are still there; anything else is a restore from the log's beginning. A file is of
a shard, not of a worker: workers of a host that share a folder use each other's.
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from stream_hb.errors import SnapshotError
from stream_hb.runtime.log_identity import LogIdentity
from stream_hb.state import pack, unpack
from stream_hb.statelog.snapshot import unpacked

MAGIC = b"streamHB"
DIGEST_BYTES = 16
AGE_MS_MAX = 12 * 60 * 60 * 1000
"""Half of the time that brokers are told to keep deletions for (``delete.retention.ms``)."""

_BODY_AT = len(MAGIC) + DIGEST_BYTES + 4


class UnusableSnapshotError(SnapshotError):
    """A snapshot is not to be believed; ``reason`` is one word of it, for a counter."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that may be believed.

    Attributes
    ----------
    offset
        Where the log goes on.
    values
        For :meth:`stream_hb.statelog.restore.Restoring.resume`.
    """

    offset: int
    values: Mapping[str, Any]


class SnapshotFiles:
    """The snapshots of one log.

    Parameters
    ----------
    folder
        Where they lie.
    log
        Which log.
    clock_ms
        The time of day.
    """

    def __init__(self, folder: Path, log: LogIdentity, clock_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._log = log
        self._clock_ms = clock_ms

    def path(self, number: int) -> Path:
        """Return where a shard's snapshot lies."""
        names = (self._log.group, self._log.topic, str(number))
        plain = "-".join(re.sub(r"[^A-Za-z0-9._-]", "_", name) for name in names)
        return self._folder / f"{plain}.snapshot"

    def write(self, number: int, offset: int, body: bytes) -> None:
        """Put a snapshot in the place of the last one, all of it or nothing.

        Raises
        ------
        OSError
            The disk does not take it; the last one is still there.
        """
        header = {**self._header(number), "offset": offset, "written_at_ms": self._clock_ms()}
        head = pack(header)
        rest = len(head).to_bytes(4, "big") + head
        digest = _digest(rest, body)
        path = self.path(number)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                for part in (MAGIC, digest, rest, body):
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _header(self, number: int) -> dict[str, Any]:
        return {**asdict(self._log), "shard": number}

    def read(self, number: int, low: int, end: int) -> Kept | None:
        """Return a shard's snapshot; None: there is none.

        Parameters
        ----------
        number
            The shard.
        low, end
            The first offset that its log still keeps, and the log's end.

        Raises
        ------
        UnusableSnapshotError
            It must not be believed.
        """
        try:
            raw = self.path(number).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableSnapshotError("unreadable", f"cannot be read: {error}") from error
        header, body = _parts(raw)
        self._check(number, header)
        offset, age_ms = header["offset"], self._clock_ms() - header["written_at_ms"]
        if not low <= offset <= end:
            raise UnusableSnapshotError(
                "not_in_log", f"is of offset {offset}, the log has {low}..{end}"
            )
        if not 0 <= age_ms <= AGE_MS_MAX:
            raise UnusableSnapshotError(
                "too_old", f"is {age_ms / 1000:.0f} s old, at most {AGE_MS_MAX // 1000} s is"
            )
        try:
            return Kept(offset, unpacked(body))
        except SnapshotError as error:
            raise UnusableSnapshotError("version", str(error)) from error

    def _check(self, number: int, header: Mapping[str, Any]) -> None:
        for name, mine in self._header(number).items():
            if header.get(name) != mine:
                raise UnusableSnapshotError(
                    "foreign", f"is of {name} {header.get(name)!r}, not {mine!r}"
                )


def _parts(raw: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return header and body of a file that is whole."""
    if raw[: len(MAGIC)] != MAGIC:
        raise UnusableSnapshotError("foreign", "is no snapshot of this program")
    digest, view = raw[len(MAGIC) : _BODY_AT - 4], memoryview(raw)
    if len(raw) < _BODY_AT or _digest(view[_BODY_AT - 4 :]) != digest:
        raise UnusableSnapshotError("corrupt", "is torn or damaged: its digest is another")
    body_at = _BODY_AT + int.from_bytes(view[_BODY_AT - 4 : _BODY_AT], "big")
    header = unpack(bytes(view[_BODY_AT:body_at]))
    return header, view[body_at:]


def _digest(*parts: bytes | memoryview) -> bytes:
    made = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        made.update(part)
    return made.digest()
