"""Does pooling predict better? Fit on the first part of the log, score the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_hb.engine import Engine
from stream_hb.events.batch import RawBatch
from stream_hb.models.registry import FAMILIES
from stream_hb.runtime.sample import Impression, events
from stream_hb.settings import EngineSettings
from stream_hb.statistics.columns import Floats, Statistic
from stream_hb.statistics.counts import Counts

FITTED_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Mean log score of an unseen visit under three estimates of its group's rate, in nats.

    Attributes
    ----------
    raw
        The group's own rate, with half a success added: without it one click at a group with none
        costs infinity.
    pooled
        The chain's rate for every group.
    shrunk
        The posterior mean.
    visits
        Visits scored.
    """

    raw: float
    pooled: float
    shrunk: float
    visits: int


def score(log: Sequence[Impression], method: str = "bayes") -> HeldOut:
    """Fit conversion on the first 70 % of the log and score the rest."""
    cut = int(len(log) * FITTED_SHARE)
    engine = _fitted(log[:cut], method)
    rates = _rates(engine)
    unseen = log[cut:]
    keys = [(impression.campaign, f"item-{impression.item}") for impression in unseen]
    clicks = np.array([impression.click for impression in unseen])
    chosen = np.array([rates[key] if key in rates else rates[key[0], ""] for key in keys])
    scores = np.where(clicks[:, None], np.log(chosen), np.log1p(-chosen)).mean(axis=0)
    raw, pooled, shrunk = scores.tolist()
    return HeldOut(raw, pooled, shrunk, len(unseen))


def _fitted(log: Sequence[Impression], method: str) -> Engine:
    engine = Engine(EngineSettings(methods={"conversion": method}))
    engine.open_shard(0, epoch=1)
    payloads = [event.payload for event in events(log)]
    batch = RawBatch("log", 0, payloads, lambda at: at, len(payloads))
    engine.apply(engine.ingest({0: [batch]}))
    refit = engine.refit(log[-1].event_time_ms, force=True)
    if refit:
        engine.apply(refit)
    return engine


def _rates(engine: Engine) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return (raw, pooled, shrunk) by group; under ("chain", "") for groups never seen."""
    rates: dict[tuple[str, str], tuple[float, float, float]] = {}
    family = FAMILIES["beta-binomial"]
    table = engine.shards[0].table
    for (chain, _), pool in engine.pools.items():
        rows = table.rows_of_chain(chain)
        groups = table.read("conversion", rows)
        mean, _ = family.screen(groups, pool.fit.hyper)
        pooled = float(family.new_group(pool.fit.hyper, engine.settings.level).mean[0])
        three = np.column_stack((_half_added(groups), np.full(len(rows), pooled), mean)).tolist()
        rates.update(
            (table.keys[row], (raw, mid, own))
            for row, (raw, mid, own) in zip(rows.tolist(), three, strict=True)
        )
        rates[chain, ""] = (0.5, pooled, pooled)
    return rates


def _half_added(groups: Statistic) -> Floats:
    assert isinstance(groups, Counts)
    return (groups.successes + 0.5) / (groups.trials + 1)
