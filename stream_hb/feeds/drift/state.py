"""Everything that one chain's drift feed remembers between two ticks of a metric."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from stream_hb.errors import SnapshotError
from stream_hb.feeds.drift.alerts import ALERTS
from stream_hb.feeds.drift.baseline import Baseline, Pane, Pending
from stream_hb.feeds.drift.columns import Bools, Int64s, StoreColumns
from stream_hb.feeds.drift.detector import Evidence
from stream_hb.feeds.drift.lifecycle import Episodes
from stream_hb.feeds.drift.noise import Noise
from stream_hb.feeds.drift.settings import DriftSettings
from stream_hb.feeds.drift.silence import Habit, Silence
from stream_hb.statistics.columns import Floats

NEVER = -1


@dataclass(frozen=True, slots=True)
class Known(StoreColumns):
    """What is known of single stores besides.

    Attributes
    ----------
    first_tick
        Of the first usable row; :data:`NEVER` before.
    direct
        Its days enter the baseline at once: its level was accepted, and it has too few days yet.
    drifted
        It fires, or has an open episode: it neither makes the chain's offset nor its own baseline.
    retired
        Closed for good.
    score, information
        Of its recent ticks, decayed: their ratio is the current offset.
    level_seen
        Its level has been judged before.
    level_above, level_below
        It was beyond the margin when it was first judged (or accepted there), and has not come
        back since: no news.
    """

    first_tick: Int64s
    direct: Bools
    drifted: Bools
    retired: Bools
    score: Floats
    information: Floats
    level_seen: Bools
    level_above: Bools
    level_below: Bools

    @classmethod
    def of_new(cls, stores: int) -> Self:
        """Return stores that were never seen."""
        no = (np.zeros(stores, bool) for _ in range(6))
        direct, drifted, retired, seen, above, below = no
        first = np.full(stores, NEVER, np.int64)
        sums = np.zeros(stores), np.zeros(stores)
        return cls(first, direct, drifted, retired, *sums, seen, above, below)


@dataclass(frozen=True, slots=True)
class DriftState:
    """The memory of one chain and metric; arrays are never written to once they are in it.

    Attributes
    ----------
    tick
        Index of the last tick taken; :data:`NEVER` before the first.
    suspected
        Index of a tick that ran far ahead and was set aside until the next one confirms it;
        :data:`NEVER` where there is none.
    known
        Of single stores.
    baseline, pending
        What stores are held against, and the days that wait to enter it.
    level
        The same without a lag: where stores are.
    evidence
        Of the detector.
    noise
        What stores deviate by from day to day.
    silence
        Of visits; empty unless the metric counts successes of visits.
    episodes
        One for each of :data:`stream_hb.feeds.drift.alerts.ALERTS`.
    innovations
        The last ticks' standardised innovations, oldest first, for second opinions; NaN where a
        store had none.
    """

    tick: int
    suspected: int
    known: Known
    baseline: Baseline
    pending: Pending
    level: Baseline
    evidence: Evidence
    noise: Noise
    silence: Silence
    episodes: tuple[Episodes, ...]
    innovations: tuple[Floats, ...]

    @classmethod
    def of_new(cls, settings: DriftSettings, stores: int = 0) -> Self:
        """Return the memory before the first tick."""
        episodes = tuple(Episodes.of_new(1 if alert.of_chain else stores) for alert in ALERTS)
        return cls(
            NEVER,
            NEVER,
            Known.of_new(stores),
            Baseline.of_new(stores),
            (),
            Baseline.of_new(stores),
            Evidence.of_new(stores, 2 * len(settings.shifts)),
            Noise(),
            Silence.of_new(stores, 7 * settings.ticks_a_day),
            episodes,
            (),
        )

    @property
    def stores(self) -> int:
        """How many stores there are places for."""
        return len(self.known)

    def grown(self, stores: int) -> Self:
        """Return the same with room for so many stores."""
        if stores <= self.stores:
            return self
        episodes = tuple(
            one if alert.of_chain else one.grown(stores)
            for alert, one in zip(ALERTS, self.episodes, strict=True)
        )
        return replace(
            self,
            known=self.known.grown(stores),
            baseline=self.baseline.grown(stores),
            level=self.level.grown(stores),
            evidence=self.evidence.grown(stores),
            silence=self.silence.grown(stores),
            episodes=episodes,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return plain values and copies of the arrays."""
        silence = self.silence
        return {
            "tick": self.tick,
            "suspected": self.suspected,
            "known": self.known.snapshot(),
            "baseline": self.baseline.snapshot(),
            "pending": [{"day": pane.day, "sums": pane.sums.snapshot()} for pane in self.pending],
            "level": self.level.snapshot(),
            "evidence": self.evidence.snapshot(),
            "noise": {"excess": self.noise.excess, "weight": self.noise.weight},
            "silence": {
                "baseline": silence.baseline.snapshot(),
                "habits": [habit.snapshot() for habit in silence.habits],
                "forecast": silence.forecast.copy(),
                "variance": silence.variance.copy(),
                "accepted": silence.accepted.copy(),
            },
            "episodes": [one.snapshot() for one in self.episodes],
            "innovations": [column.copy() for column in self.innovations],
        }

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Self:
        """Undo :meth:`snapshot`."""
        if len(values["episodes"]) != len(ALERTS):
            raise SnapshotError(
                f"a drift feed has episodes of {len(ALERTS)} alerts, got {len(values['episodes'])}"
            )
        silence = values["silence"]
        return cls(
            values["tick"],
            values["suspected"],
            Known.restored(values["known"]),
            Baseline.restored(values["baseline"]),
            tuple(Pane(p["day"], Baseline.restored(p["sums"])) for p in values["pending"]),
            Baseline.restored(values["level"]),
            Evidence.restored(values["evidence"]),
            Noise(**values["noise"]),
            Silence(
                Baseline.restored(silence["baseline"]),
                tuple(Habit.restored(habit) for habit in silence["habits"]),
                silence["forecast"].copy(),
                silence["variance"].copy(),
                silence.get("accepted", np.zeros(len(silence["variance"]), bool)).copy(),
            ),
            tuple(Episodes.restored(one) for one in values["episodes"]),
            tuple(column.copy() for column in values["innovations"]),
        )
