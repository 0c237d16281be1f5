"""For users of river: our drift detector and partial pooling behind river's own interfaces.

Needs river: ``pip install 'stream-hb[river]'``.
"""

try:
    import river as _river  # noqa: F401 - only to say what is missing
except ImportError as error:  # pragma: no cover - the tests have it
    raise ImportError("stream_hb.river needs river: pip install 'stream-hb[river]'") from error

from stream_hb.river.dead_band import DeadBand
from stream_hb.river.encoder import PartialPoolingEncoder
from stream_hb.river.shrunk_mean import ShrunkMean

__all__ = ["DeadBand", "PartialPoolingEncoder", "ShrunkMean"]
