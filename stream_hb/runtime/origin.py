"""Which topics a state was counted from: one that is made again under the same name is another."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream_hb.errors import LostError

ASK_SECONDS = 30.0
"""How long an answer is taken for true while nothing is assigned."""


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


class Origins:
    """The origin of the inputs as it is now: asked for with shards that are assigned, and at times.

    A client whose topic is deleted and made again may go on with it as if it were the old one: it
    reads from the old offsets, and what the new one has before them is never counted.

    Parameters
    ----------
    ask
        Asks the broker; None: it does not tell, and what it told before is taken.
    seconds
        A clock that only goes forward.
    """

    def __init__(self, ask: Callable[[], Origin | None], seconds: Callable[[], float]) -> None:
        self._ask = ask
        self._seconds = seconds
        self._known: Origin | None = None
        self._ask_at = 0.0

    def may_have_changed(self) -> None:
        """Let the broker be asked with the next shard that begins."""
        self._ask_at = 0.0

    def now(self) -> Origin | None:
        """Return it; None: the broker has never told.

        Raises
        ------
        LostError
            A topic is another one than before.
        """
        if self._seconds() >= self._ask_at:
            self._take(self._ask())
            # Who has never told does not tell: to ask at times would be a warning each time.
            self._ask_at = self._seconds() + ASK_SECONDS if self._known else math.inf
        return self._known

    def _take(self, told: Origin | None) -> None:
        if told is None:
            return
        others = told.others(self._known.plain()) if self._known else {}
        if others:
            raise LostError(differing(others))
        # A topic that is gone for a moment is remembered: what takes its name then is another.
        before = self._known.topic_ids if self._known else {}
        self._known = Origin(told.cluster_id, {**before, **told.topic_ids})


def differing(others: Mapping[str, str]) -> str:
    """Say what is wrong with topics, and what to do about it; see :meth:`Origin.others`."""
    differs = "; ".join(f"input topic {topic!r}: {what}" for topic, what in others.items())
    return (
        f"{differs}. It was made anew, or this is not the state's cluster: what the state says was "
        "read is of other events. Check kafka.bootstrap_servers and topics.state; with "
        "--accept-loss the worker keeps the state, reads such a topic from where the group has "
        "committed, else from its beginning, and begins a new epoch"
    )
