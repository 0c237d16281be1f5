"""The configuration's metrics: which are estimated, by which model, under which hyperpriors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from stream_hb.errors import UsageError
from stream_hb.events.clock import DAY_MS
from stream_hb.models.hyperprior import location_named, spread_named
from stream_hb.settings import Input, ModelSettings
from stream_hb.statistics.forgetting import Forgetting, HalfLife, Window
from stream_hb.statistics.half_lives import HalfLives

CountMethod = Literal["moments", "ml", "bayes"]
NormalMethod = Literal["moments", "dl", "pm", "ml", "reml", "bayes"]


def _spread(text: str) -> str:
    with _as_value_error():
        spread_named(text)
    return text


def _spread_or_bda(text: str) -> str:
    return text if text == "bda" else _spread(text)


def _location(text: str) -> str:
    with _as_value_error():
        location_named(text)
    return text


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn our error into the one that a validator may raise."""
    try:
        yield
    except UsageError as error:
        raise ValueError(str(error)) from None


def _on(value: Any) -> Any:
    """Take a metric's mapping for true and null for false, as with the other metrics."""
    return value == {} if value is None or value == {} else value


ChainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Spread = Annotated[str, AfterValidator(_spread)]
SpreadOrBda = Annotated[str, AfterValidator(_spread_or_bda)]
Location = Annotated[str, AfterValidator(_location)]
ColumnNames = tuple[Annotated[str, StringConstraints(min_length=1)], ...]


class ProblemsError(ValueError):
    """Everything that is wrong with a section, each with its path from there on."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Section(BaseModel):
    """A part of the configuration: every key known, nothing to be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Metric(Section):
    """What the models of all metrics can be told."""

    location: Location | None = None
    """Hyperprior of the pool's mean, on the logit, log or plain scale: ``flat`` or ``normal:S``
    about the pooled mean. null: ``normal:2.5`` for rates, ``flat`` for means. Read by ``bayes``."""

    covariates: ColumnNames = ()
    """Columns of the stores table that shift a store's prior mean."""

    nested: Literal["region"] | None = None
    """``region``: a store is pooled with its region, the regions with the chain."""

    input: Literal["events", "totals"] = "events"
    """Whether the metric reads single events (visits, purchases, refunds), or totals that somebody
    else added up; the other kind is rejected where no metric reads it (``unexpected_input``)."""

    input_except_chains: tuple[ChainName, ...] = ()
    """Chains of which the metric reads the other kind."""

    half_life_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Event time after which an event counts half (forward decay). null: events never fade."""

    half_life: Literal["auto"] | None = None
    """``auto``: every half-life of ``half_lives_days`` is kept, and the one whose predictions have
    scored best is served; needs ``calibration.enabled``. null: half_life_seconds says it."""

    half_lives_days: Annotated[
        tuple[Annotated[float, Field(ge=1 / 24, le=3650, allow_inf_nan=False)], ...],
        Field(min_length=2, max_length=4),
    ] = (90.0, 30.0, 7.0)
    """Those that ``auto`` chooses from, two to four; the first is served until another is better.
    Each costs the memory of a metric."""

    window_hours: Annotated[int, Field(ge=1, le=744)] | None = None
    """Only the last so many hours of event time count, the one under way among them: a hard edge
    beside decay. null: no window."""

    @model_validator(mode="after")
    def _is_one_model(self) -> Self:
        if self.covariates and self.nested:
            raise ValueError("covariates and nested cannot be combined yet: choose one")
        twice = sorted({name for name in self.covariates if self.covariates.count(name) > 1})
        if twice:
            raise ValueError(f"covariates names {twice[0]!r} twice")
        if self.half_life_seconds and self.window_hours:
            raise ValueError("half_life_seconds and window_hours cannot be combined: choose one")
        if self.half_life and (self.half_life_seconds or self.window_hours):
            raise ValueError("half_life auto stands alone: no half_life_seconds or window_hours")
        if len(set(self.half_lives_days)) < len(self.half_lives_days):
            raise ValueError("half_lives_days names one twice")
        if getattr(self, "prior", None) == "bda" and self.location:
            raise ValueError("prior bda is of both hyperparameters: leave location out")
        return self


class RateMetric(_Metric):
    """A pool of conversion rates (Beta-Binomial)."""

    method: CountMethod = "bayes"
    """How the hyperparameters are fitted: ``moments``, ``ml``, or integrated over: ``bayes``."""

    prior: SpreadOrBda | None = None
    """Hyperprior of how much stores differ (sd of the rates' logits): ``half-normal:S``,
    ``half-cauchy:S``, ``uniform:S``, or ``bda``, (α + β)^(-5/2). null: ``half-normal:1``. Read by
    ``bayes``."""


class CountMetric(_Metric):
    """A pool of rates per exposure (Gamma-Poisson)."""

    method: CountMethod = "bayes"
    """How the hyperparameters are fitted: ``moments``, ``ml``, or integrated over: ``bayes``."""

    prior: Spread | None = None
    """Hyperprior of how much stores differ (coefficient of variation of the rates):
    ``half-normal:S``, ``half-cauchy:S`` or ``uniform:S``. null: ``half-normal:1``. Read by
    ``bayes``."""


class NormalMetric(_Metric):
    """A pool of means (Normal-Normal)."""

    method: NormalMethod = "bayes"
    """How the hyperparameters are fitted: ``moments``, ``dl``, ``pm``, ``ml``, ``reml``, or
    integrated over: ``bayes``."""

    prior: Spread | None = None
    """Hyperprior of how much stores differ (sd of the means): ``half-normal:S``, ``half-cauchy:S``
    or ``uniform:S``. null: half-normal with twice the median standard error. Read by ``bayes``."""

    cap_minor: Annotated[int, Field(ge=1)] | None = None
    """Order values above this many minor units count as this many; how many did is reported.
    null: no cap."""

    variance: Literal["common", "moderated", "separate"] = "common"
    """Variance of the orders within a store: ``common`` to all, each store's own drawn to the
    others' (``moderated``), or its own alone (``separate``)."""


class Metrics(Section):
    """Which metrics are estimated; null leaves one out."""

    conversion: RateMetric | None = RateMetric()
    """Purchasing visits per visit (Beta-Binomial)."""

    order_rate: CountMetric | None = CountMetric()
    """Orders per visit (Gamma-Poisson)."""

    log_order_value: NormalMetric | None = NormalMetric()
    """Mean log order value (Normal-Normal)."""

    revenue_per_visit: Annotated[bool, BeforeValidator(_on)] = False
    """Conversion times order value, in minor units of currency; needs these two metrics."""

    def kept(self) -> dict[str, str]:
        """Return the method of every metric that is estimated.

        >>> Metrics(order_rate=None).kept()
        {'conversion': 'bayes', 'log_order_value': 'bayes'}
        """
        return {name: metric.method for name, metric in self._fitted()}

    def models(self) -> dict[str, ModelSettings]:
        """Return what the model of every metric that is estimated is told besides its method."""
        return {
            name: ModelSettings(
                metric.prior,
                metric.location,
                getattr(metric, "variance", "common"),
                metric.covariates,
                metric.nested is not None,
            )
            for name, metric in self._fitted()
        }

    def forgetting(self) -> dict[str, Forgetting]:
        """Return how the metrics forget that do.

        >>> Metrics(conversion=RateMetric(window_hours=24)).forgetting()
        {'conversion': Window(panes=24, pane_ms=3600000)}
        """
        rules: dict[str, Forgetting] = {}
        for name, metric in self._fitted():
            if metric.half_life:
                rules[name] = HalfLives.of(round(h * DAY_MS) for h in metric.half_lives_days)
            if metric.half_life_seconds:
                rules[name] = HalfLife(round(metric.half_life_seconds * 1000))
            if metric.window_hours:
                rules[name] = Window(metric.window_hours)
        return rules

    def choosing(self) -> list[str]:
        """Return the metrics whose half-life is chosen.

        >>> Metrics(conversion=RateMetric(half_life="auto")).choosing()
        ['conversion']
        """
        return [name for name, metric in self._fitted() if metric.half_life]

    def inputs(self) -> dict[str, Input]:
        """Return what every metric that is estimated reads."""
        return {
            name: Input(metric.input == "totals", frozenset(metric.input_except_chains))
            for name, metric in self._fitted()
        }

    def composites(self) -> tuple[str, ...]:
        """Return the metrics that are made of others."""
        return ("revenue_per_visit",) if self.revenue_per_visit else ()

    def _fitted(self) -> Iterator[tuple[str, "RateMetric | CountMetric | NormalMetric"]]:
        return ((name, metric) for name, metric in self if isinstance(metric, _Metric))  # type: ignore[misc]

    @model_validator(mode="after")
    def _one_is_kept(self) -> Self:
        if not self.kept():
            raise ValueError("at least one metric has to be kept")
        if self.revenue_per_visit and not {"conversion", "log_order_value"} <= self.kept().keys():
            raise ValueError("revenue_per_visit needs conversion and log_order_value")
        return self
