"""The configuration's section of experiments: what each declares before it starts."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from stream_hb.config_metrics import ProblemsError, Section
from stream_hb.events.calendar import DAY_MS, HOUR_MS
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment, Guardrail, problems
from stream_hb.feeds.experiments.evalues import Tuning as MixtureTuning
from stream_hb.feeds.experiments.lift import LiftPrior
from stream_hb.settings import Input

Number = Annotated[float, Field(allow_inf_nan=False)]

_NAMES = {
    "experiment_id": "id",
    "start_ms": "start",
    "attribution_window_ms": "attribution_window_hours",
    "minimum_runtime_ms": "minimum_runtime_days",
}
"""Keys of the configuration whose names are others than the declaration's."""


def _epoch_ms(value: Any) -> Any:
    """Read a time: milliseconds since 1970, or ISO 8601 with its time zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r:.40} is no time like 2026-11-01T00:00:00Z") from None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return round(value.timestamp() * 1000)
    if isinstance(value, date):
        raise ValueError(f"{value.isoformat()} has no time zone: say 2026-11-01T00:00:00Z")
    return value


class Arm(Section):
    """An arm of an experiment."""

    name: str
    """Its name in the events."""

    weight: Number
    """Its share of the units, in [0, 1]; 0: switched off."""


class Rail(Section):
    """A metric that must not fall."""

    metric: str
    """Which."""

    margin: Number
    """By which share of the control's it may fall at most: 0.02 is two percent."""


class Tuning(Section):
    """The mixture of the e-processes: frozen when the experiment starts."""

    units: Number = 5_000.0
    """Units of both arms together at which the confidence sequence is to be narrowest."""

    tau: Number | None = None
    """In place of it: the spread of relative lifts in experiments of the past."""


class Prior(Section):
    """What is believed of a relative lift beforehand."""

    mean: Number = 0.0
    """Its mean."""

    sd: Number = 0.3
    """Its standard deviation."""


class Declared(Section):
    """An experiment as it is declared before it starts."""

    id: str
    """Its name in the events."""

    arms: tuple[Arm, ...]
    """The arms, the control among them; their weights sum to 1."""

    control: str
    """The name of the arm that all others are compared with."""

    start: Annotated[int, BeforeValidator(_epoch_ms)]
    """Event time from which its units count: ISO 8601 with a time zone, or epoch milliseconds."""

    metrics: tuple[str, ...] = ("conversion",)
    """What is analysed: ``conversion``, ``order_rate``, ``log_order_value``,
    ``revenue_per_visit``; the first decides."""

    guardrails: tuple[Rail, ...] = ()
    """What must be shown not to have fallen before an arm ships."""

    attribution_window_hours: Number = 24.0
    """How long after its first visit a unit may still buy; before, it is not analysed."""

    minimum_runtime_days: Number = 7.0
    """Event time that analysed units must span before an arm ships: every weekday among it."""

    tuning: Tuning = Tuning()
    """The mixture of the e-processes."""

    alpha: Number = 0.05
    """Probability of ever shipping, or rolling back, an arm that does nothing, at most."""

    prior: Prior | None = Prior()
    """Prior of a relative lift; null: flat."""

    cap_minor: int | None = None
    """A unit's revenue above this many minor units counts as this many; null: no cap."""

    cuped: bool = True
    """Whether effects are told adjusted too for the stores' own rates of before the start."""

    @model_validator(mode="after")
    def _can_be_analysed(self) -> Self:
        found = [_in_our_names(problem) for problem in problems(self.experiment())]
        if found:
            raise ProblemsError(found)
        return self

    def experiment(self) -> Experiment:
        """Return the declaration."""
        return Experiment(
            self.id,
            tuple(DeclaredArm(arm.name, arm.weight) for arm in self.arms),
            self.control,
            self.start,
            self.metrics,
            tuple(Guardrail(rail.metric, rail.margin) for rail in self.guardrails),
            round(self.attribution_window_hours * HOUR_MS),
            round(self.minimum_runtime_days * DAY_MS),
            MixtureTuning(self.tuning.units, self.tuning.tau),
            self.alpha,
            None if self.prior is None else LiftPrior(self.prior.mean, self.prior.sd),
            self.cap_minor,
            self.cuped,
        )


def _in_our_names(problem: str) -> str:
    path, _, text = problem.partition(": ")
    path = re.sub(r"\[(\d+)\]", r".\1", path)
    return f"{_NAMES.get(path, path)}: {text}"


class Experiments(Section):
    """The experiments, and their units."""

    keep_seconds: Annotated[float, Field(ge=86_400, allow_inf_nan=False)] = 2_592_000.0
    """How long after its first visit a visitor (or visit) of an experiment is remembered: a visitor
    who comes back later is a new unit. At least a day."""

    declared: tuple[Declared, ...] = ()
    """The experiments that are analysed: their records go to ``topics.experiments``."""

    @property
    def enabled(self) -> bool:
        """Whether there is any."""
        return bool(self.declared)

    @model_validator(mode="after")
    def _each_is_declared_once(self) -> Self:
        found = list(self._declared_again())
        if found:
            raise ProblemsError(found)
        return self

    def _declared_again(self) -> Iterator[str]:
        ids = [each.id for each in self.declared]
        for at, name in enumerate(ids):
            if name in ids[:at]:
                yield f"declared.{at}.id: experiment {name!r} is declared twice"

    def time_problems(self, horizon_seconds: float, lateness_seconds: float) -> Iterator[str]:
        """Say which windows outlast what is remembered of visits, orders and units."""
        for at, each in enumerate(self.declared):
            path = f"experiments.declared.{at}.attribution_window_hours"
            needed = each.attribution_window_hours * 3600 + lateness_seconds + 2 * 86_400
            for key, seconds in (
                ("time.horizon_seconds", horizon_seconds),
                ("experiments.keep_seconds", self.keep_seconds),
            ):
                if needed > seconds:
                    yield (
                        f"{path}: the window, the lateness and two days for the ticks are "
                        f"{needed:g} s, but visits are forgotten after {seconds:g} s ({key})"
                    )

    def metric_problems(self, inputs: Mapping[str, Input]) -> Iterator[str]:
        """Say which metrics no event is read for, and which read what the others do not.

        Parameters
        ----------
        inputs
            What every metric that is kept reads.
        """
        for at, each in enumerate(self.declared):
            path, experiment = f"experiments.declared.{at}", each.experiment()
            kept = [name for name in experiment.analysed if name in inputs]
            for name in experiment.analysed:
                if name not in inputs and name != "revenue_per_visit":
                    yield f"{path}: {name} is analysed, but not kept (metrics.{name})"
            if len({inputs[name] for name in kept}) > 1:
                yield f"{path}: {', '.join(kept)} do not all read the same input"
            if "revenue_per_visit" in experiment.analysed:
                yield from _revenue_problems(path, inputs)


def _revenue_problems(path: str, inputs: Mapping[str, Input]) -> Iterator[str]:
    if not {"conversion", "order_rate"} & inputs.keys():
        yield f"{path}: revenue_per_visit needs conversion or order_rate (metrics)"
    if any(told != Input() for told in inputs.values()):
        yield f"{path}: revenue_per_visit is of single events, but a metric reads totals"
