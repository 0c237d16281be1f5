"""What the engine must be told; plain values, so that every driver can make them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stream_hb.events.clock import DAY_MS, TimeRules
from stream_hb.events.ticks import TickClock
from stream_hb.money import MoneyRules
from stream_hb.statistics.forgetting import Forgetting
from stream_hb.stores import Stores

BelongsTo = Callable[[str, int], bool]
"""(store id, partition) -> does the store belong there?"""


@dataclass(frozen=True, slots=True)
class EmissionRule:
    """When a changed estimate is worth a record.

    Attributes
    ----------
    changed_sd
        Emit when the mean has moved by more than this many of its last emitted sds.
    changed_width
        Emit when the sd has changed by more than this share of the last emitted one.
    heartbeat_ms
        Emit when the key's last record is older than this; None: never for age alone.
    everything_touched
        Emit every group that a batch touched, whatever changed (for measuring).
    """

    changed_sd: float = 0.1
    changed_width: float = 0.05
    heartbeat_ms: int | None = 60_000
    everything_touched: bool = False


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a metric's model is told besides its method.

    Attributes
    ----------
    prior
        Hyperprior of the spread as :func:`stream_hb.models.hyperprior.spread_named` reads it, or
        ``bda``; None: the family's own. Read by method ``bayes`` only.
    location
        Hyperprior of the location as :func:`stream_hb.models.hyperprior.location_named` reads it.
    variance
        Variance of one observation within a group: ``common``, ``moderated`` or ``separate``.
    covariates
        Columns of the stores table that shift the prior mean.
    nested
        Whether a store's region stands between it and its chain.
    """

    prior: str | None = None
    location: str | None = None
    variance: str = "common"
    covariates: tuple[str, ...] = ()
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """Whether a metric reads single events or totals.

    Attributes
    ----------
    totals
        Whether it reads totals.
    except_chains
        The chains of which it reads the other.
    """

    totals: bool = False
    except_chains: frozenset[str] = frozenset()

    def reads_totals(self, chain: str) -> bool:
        """Tell what it reads of a chain.

        >>> Input(except_chains=frozenset({"north"})).reads_totals("north")
        True
        """
        return self.totals != (chain in self.except_chains)


EVENTS = Input()


@dataclass(frozen=True, slots=True)
class UnitRule:
    """What an engine must know of an experiment to tell of its units.

    Attributes
    ----------
    experiment_id, arms
        Names in the events; units of other arms are counted apart.
    start_ms
        Units first seen before do not take part.
    window_ms
        How long after it was first seen a unit's outcome is open.
    cap_minor
        Revenue of a unit above this counts as this; None: no cap.
    metrics
        What is analysed; the first says whether the experiment reads totals.
    """

    experiment_id: str
    arms: tuple[str, ...]
    start_ms: int
    window_ms: int
    cap_minor: int | None = None
    metrics: tuple[str, ...] = ("conversion",)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine's settings.

    Attributes
    ----------
    methods
        The fit of each metric that is kept, by the metric's name.
    models
        What the models of some metrics are told besides; the others have the defaults.
    composites
        The metrics that are made of others and kept: ``revenue_per_visit``.
    stores
        What is known of the stores before their first event; None: nothing.
    default_chain
        Chain of the events that name none.
    refit_every_ms
        Least time between two refits (of the clock that drives the engine).
    refit_min_change
        Share of new data in a pool below which it is not refitted.
    emission
        When a record is written.
    level
        Probability of the credible intervals.
    time
        How event time is judged.
    forgetting
        How metrics forget, by their names; the others never do.
    money
        How money is taken.
    inputs
        What metrics read that do not read the single events of every chain.
    bot_visits_per_hour
        More visits of a visitor in a store and hour are a bot's.
    units_kept_ms
        How long after its first visit a unit of an experiment is remembered.
    units
        The experiments whose units are told to a feed.
    ticks
        The hours or days that the feeds look at one after the other; None: no feed does.
    controls
        Whether some feed reads control events.
    groups_max
        Groups kept; events of further groups are rejected and counted.
    belongs
        Does this store belong to this partition? None: not checked.
    registers
        Has a registered store its cold-start records from this shard? None: that is not known
        before its first event, and it has none until then.
    """

    methods: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {"conversion": "bayes", "order_rate": "bayes", "log_order_value": "bayes"}
        )
    )
    models: Mapping[str, ModelSettings] = field(default_factory=lambda: MappingProxyType({}))
    composites: tuple[str, ...] = ()
    stores: Stores | None = None
    default_chain: str = "default"
    refit_every_ms: int = 5_000
    refit_min_change: float = 0.01
    emission: EmissionRule = EmissionRule()
    level: float = 0.95
    time: TimeRules = field(default_factory=TimeRules)
    forgetting: Mapping[str, Forgetting] = field(default_factory=lambda: MappingProxyType({}))
    money: MoneyRules = field(default_factory=MoneyRules)
    inputs: Mapping[str, Input] = field(default_factory=lambda: MappingProxyType({}))
    bot_visits_per_hour: int = 60
    units_kept_ms: int = 30 * DAY_MS
    units: tuple[UnitRule, ...] = ()
    ticks: TickClock | None = None
    controls: bool = False
    groups_max: int = 100_000
    belongs: BelongsTo | None = None
    registers: BelongsTo | None = None

    @property
    def emitted_metrics(self) -> tuple[str, ...]:
        """The metrics that have records: those that are fitted, then those made of them."""
        return (*self.methods, *self.composites)

    def candidates(self, metric: str) -> tuple[int | None, ...]:
        """Return the half-lives of a metric that are kept side by side; None: there is no choice.

        >>> EngineSettings().candidates("conversion")
        (None,)
        """
        rule = self.forgetting.get(metric)
        return (None,) if rule is None else rule.candidates()

    def half_life_ms(self, metric: str, wanted_ms: int | None) -> int | None:
        """Return the candidate that is wanted; the first where it is none of them."""
        candidates = self.candidates(metric)
        return wanted_ms if wanted_ms in candidates else candidates[0]

    def model(self, metric: str) -> ModelSettings:
        """Return what a metric's model is told.

        >>> EngineSettings().model("conversion").variance
        'common'
        """
        return self.models.get(metric, ModelSettings())
