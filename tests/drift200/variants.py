"""Other chains than DRIFT-200's: smaller, larger, noisier, and with other things that happen."""

from dataclasses import dataclass, replace

import numpy as np

from stream_hb.feeds.drift.settings import DriftHyper, DriftSettings
from stream_hb.feeds.drift.tick import Kind
from tests.drift200.harness import Run, counts, run, stream_of
from tests.drift200.score import Score, score
from tests.drift200.values import SIGMA, values
from tests.drift200.world import WARM_UP_DAYS, Plan, World, world

DRIFT_200 = Plan()
NULL = replace(DRIFT_200, drifting=0, days=400)

VARIANTS: dict[str, Plan] = {
    "20 visits a day": replace(DRIFT_200, visits_median=20.0, visits_sd=0.3),
    "20 stores": replace(DRIFT_200, stores=20, drifting=2),
    "2,000 stores": replace(DRIFT_200, stores=2_000, drifting=200),
    "gradual over 30 days": replace(DRIFT_200, gradual_days=30),
    "day noise .15": replace(DRIFT_200, noise_sd=0.15),
    "rate of 50 %": replace(DRIFT_200, base=0.5),
    "a store closes": replace(DRIFT_200, closes_on=90),
}


@dataclass(frozen=True)
class Judged:
    """A replicate, and what else its feed said."""

    score: Score
    z_beyond_3: float
    alerts: dict[str, int]
    day: dict[str, int]


def counted(plan: Plan, seed: int, settings: DriftSettings | None = None) -> Judged:
    """Run conversion on one chain."""
    simulated = world(seed, plan)
    return judged(simulated, run(counts(simulated), stream_of(plan.stores), settings))


def valued(seed: int) -> Judged:
    """Run log order values on one chain with bulk orders."""
    simulated = world(seed)
    stream = stream_of(200, Kind.VALUES, "log_order_value")
    hyper = DriftHyper(0.2, sigma2=SIGMA**2)
    return judged(
        simulated, run(values(simulated, seed), stream, DriftSettings.for_values(), hyper)
    )


def judged(simulated: World, done: Run) -> Judged:
    """Score a run."""
    quiet = np.setdiff1d(np.arange(done.z.shape[1]), simulated.drifting)
    z = done.z[WARM_UP_DAYS:, quiet]
    alerts: dict[str, int] = {}
    first: dict[str, int] = {}
    for day, record in done.records:
        if record.startsAt == record.updatedAt and record.status in ("pending", "firing"):
            name = record.labels["alertname"]
            alerts[name] = alerts.get(name, 0) + 1
            first.setdefault(name, day)
    beyond = np.abs(z[np.isfinite(z)]) > 3
    return Judged(score(simulated, done.alerts), float(beyond.mean()), alerts, first)
