"""Partial pooling on live streams: events in, shrunk estimates out.

The public names are loaded when they are used, so that importing the package costs next to nothing.

>>> import stream_hb
>>> engine = stream_hb.Engine(stream_hb.EngineSettings())
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_hb.engine import Engine
    from stream_hb.errors import StreamHBError
    from stream_hb.events.batch import RawBatch
    from stream_hb.feeds.estimate_table import EstimateTable
    from stream_hb.metrics import METRICS
    from stream_hb.models.registry import FAMILIES
    from stream_hb.settings import EmissionRule, EngineSettings

__version__ = "0.1.0"

__all__ = [
    "FAMILIES",
    "METRICS",
    "EmissionRule",
    "Engine",
    "EngineSettings",
    "EstimateTable",
    "RawBatch",
    "StreamHBError",
    "__version__",
]

_HOMES = {
    "FAMILIES": "models.registry",
    "METRICS": "metrics",
    "EmissionRule": "settings",
    "Engine": "engine",
    "EngineSettings": "settings",
    "EstimateTable": "feeds.estimate_table",
    "RawBatch": "events.batch",
    "StreamHBError": "errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
