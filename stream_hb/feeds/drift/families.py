"""The family of each kind of metric."""

from stream_hb.feeds.drift.counts import Counts
from stream_hb.feeds.drift.family import Family
from stream_hb.feeds.drift.rates import Rates
from stream_hb.feeds.drift.tick import Kind
from stream_hb.feeds.drift.values import Values

FAMILIES: dict[Kind, Family] = {family.kind: family for family in (Counts(), Rates(), Values())}
