"""What topics a configuration needs, and what is wrong with those that the broker has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from stream_hb.errors import TopicError

PARTITIONS = 4
TOMBSTONE_MS_MIN = 24 * 60 * 60 * 1000
IN_SYNC_MIN = 2

_COMPACTED = {"cleanup.policy": "compact", "delete.retention.ms": str(TOMBSTONE_MS_MIN)}
_STATE = {
    # The newest segment is never compacted: of the default gigabyte a restore would read all.
    "segment.bytes": str(64 << 20),
    "segment.ms": str(6 * 60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": str(6 * 60 * 60 * 1000),
    "compression.type": "producer",
}


class TopicUse(StrEnum):
    """What a topic is for."""

    INPUT = "input"
    ESTIMATES = "estimates"
    REJECTS = "rejects"
    REFITS = "refits"
    FEED = "feed"
    STATE = "state"
    SUMMARIES = "summaries"
    HYPER = "hyper"


_OF_STATE = (TopicUse.STATE, TopicUse.SUMMARIES, TopicUse.HYPER)


@dataclass(frozen=True, slots=True)
class TopicNeed:
    """A topic that must be there.

    Attributes
    ----------
    name, use
        Which, and what for.
    partitions
        How many it gets when it is made here.
    settings
        What it is made with.
    replicas
        How many copies it gets; None: as many as is usual on the broker.
    """

    name: str
    use: TopicUse
    partitions: int = PARTITIONS
    settings: Mapping[str, str] = field(default_factory=dict)
    replicas: int | None = None

    def as_safe_as(self, replicas: int) -> Self:
        """Return this need with so many copies; 0: as many as is usual on the broker.

        Of three or more a write is in two before it is acknowledged: one broker's loss loses
        nothing, and one that is away stops nobody.
        """
        in_sync = {"min.insync.replicas": str(IN_SYNC_MIN)} if replicas > IN_SYNC_MIN else {}
        return replace(self, replicas=replicas or None, settings={**self.settings, **in_sync})


@dataclass(frozen=True, slots=True)
class TopicState:
    """What the broker says about a topic that must be there.

    Attributes
    ----------
    partitions
        How many it has; 0 when it is missing.
    settings
        How it is set; empty where the broker does not tell (the embedded one).
    replicas
        How many copies it has of the partition that has the fewest; 0 when it is missing.
    """

    need: TopicNeed
    partitions: int
    settings: Mapping[str, str]
    replicas: int = 0


def topic_needs(
    inputs: Iterable[str],
    estimates: str,
    rejects: str,
    partitions: int = PARTITIONS,
    refits: str | None = None,
) -> list[TopicNeed]:
    """Return the topics of a worker.

    Estimates are compacted, since only the newest of a key counts; a deletion stays visible for
    a day, so that a reader that was away learns of it.

    >>> [(need.name, need.use.value) for need in topic_needs(["visits"], "estimates", "rejects")]
    [('visits', 'input'), ('estimates', 'estimates'), ('rejects', 'rejects')]
    """
    return [
        *(TopicNeed(name, TopicUse.INPUT, partitions) for name in inputs),
        TopicNeed(estimates, TopicUse.ESTIMATES, partitions, _COMPACTED),
        TopicNeed(rejects, TopicUse.REJECTS, partitions),
        *([TopicNeed(refits, TopicUse.REFITS, partitions)] if refits else []),
    ]


def feed_needs(topics: Iterable[str]) -> list[TopicNeed]:
    """Return the topics of the feeds that look at ticks: of each key only the newest counts.

    >>> [(need.name, need.use.value) for need in feed_needs(["alerts"])]
    [('alerts', 'feed')]
    """
    return [TopicNeed(name, TopicUse.FEED, PARTITIONS, _COMPACTED) for name in topics]


def state_needs(
    state: str, summaries: str, hyper: str, partitions: int = PARTITIONS
) -> list[TopicNeed]:
    """Return the topics that delivery exactly once needs besides.

    >>> [(need.name, need.partitions) for need in state_needs("state", "summaries", "hyper", 12)]
    [('state', 12), ('summaries', 12), ('hyper', 1)]
    """
    settings = {**_COMPACTED, **_STATE}
    return [
        TopicNeed(state, TopicUse.STATE, partitions, settings),
        TopicNeed(summaries, TopicUse.SUMMARIES, partitions, settings),
        TopicNeed(hyper, TopicUse.HYPER, 1, settings),
    ]


def beside_inputs(needs: Iterable[TopicNeed], states: Iterable[TopicState]) -> list[TopicNeed]:
    """Return needs with as many partitions and copies as the inputs that are there.

    A missing input needs as many partitions as the others; only the fits all stand in one.

    >>> events = TopicState(TopicNeed("events", TopicUse.INPUT), 12, {}, replicas=3)
    >>> [made] = beside_inputs([TopicNeed("state", TopicUse.STATE)], [events])
    >>> made.partitions, made.replicas, made.settings
    (12, 3, {'min.insync.replicas': '2'})
    """
    inputs = [state for state in states if state.need.use is TopicUse.INPUT]
    partitions = max(state.partitions for state in inputs) or PARTITIONS
    replicas = max(state.replicas for state in inputs)
    return [
        need.as_safe_as(replicas)
        if need.use is TopicUse.HYPER
        else replace(need.as_safe_as(replicas), partitions=partitions)
        for need in needs
    ]


def topic_problems(states: Iterable[TopicState]) -> list[str]:
    """Return what is wrong with the topics, a line each, with what to do about it."""
    states = list(states)
    present = [state for state in states if state.partitions]
    return [
        *_missing(state.need for state in states if not state.partitions),
        *_unequal([state for state in present if state.need.use is TopicUse.INPUT]),
        *_unlike_its_input(present),
        *_torn(present),
        *(problem for state in present for problem in _wrong_settings(state)),
    ]


def check_topics(states: Iterable[TopicState]) -> None:
    """Raise TopicError with every problem; see :func:`topic_problems`."""
    problems = topic_problems(states)
    if problems:
        raise TopicError("\n".join(problems))


def _missing(needs: Iterable[TopicNeed]) -> list[str]:
    names = [f"{need.name!r} ({need.use.value})" for need in needs]
    if not names:
        return []
    return [f"missing topic: {', '.join(names)}; stream-hb topics CONFIG --create makes it"]


def _unequal(inputs: Sequence[TopicState]) -> list[str]:
    if len({state.partitions for state in inputs}) < 2:
        return []
    counts = ", ".join(f"{state.need.name!r} has {state.partitions}" for state in inputs)
    return [
        f"input topics need equally many partitions, because a store's visits and purchases meet "
        f"in one partition number: {counts}"
    ]


def _unlike_its_input(states: Sequence[TopicState]) -> list[str]:
    inputs = [state for state in states if state.need.use is TopicUse.INPUT]
    return [
        f"topic {state.need.name!r} of the {state.need.use} has {state.partitions} partitions, but "
        f"the input {inputs[0].need.name!r} has {inputs[0].partitions}: what is of a shard stands "
        f"in the partition of its number{_what_to_do(state, inputs[0])}"
        for state in states
        if state.need.use in (TopicUse.STATE, TopicUse.SUMMARIES) and inputs
        if state.partitions != inputs[0].partitions
    ]


def _what_to_do(state: TopicState, its_input: TopicState) -> str:
    if state.need.use is TopicUse.STATE and state.partitions < its_input.partitions:
        return "; stream-hb migrate moves the state when the input's partitions have become more"
    return ""


def _torn(states: Sequence[TopicState]) -> list[str]:
    return [
        f"topic {state.need.name!r} of the hyperparameters has {state.partitions} partitions; it "
        "needs 1, so that everyone reads the fits in one order"
        for state in states
        if state.need.use is TopicUse.HYPER and state.partitions > 1
    ]


def _wrong_settings(state: TopicState) -> list[str]:
    if not state.settings:
        return []
    name, policy = state.need.name, state.settings["cleanup.policy"]
    problems = []
    if state.need.use is TopicUse.INPUT and "compact" in policy:
        problems.append(
            f"input topic {name!r} is compacted (cleanup.policy={policy}): events of the same key "
            "disappear; set cleanup.policy=delete"
        )
    if state.need.use in _OF_STATE and policy != "compact":
        problems.append(
            f"topic {name!r} of the {state.need.use} has cleanup.policy={policy}: what does not "
            "change would be deleted; set cleanup.policy=compact"
        )
    if state.need.use is TopicUse.ESTIMATES and "compact" not in policy:
        problems.append(
            f"topic {name!r} of the estimates is not compacted (cleanup.policy={policy}): "
            "estimates that do not change would be deleted; set cleanup.policy=compact"
        )
    return [*problems, *_short_memory(state, policy)]


def _short_memory(state: TopicState, policy: str) -> list[str]:
    """Tell of deletions that a reader who was away for a day would miss."""
    compacted = "compact" in policy and state.need.use in (TopicUse.ESTIMATES, *_OF_STATE)
    if not compacted or int(state.settings["delete.retention.ms"]) >= TOMBSTONE_MS_MIN:
        return []
    return [
        f"topic {state.need.name!r} of the {state.need.use} forgets deletions too soon: "
        f"set delete.retention.ms={TOMBSTONE_MS_MIN} or more"
    ]
