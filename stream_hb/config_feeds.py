"""The configuration's sections of what looks at ticks: drift and calibration."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stream_hb.config_metrics import Section

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Watchable = Literal["conversion", "order_rate", "log_order_value"]


class Ticks(Section):
    """The ticks that drift and calibration look at, when all sources are beyond them."""

    every: Literal["hour", "day"] = "day"
    """``day``: local days of the stores' time zones. ``hour``: hours of UTC."""


class Drift(Section):
    """Alerts: told when a store leaves its chain, when it is silent, when the chain shifts."""

    enabled: bool = False
    """Whether stores are watched."""

    metrics: tuple[Watchable, ...] | None = None
    """The metrics that are watched; null: all that are kept."""

    false_alerts_per_store_year: Positive = 0.02
    """How many false alerts a store and metric may raise a year: fewer come later."""

    half_life_days: Positive = 90.0
    """How fast a store's own relation to the chain is forgotten ..."""

    lag_days: Annotated[int, Field(ge=1)] = 28
    """... and how long a day waits before it is part of it: a drift must not hide itself."""

    warm_up_days: Annotated[int, Field(ge=2)] = 42
    """How long a store is known before it is watched; more than ``lag_days``."""

    dead_band: NotNegative = 0.05
    """A shift of so much (log-odds, or of a logarithm) is nothing."""

    margin: Positive = 0.2
    """The least shift that somebody would act upon; an alert is critical beyond twice as much."""

    opinions: tuple[Literal["page_hinkley", "adwin"], ...] = ()
    """Detectors of river that say in the evidence what they think; they need river installed."""

    @model_validator(mode="after")
    def _something_is_held_against(self) -> Self:
        if self.warm_up_days <= self.lag_days:
            raise ValueError("warm_up_days should be more than lag_days, or nothing is known")
        return self


class Calibration(Section):
    """Whether the intervals have been keeping their word."""

    enabled: bool = False
    """Whether what was believed is held against what comes."""

    metrics: tuple[Watchable, ...] | None = None
    """The metrics that are; null: all that are kept."""

    compare_half_lives_days: tuple[Positive, ...] = ()
    """Half-lives whose predictions are scored beside those of the metric's own, to be looked at; a
    metric with ``half_life: auto`` compares its ``half_lives_days``, and acts."""

    memory_days: Positive = 30.0
    """Half-life of the scores."""

    false_alarms_per_year: Positive = 0.04
    """How often a pool and metric may be called wrong when it is not."""
