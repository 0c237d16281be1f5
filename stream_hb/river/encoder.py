"""Target encoding by partial pooling, as a river transformer."""

from collections.abc import Iterator
from typing import Any

from river.base import SupervisedTransformer, Transformer

from stream_hb.river.pooled import Pooled


# A pipeline of river 0.26 takes what is no Transformer for its last step: the steps after it would
# learn from the raw features.
class PartialPoolingEncoder(SupervisedTransformer, Transformer):
    """Replaces a category by the mean of its targets, shrunk as far as the data say.

    How far is learnt: groups that differ little, or of which little is known, are drawn to the mean
    of all; ``feature_extraction.TargetAgg`` with ``stats.BayesianMean`` has to be told a prior and
    its weight.

    Parameters
    ----------
    by
        The feature (or features) that name the group.
    groups_max
        Groups that are remembered; further ones have the mean of all.

    Examples
    --------
    >>> from stream_hb.river import PartialPoolingEncoder
    >>> encoder = PartialPoolingEncoder(by="place")
    >>> for place, y in [("a", 10), ("a", 12), ("b", 20), ("b", 22), ("b", 21), ("c", 40)]:
    ...     encoder.learn_one({"place": place}, y)
    >>> {place: round(*encoder.transform_one({"place": place}).values(), 2) for place in "abcd"}
    {'a': 11.04, 'b': 21.0, 'c': 39.83, 'd': 20.83}
    """

    def __init__(self, by: str | tuple[str, ...] = "group", groups_max: int = 100_000) -> None:
        self.by = by
        self.groups_max = groups_max
        self._pooled = Pooled()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"by": "gallup"}
        yield {"by": ("gallup", "ipsos"), "groups_max": 20}

    @property
    def feature_name(self) -> str:
        """Name of the feature that comes out."""
        return f"y_pooled_by_{'_and_'.join(self._names())}"

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:  # type: ignore[override]
        """Learn one target; a group beyond the bound is not remembered."""
        group = self._group(x)
        if group in self._pooled.groups or len(self._pooled.groups) < self.groups_max:
            self._pooled.update(group, float(y))

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the group's shrunk mean."""
        return {self.feature_name: self._pooled.estimate(self._group(x))}

    def _names(self) -> tuple[str, ...]:
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)

    def _group(self, x: dict[Any, Any]) -> tuple[Any, ...]:
        return tuple(x.get(name) for name in self._names())
