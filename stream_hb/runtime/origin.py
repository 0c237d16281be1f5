"""Which topics a state was counted from: one that is made again under the same name is another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """The input topics as their cluster knows them; every marker of the state's log says so.

    Attributes
    ----------
    cluster_id
        The cluster's name: random, and never given again.
    topic_ids
        Those of the topics, by their names.
    """

    cluster_id: str
    topic_ids: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        """Return what a marker says."""
        return {"cluster": self.cluster_id, "topics": dict(self.topic_ids)}

    def others(self, told: Mapping[str, Any] | None) -> dict[str, str]:
        """Return which topics are not those that a marker tells of, each with what differs.

        Offsets of such a topic are of other events than the marker's. A marker without ids (of an
        earlier version, or from where the broker told none) is of any; so is a topic that it does
        not know, which is read for the first time.

        >>> told = Origin("c1", {"visits": "t1"}).plain()
        >>> Origin("c1", {"visits": "t2", "orders": "t3"}).others(told)
        {'visits': 'its id is t2, that of the topic which the state was counted from is t1'}
        >>> Origin("c2", {"visits": "t1"}).others(told)
        {'visits': 'this cluster is c2, the state was counted on cluster c1'}
        """
        if told is None:
            return {}
        if told["cluster"] != self.cluster_id:
            differs = f"this cluster is {self.cluster_id}, the state was counted on cluster "
            return dict.fromkeys(self.topic_ids, differs + told["cluster"])
        return {
            topic: f"its id is {mine}, that of the topic which the state was counted from is {id_}"
            for topic, mine in self.topic_ids.items()
            if (id_ := told["topics"].get(topic, mine)) != mine
        }
