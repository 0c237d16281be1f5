"""The calibration feed: what was believed of every store before a tick, held against the tick.

Beliefs are made from the ticks alone, so a replay has the same: each store's statistics are summed
tick by tick, for each half-life that is compared, and looked at under the pool's fit of the moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from stream_hb.chain_ticks import ChainTick
from stream_hb.description import described
from stream_hb.feeds.calibration import feed
from stream_hb.feeds.calibration.alarm import AlarmRule
from stream_hb.feeds.calibration.feed import CalibrationRule, CalibrationState, Tick
from stream_hb.feeds.calibration.predictive import Belief
from stream_hb.feeds.calibration.record import out_record
from stream_hb.feeds.estimates import OutRecord
from stream_hb.metrics import METRICS
from stream_hb.pool_fit import Pool, PoolFit
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Floats, Rows, Statistic
from stream_hb.statistics.forgetting import Forgetting, HalfLife, Int64s, Never
from stream_hb.tick_feeds import TickMoment

KIND_OF = {name: metric.statistic for name, metric in METRICS.items()}


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How beliefs are held against what comes.

    Attributes
    ----------
    metrics
        Those whose beliefs are.
    half_lives_ms
        By metric, the half-lives that are compared; the first is in use.
    tick_ms
        Length of a tick.
    memory_ms, choice_memory_ms
        Half-lives of the scores that are told, and of those that half-lives are compared by.
    false_alarms_per_year
        Most false alarms of a pool and metric.
    choosing
        The metrics whose estimates are served by the half-life that is in use, so that a better one
        is taken into use (``half_life: auto``).
    """

    metrics: tuple[str, ...]
    half_lives_ms: Mapping[str, tuple[int | None, ...]]
    tick_ms: int
    memory_ms: int
    choice_memory_ms: int
    false_alarms_per_year: float = 0.04
    choosing: frozenset[str] = frozenset()

    def rule(self, pool: Pool, epoch: int) -> CalibrationRule:
        """Return what is configured of a pool."""
        return CalibrationRule(
            *pool,
            epoch,
            self.half_lives_ms[pool[1]],
            self.memory_ms,
            self.choice_memory_ms,
            AlarmRule.yearly(self.false_alarms_per_year, self.tick_ms),
            pool[1] in self.choosing,
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the stores of a pool did in all ticks so far, as one half-life has it.

    Attributes
    ----------
    rule
        How they are forgotten.
    mark
        How far that has got.
    kept
        The statistics, a row a store.
    """

    rule: Forgetting
    mark: int
    kept: Statistic

    @classmethod
    def of_new(cls, metric: str, half_life_ms: int | None) -> Self:
        """Return those of no stores."""
        rule: Forgetting = Never() if half_life_ms is None else HalfLife(half_life_ms)
        return cls(rule, 0, rule.zeros(KIND_OF[metric], 0))

    def grown(self, metric: str, size: int) -> Self:
        """Return these with room for so many stores."""
        more = size - len(self.kept)
        if not more:
            return self
        return replace(self, kept=self.kept.concatenate(self.rule.zeros(KIND_OF[metric], more)))

    def after(self, rows: Rows, increment: Statistic, at_ms: int) -> Self:
        """Return these with what stores did about a time."""
        mark = self.rule.mark(self.mark, at_ms)
        kept = self.rule.advanced(self.kept, self.mark, mark)
        whole = type(increment).zeros(len(kept)).columns()
        for name, column in increment.columns().items():
            whole[name][rows] = column
        weights = self.rule.cells(rows, np.full(len(rows), at_ms), mark).weights
        weight = float(weights[0]) if weights is not None and len(weights) else 1.0
        return replace(self, mark=mark, kept=kept.merge(_weighed(type(kept), whole, weight)))


def _weighed(kind: type[Statistic], plain: Mapping[str, Floats], weight: float) -> Statistic:
    """Return observations that all weigh the same, as a statistic keeps them."""
    scaled = [column if name == "mean" else weight * column for name, column in plain.items()]
    size = next(column for name, column in plain.items() if name in _SIZES)
    columns = [*scaled, weight**2 * size]
    return kind(*columns[: len(kind.__dataclass_fields__)])  # type: ignore[attr-defined]


_SIZES = frozenset({"trials", "exposure", "weight"})


@dataclass(frozen=True, slots=True)
class _Believed:
    """One chain and metric.

    Attributes
    ----------
    stores
        Ids by row.
    last_ms
        Middle of the last tick in which each store did something.
    sums
        For each half-life.
    state
        What the calibration feed remembers.
    """

    stores: tuple[str, ...]
    last_ms: Int64s
    sums: tuple[_Sums, ...]
    state: CalibrationState

    def grown(self, metric: str, more: tuple[str, ...]) -> "_Believed":
        """Return it with further stores."""
        stores = self.stores + more
        return _Believed(
            stores,
            np.append(self.last_ms, np.zeros(len(more), np.int64)),
            tuple(sums.grown(metric, len(stores)) for sums in self.sums),
            self.state,
        )


@dataclass(frozen=True, slots=True)
class CalibrationFeed:
    """See :class:`stream_hb.tick_feeds.TickFeed`.

    Attributes
    ----------
    settings
        Of the feed.
    engine
        The engine's: models that need the table of stores read it.
    pools
        What is remembered, by chain and metric.
    """

    settings: CalibrationSettings
    engine: EngineSettings
    pools: Mapping[Pool, _Believed] = field(default_factory=lambda: MappingProxyType({}))

    def step(self, tick: ChainTick, moment: TickMoment) -> tuple[Self, list[OutRecord]]:
        """Look at a closed tick of a chain."""
        pools, records = dict(self.pools), []
        for metric in self.settings.metrics:
            pool = tick.chain, metric
            believed = self._known(pool, tick, moment.epoch)
            pools[pool], told = self._stepped(pool, believed, tick, moment)
            records += told
        return replace(self, pools=pools), records

    def _known(self, pool: Pool, tick: ChainTick, epoch: int) -> _Believed:
        metric = pool[1]
        known = self.pools.get(pool)
        if known is None:
            rule = self.settings.rule(pool, epoch)
            sums = tuple(_Sums.of_new(metric, half_life) for half_life in rule.half_lives_ms)
            known = _Believed((), np.empty(0, np.int64), sums, CalibrationState.new(rule))
        elif known.state.rule.epoch < epoch:  # the memory may have been of less than was written
            rule = replace(known.state.rule, epoch=epoch)
            known = replace(known, state=replace(known.state, rule=rule))
        return known.grown(metric, tuple(sorted(set(tick.stores) - set(known.stores))))

    def _stepped(
        self, pool: Pool, known: _Believed, tick: ChainTick, moment: TickMoment
    ) -> tuple[_Believed, list[OutRecord]]:
        row_of = {store: row for row, store in enumerate(known.stores)}
        rows = np.array([row_of[store] for store in tick.stores], np.intp)
        increment = tick.statistics[pool[1]]
        start_ms = tick.end_ms - self.settings.tick_ms
        middle_ms = start_ms + self.settings.tick_ms // 2
        shown = Tick(
            tick.end_ms,
            moment.now_ms,
            moment.watermark_ms,
            tick.stores,
            increment,
            self._beliefs(pool, known, rows, start_ms, moment.pools.get(pool)),
        )
        state, records = feed.step(known.state, shown)
        last_ms = known.last_ms.copy()
        last_ms[rows] = middle_ms
        sums = tuple(sums.after(rows, increment, middle_ms) for sums in known.sums)
        after = _Believed(known.stores, last_ms, sums, state)
        return after, [out_record(record) for record in records]

    def _beliefs(
        self, pool: Pool, known: _Believed, rows: Rows, start_ms: int, fit: PoolFit | None
    ) -> list[Belief]:
        if fit is None:
            return []
        silent_ms = np.where(known.last_ms[rows] > 0, start_ms - known.last_ms[rows], 0)
        half_lives_ms = self.settings.half_lives_ms[pool[1]]
        return [
            Belief(fit.family, fit.fit.hyper, self._seen(pool, known, rows, sums, silent_ms), ms)
            for sums, ms in zip(known.sums, half_lives_ms, strict=True)
        ]

    def _seen(
        self, pool: Pool, known: _Believed, rows: Rows, sums: _Sums, silent_ms: Int64s
    ) -> Any:
        chain, metric = pool
        groups = METRICS[metric].seen(sums.kept.take(rows), sums.rule.age(silent_ms))
        if self.engine.stores is None:
            return groups
        places = self.engine.stores.places((chain, known.stores[row]) for row in rows.tolist())
        return described(groups, chain, metric, places, self.engine)

    def half_lives_ms(self) -> dict[Pool, int | None]:
        """Return the half-life in use of every pool whose estimates are served by it."""
        return {
            pool: known.state.rule.half_lives_ms[known.state.in_use]
            for pool, known in self.pools.items()
            if pool[1] in self.settings.choosing
        }

    def states(self) -> dict[Pool, CalibrationState]:
        """Return what is known of every pool."""
        return {pool: known.state for pool, known in self.pools.items()}

    def snapshot(self) -> Any:
        """Return what is remembered as plain values and arrays."""
        return [
            [
                *pool,
                list(known.stores),
                known.last_ms,
                [
                    [sums.mark, dict(sums.kept.columns()), half_life_ms]
                    for sums, half_life_ms in zip(
                        known.sums, known.state.rule.half_lives_ms, strict=True
                    )
                ],
                known.state.rule.epoch,
                known.state.snapshot(),
            ]
            for pool, known in self.pools.items()
        ]

    def restored(self, state: Any) -> Self:
        """Return the feed that remembers a :meth:`snapshot`.

        Where other half-lives were compared than are now, the pool begins anew.
        """
        pools = {}
        for chain, metric, stores, last_ms, sums, epoch, told in state:
            pool = chain, metric
            if metric not in self.settings.metrics:
                continue
            rule = self.settings.rule(pool, epoch)
            if tuple(half_life_ms for *_, half_life_ms in sums) != rule.half_lives_ms:
                continue
            new = [_Sums.of_new(metric, ms) for ms in rule.half_lives_ms]
            kept = tuple(
                replace(one, mark=mark, kept=type(one.kept)(**columns))
                for one, (mark, columns, _) in zip(new, sums, strict=True)
            )
            state_ = CalibrationState.restore(rule, told)
            pools[pool] = _Believed(tuple(stores), last_ms, kept, state_)
        return replace(self, pools=pools)
