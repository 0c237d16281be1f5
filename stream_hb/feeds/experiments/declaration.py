"""What an experiment declares before it starts, and everything that can be wrong with it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from stream_hb.errors import ConfigError, nearest
from stream_hb.events.clock import DAY_MS
from stream_hb.events.identifiers import is_identifier
from stream_hb.feeds.experiments.evalues import Tuning
from stream_hb.feeds.experiments.lift import LiftPrior
from stream_hb.feeds.experiments.outcomes import METRICS
from stream_hb.statistics.columns import Floats

DEFAULT_TUNING = Tuning()
DEFAULT_PRIOR = LiftPrior()

_NO_IDENTIFIER = "is no identifier (1 to 64 letters, digits, ._:-)"
_SUM_OF_WEIGHTS = 1e-9
_EARLIEST_MS, _LATEST_MS = 946_684_800_000, 4_102_444_800_000


@dataclass(frozen=True, slots=True)
class DeclaredArm:
    """An arm: its name in the events, and its share of the units (0: switched off)."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that must not fall by the margin, a share of the control's (0.02: two percent)."""

    metric: str
    margin: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as declared.

    Attributes
    ----------
    experiment_id
        Its name in the events.
    arms, control
        The arms, their weights summing to 1, and the name of the one that all are compared with.
    start_ms
        Event time from which its units count.
    metrics
        What is analysed; the first decides.
    guardrails
        What must be shown not to have fallen before an arm ships.
    attribution_window_ms
        How long after its first visit a unit may still buy: before, it is not analysed.
    minimum_runtime_ms
        Event time that mature units must span before an arm ships: 7 days, so that every weekday is
        among them.
    tuning
        Mixture of the e-processes, frozen at the first look.
    alpha
        Probability of ever shipping (or stopping) an arm that does nothing, at most.
    prior
        Of a relative lift, for its posterior; None: flat.
    cap_minor
        Revenue of a unit above this counts as this; None: no cap. Never a percentile of the data.
    cuped
        Whether units are adjusted for what they did before, where that is known.
    """

    experiment_id: str
    arms: tuple[DeclaredArm, ...]
    control: str
    start_ms: int
    metrics: tuple[str, ...] = ("conversion",)
    guardrails: tuple[Guardrail, ...] = ()
    attribution_window_ms: int = DAY_MS
    minimum_runtime_ms: int = 7 * DAY_MS
    tuning: Tuning = DEFAULT_TUNING
    alpha: float = 0.05
    prior: LiftPrior | None = DEFAULT_PRIOR
    cap_minor: int | None = None
    cuped: bool = True

    @property
    def analysed(self) -> tuple[str, ...]:
        """The metrics, then those that are guardrails only."""
        return tuple(dict.fromkeys((*self.metrics, *(rail.metric for rail in self.guardrails))))

    @property
    def weights(self) -> Floats:
        """Weights of the arms."""
        return np.array([arm.weight for arm in self.arms])

    @property
    def control_index(self) -> int:
        """Place of the control among the arms."""
        return [arm.name for arm in self.arms].index(self.control)

    @property
    def treatments(self) -> tuple[int, ...]:
        """Places of the arms that are compared with the control: those with units."""
        live = (i for i, arm in enumerate(self.arms) if arm.weight > 0)
        return tuple(i for i in live if i != self.control_index)

    @property
    def comparisons(self) -> tuple[str, ...]:
        """Names of the arms that are compared with the control."""
        return tuple(self.arms[i].name for i in self.treatments)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with whatever an e-value depends on.

        >>> arms = DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)
        >>> one = Experiment("e", arms, "a", 1_700_000_000_000)
        >>> from dataclasses import replace
        >>> railed = replace(one, guardrails=(Guardrail("conversion", 0.1),))
        >>> one.fingerprint() == railed.fingerprint()
        True
        >>> one.fingerprint() == replace(one, tuning=Tuning(4000)).fingerprint()
        False
        """
        told = (
            *(self.arms, self.control, self.analysed, self.start_ms, self.attribution_window_ms),
            *(self.tuning, self.alpha, self.cap_minor, self.cuped),
        )
        return sha256(repr(told).encode()).hexdigest()[:16]


def check_experiments(experiments: Sequence[Experiment], source: str = "experiments") -> None:
    """Raise one error that lists every mistake with its path.

    Raises
    ------
    ConfigError
        Something is wrong.

    Examples
    --------
    >>> arms = DeclaredArm("a", 0.5), DeclaredArm("a", 0.4)
    >>> check_experiments([Experiment("e", arms, "c", 1_700_000_000_000)], "chain.yaml")
    Traceback (most recent call last):
        ...
    stream_hb.errors.ConfigError: chain.yaml: 3 problems
    experiments[0].arms[1].name: arm 'a' is declared twice
    experiments[0].arms: the weights sum to 0.9, expected 1
    experiments[0].control: 'c' is no arm of the experiment (known: a)
    """
    found = [
        f"experiments[{i}].{problem}"
        for i, experiment in enumerate(experiments)
        for problem in problems(experiment)
    ]
    times = Counter(experiment.experiment_id for experiment in experiments)
    found += [
        f"experiments[{i}].experiment_id: experiment {experiment.experiment_id!r} is declared twice"
        for i, experiment in enumerate(experiments)
        if times[experiment.experiment_id] > 1
        and experiment.experiment_id in {one.experiment_id for one in experiments[:i]}
    ]
    if found:
        raise ConfigError(source, found)


def problems(experiment: Experiment) -> Iterator[str]:
    """Say everything that is wrong with one experiment, each with its path."""
    if not is_identifier(experiment.experiment_id):
        yield f"experiment_id: {experiment.experiment_id!r} {_NO_IDENTIFIER}"
    yield from _arm_problems(experiment)
    yield from _metric_problems(experiment)
    yield from _number_problems(experiment)


def _arm_problems(experiment: Experiment) -> Iterator[str]:
    names = [arm.name for arm in experiment.arms]
    for i, arm in enumerate(experiment.arms):
        if not is_identifier(arm.name):
            yield f"arms[{i}].name: {arm.name!r} {_NO_IDENTIFIER}"
        if arm.name in names[:i]:
            yield f"arms[{i}].name: arm {arm.name!r} is declared twice"
        if not 0 <= arm.weight <= 1:
            yield f"arms[{i}].weight: {arm.weight:g} is not between 0 and 1"
    if len(names) < 2:
        yield f"arms: {len(names)} declared, expected a control and at least one arm more"
    total = sum(arm.weight for arm in experiment.arms)
    if not abs(total - 1) <= _SUM_OF_WEIGHTS:
        yield f"arms: the weights sum to {total:g}, expected 1"
    if experiment.control not in names:
        hint = nearest(experiment.control, set(names))
        yield f"control: {experiment.control!r} is no arm of the experiment ({hint})"
    elif experiment.arms[names.index(experiment.control)].weight == 0:
        yield f"control: arm {experiment.control!r} has weight 0: nothing compares with it"


def _metric_problems(experiment: Experiment) -> Iterator[str]:
    if not experiment.metrics:
        yield "metrics: none declared; the first decides"
    for i, name in enumerate(experiment.metrics):
        if name not in METRICS:
            yield f"metrics[{i}]: {name!r} is no metric ({nearest(name, METRICS)})"
        if name in experiment.metrics[:i]:
            yield f"metrics[{i}]: {name!r} is named twice"
    rails = [rail.metric for rail in experiment.guardrails]
    for i, rail in enumerate(experiment.guardrails):
        if rail.metric not in METRICS:
            hint = nearest(rail.metric, METRICS)
            yield f"guardrails[{i}].metric: {rail.metric!r} is no metric ({hint})"
        if rail.metric in rails[:i]:
            yield f"guardrails[{i}].metric: {rail.metric!r} is named twice"
        if not 0 < rail.margin < 1:
            yield f"guardrails[{i}].margin: {rail.margin:g} is no share between 0 and 1"


def _number_problems(experiment: Experiment) -> Iterator[str]:
    e, tuning = experiment, experiment.tuning
    if not _EARLIEST_MS <= e.start_ms <= _LATEST_MS:
        yield f"start_ms: {e.start_ms} is no time in milliseconds between 2000 and 2100"
    for name in ("attribution_window_ms", "minimum_runtime_ms"):
        if getattr(e, name) < 0:
            yield f"{name}: {getattr(e, name)} is below 0"
    if not 0 < e.alpha < 0.5:
        yield f"alpha: {e.alpha:g} is not between 0 and 0.5"
    if not 0 < tuning.units < float("inf"):
        yield f"tuning.units: {tuning.units:g} is no number of units above 0"
    if tuning.tau is not None and not 0 < tuning.tau < float("inf"):
        yield f"tuning.tau: {tuning.tau:g} is no spread of relative lifts above 0"
    if e.prior is not None and not 0 < e.prior.sd < float("inf"):
        yield f"prior.sd: {e.prior.sd:g} is no spread of relative lifts above 0"
    if e.cap_minor is not None and e.cap_minor < 1:
        yield f"cap_minor: {e.cap_minor} is no amount in minor units above 0"
