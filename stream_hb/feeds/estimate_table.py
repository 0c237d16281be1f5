"""What a pricing service embeds: the newest estimate of every store, and whether to act on it."""

from collections.abc import Iterator

from stream_hb.feeds.advice import DATA_AGE_MS_MAX, Advice, Bound, Current, advise
from stream_hb.feeds.estimate_record import Estimate, check_key, read_estimate, record_key
from stream_hb.feeds.newest import Newest

KEYS_MAX = 1_000_000


class EstimateTable:
    """The newest estimate of every key (chain, store, arm, metric).

    Feed it the records of the estimates topic in any order and as often as you like: it keeps the
    one with the greatest (epoch, seq) of each key. Give it the offsets too: only they say where a
    tombstone (a record without a value: the store has retired) stands among the records of its key.
    Without them a key's records must come in the order of the log, as a Kafka consumer that does
    not go back hands them out (:class:`~stream_hb.feeds.newest.Newest` has the rule).

    It reads no clock and no broker. It is not safe to feed from several threads at once.

    Parameters
    ----------
    keys_max
        Keys that are kept, those of retired stores among them; records of further ones are left
        out and counted. A key takes about two kilobytes.

    Examples
    --------
    >>> from stream_hb import EstimateTable
    >>> table = EstimateTable()
    >>> table.feed(
    ...     b"north|s01||conversion",
    ...     b'{"schema_version": 1, "key": {"chain_id": "north", "store_id": "s01", "arm": null},'
    ...     b' "metric": "conversion", "version": {"epoch": 1, "seq": 7}, "estimate": 0.031,'
    ...     b' "interval": {"lo": 0.027, "hi": 0.035, "level": 0.95}, "n_eff": 8200,'
    ...     b' "shrinkage_weight": 0.2, "hyper": {"version": 3, "fitted_at_ms": 1730000000000},'
    ...     b' "watermark_ms": 1730000000000, "as_of_ms": 1730000600000, "offsets": {},'
    ...     b' "flags": []}',
    ... )
    True
    >>> table.advise("north", "s01", "conversion", bound="lower", now_ms=1730000660000).value
    0.027

    An hour later nobody should act on it any more:

    >>> table.advise("north", "s01", "conversion", bound="lower", now_ms=1730004260000).reason
    'its data are 71 min old, more than 20 min'
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._newest = Newest[Estimate](keys_max)

    def feed(self, key: bytes, value: bytes | None, offset: int | None = None) -> bool:
        """Take one record as it came from the topic.

        Returns
        -------
        bool
            Whether the table says something else of the key now.

        Raises
        ------
        RecordError
            It is not an estimate record of a version that this program reads. The table is
            unchanged and can be fed on.
        """
        if value is None:
            check_key(key)
            return self._newest.delete(key, offset)
        estimate = read_estimate(key, value)
        version = estimate.version.epoch, estimate.version.seq
        return self._newest.put(key, version, estimate, offset)

    def get(
        self, chain: str, store: str, metric: str, *, now_ms: int, arm: str | None = None
    ) -> Current | None:
        """Return the newest estimate and its age at a clock reading; None where there is none."""
        key = record_key(chain, store, metric, arm)
        estimate = self._newest.get(key)
        if estimate is None:
            return None
        age_ms = max(0, now_ms - estimate.as_of_ms)
        return Current(estimate, age_ms, self._newest.missed(key))

    def advise(
        self,
        chain: str,
        store: str,
        metric: str,
        *,
        bound: Bound,
        now_ms: int,
        arm: str | None = None,
        data_age_ms_max: int = DATA_AGE_MS_MAX,
    ) -> Advice:
        """Return the bound to act on, or why not to act.

        Parameters
        ----------
        chain, store, metric, arm
            The key. The values of ``log_order_value`` are logarithms: ``exp`` of them is the
            median of log-normal orders, not their mean.
        bound
            ``lower`` or ``upper`` end of the interval: the one at which acting wrongly costs less.
        now_ms
            Clock reading, epoch milliseconds.
        data_age_ms_max
            Oldest data to act on: staleness of the record and its age together.
        """
        current = self.get(chain, store, metric, now_ms=now_ms, arm=arm)
        if current is None:
            return Advice(None, (self._why_none(record_key(chain, store, metric, arm)),), None)
        return advise(current, bound, data_age_ms_max)

    def _why_none(self, key: bytes) -> str:
        if self._newest.was_deleted(key):
            return f"{key.decode()} was deleted: its store has retired"
        if self.left_out:
            full = f"{self.left_out} records beyond {self._newest.keys_max} keys were left out"
            return f"no estimate of {key.decode()} is kept; {full}"
        return f"no estimate of {key.decode()} has come"

    def __len__(self) -> int:
        """Return the number of keys with an estimate."""
        return sum(1 for _ in self._newest.items())

    def __iter__(self) -> Iterator[Estimate]:
        """Yield the newest estimate of every key."""
        return (estimate for _, estimate in self._newest.items())

    @property
    def missed(self) -> int:
        """Records that are known to be missing: gaps in the seqs of the keys' newest epochs.

        The newest estimates count all the same: a topic is compacted, and a reader that lags may
        find records gone that newer ones have replaced. One that comes late fills its gap.
        """
        return self._newest.missed_total

    @property
    def left_out(self) -> int:
        """Records of keys beyond ``keys_max``."""
        return self._newest.left_out
