"""What the engine must be told; plain values, so that every driver can make them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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
class EngineSettings:
    """The engine's settings.

    Attributes
    ----------
    methods
        The fit of each metric that is kept, by the metric's name.
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
    lateness_ms
        How far the watermark stays behind the newest event of a source.
    groups_max
        Groups kept; events of further groups are rejected and counted.
    belongs
        Does this store belong to this partition? None: not checked.
    """

    methods: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {"conversion": "ml", "order_rate": "ml", "log_order_value": "reml"}
        )
    )
    default_chain: str = "default"
    refit_every_ms: int = 5_000
    refit_min_change: float = 0.01
    emission: EmissionRule = EmissionRule()
    level: float = 0.95
    lateness_ms: int = 600_000
    groups_max: int = 100_000
    belongs: BelongsTo | None = None
