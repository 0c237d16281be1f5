"""What the drift feed is told; the defaults are those that DRIFT-200 is measured with."""

from dataclasses import dataclass
from math import log

from stream_hb.errors import UsageError

DAYS_A_YEAR = 365.25
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """Settings of one chain's drift feed.

    Attributes
    ----------
    false_alerts_per_store_year
        The number that an operator wants, λ. A Shiryaev-Roberts statistic reaches a threshold A at
        most once in A ticks of a store that has not left its dead band (on average), so that
        A = ticks a year / λ keeps the promise; :attr:`log_threshold` is ln A.
    peers_max
        With k stores over the threshold A/k all k fire (e-detectors under Benjamini-Hochberg), k no
        more than this: λ holds for a chain in which stores fire one at a time, and however many
        others have drifted, a store's false alerts stay below ``peers_max`` times λ.
    ticks_a_day
        1 where a tick is a local day, 24 where it is a local hour.
    half_life_days, lag_days
        Of the baseline: how fast it forgets, and how long a day waits before it enters, so that a
        drift does not enter the baseline that it is held against.
    warm_up_days
        From a store's first tick to its first test. The days beyond the lag are its baseline.
    dead_band
        Shift on the link scale (log-odds; log rate; log value) that is nothing to be told of.
    baseline_share
        Of the variance of a store's baseline, how much widens its dead band.
    shifts
        Sizes of shift that are looked for, each in both directions.
    noise_sd
        What a store's day deviates by beyond sampling, link scale, before it is known from data.
    cap_excess
        How far beyond A the statistic may rise: what it has more, a store that has come back would
        have to lose before its alert can be resolved.
    margin
        Least shift that somebody would act upon; an alert is critical where twice it is exceeded.
    recent_half_life_ticks
        Of the current offset that an alert is resolved by.
    clear_ratio
        An alert holds until the statistic is below this share of the threshold.
    keep_firing_ticks, level_for_ticks
        How long the all-clear has to hold, and how long a level has to hold before it fires.
    renotify_ms
        A firing alert is written again after so long.
    accept_half_lives
        After so many half-lives an open alert's level is taken for the store's own.
    shift_share, shift_stores_min
        From this share of the stores (and number) in one direction on it is the chain that shifts.
    shift_evidence
        A store counts as one of them when its statistic is this large, and as many times that of
        the other direction. Where nothing drifts, one store in thirty is there at the most; waiting
        for A of each would tell of dozens of stores before the chain.
    level_margin
        Distance from the chain that a level alert tells; None: two standard deviations of stores.
    level_fdr
        Share of stores told of that may lie within the margin.
    level_half_life_days
        Of the level that is compared with the chain's.
    silent_log_probability
        A store without a visit is told of where that was less probable than this (its logarithm).
    jump_days_max
        A clock that runs ahead further is believed when the next tick confirms it.
    variance_df
        Prior degrees of freedom of a store's variance of log values about the chain's.
    value_df
        Degrees of freedom of the predictive distribution of mean log values.
    winsor_sd
        Mean log values further off than so many standard deviations are drawn in to there.
    opinions
        Second opinions on the same innovations in the evidence: ``page_hinkley``, ``adwin``.
    opinion_ticks
        How many of the last innovations they are given.
    """

    false_alerts_per_store_year: float = 0.02
    peers_max: int = 10
    ticks_a_day: int = 1
    half_life_days: float = 90.0
    lag_days: int = 28
    warm_up_days: int = 42
    dead_band: float = 0.05
    baseline_share: float = 1.0
    shifts: tuple[float, ...] = (0.15, 0.3, 0.6, 1.0)
    noise_sd: float = 0.07
    cap_excess: float = 1e3
    margin: float = 0.2
    recent_half_life_ticks: float = 7.0
    clear_ratio: float = 0.1
    keep_firing_ticks: int = 3
    level_for_ticks: int = 2
    renotify_ms: int = 4 * HOUR_MS
    accept_half_lives: float = 2.0
    shift_share: float = 0.3
    shift_evidence: float = 20.0
    shift_stores_min: int = 5
    level_margin: float | None = None
    level_fdr: float = 0.05
    level_half_life_days: float = 90.0
    silent_log_probability: float = log(1e-6)
    jump_days_max: int = 60
    variance_df: float = 20.0
    value_df: float = 30.0
    winsor_sd: float = 4.0
    opinions: tuple[str, ...] = ()
    opinion_ticks: int = 90

    @classmethod
    def for_values(cls) -> "DriftSettings":
        """Return the defaults for log values: they move less than log-odds do."""
        return cls(dead_band=0.03, shifts=(0.1, 0.2, 0.4, 0.8))

    def __post_init__(self) -> None:
        if not self.false_alerts_per_store_year > 0:
            raise UsageError(
                f"false_alerts_per_store_year must be above 0, "
                f"got {self.false_alerts_per_store_year}: no test is never wrong"
            )
        if min(self.shifts) <= self.dead_band:
            raise UsageError(
                f"every shift looked for must lie beyond the dead band {self.dead_band}, "
                f"got {self.shifts}"
            )
        if self.warm_up_days <= self.lag_days:
            raise UsageError(
                f"warm_up_days must exceed lag_days, got {self.warm_up_days} and {self.lag_days}: "
                "a store would be tested against an empty baseline"
            )

    @property
    def tick_ms(self) -> int:
        """Nominal length of a tick."""
        return DAY_MS // self.ticks_a_day

    @property
    def log_threshold(self) -> float:
        """Logarithm of the threshold A of a single store.

        >>> from math import exp
        >>> round(exp(DriftSettings(false_alerts_per_store_year=0.02).log_threshold))
        18262
        """
        return log(DAYS_A_YEAR * self.ticks_a_day / self.false_alerts_per_store_year)

    @property
    def log_cap(self) -> float:
        """Logarithm of the largest value of the statistic."""
        return self.log_threshold + log(self.cap_excess)

    @property
    def accept_ticks(self) -> int:
        """After how many ticks an open alert's level is accepted."""
        return round(self.accept_half_lives * self.half_life_days * self.ticks_a_day)

    @property
    def baseline_ticks_min(self) -> int:
        """How many ticks a baseline must hold before its store is tested."""
        return (self.warm_up_days - self.lag_days) * self.ticks_a_day


@dataclass(frozen=True, slots=True)
class DriftHyper:
    """What a fit of the pool knows of its stores.

    Attributes
    ----------
    spread
        Standard deviation of the stores about their chain, link scale.
    sigma2
        Variance of the log of one value within a store; read for values only.
    version
        The fit's version, for the record.
    """

    spread: float
    sigma2: float = 1.0
    version: int = 0

    @property
    def prior_size(self) -> float:
        """Information about a store's relation that the pool alone gives: 1/spread²."""
        return 1 / min(max(self.spread, 1e-3), 10.0) ** 2
