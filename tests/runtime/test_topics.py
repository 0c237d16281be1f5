"""What is wrong with a broker's topics, said in lines that tell what to do."""

import time
from collections.abc import Callable

import pytest

from stream_hb.errors import BrokerError, TopicError
from stream_hb.runtime.embedded import PARTITIONS, EmbeddedBroker
from stream_hb.runtime.topic_admin import create_topics, inspect_topics
from stream_hb.runtime.topics import (
    TOMBSTONE_MS_MIN,
    TopicNeed,
    TopicState,
    TopicUse,
    beside_inputs,
    check_topics,
    state_needs,
    topic_needs,
    topic_problems,
)
from tests.support.broker import NamedBroker, RealBroker

DELETED = {"cleanup.policy": "delete", "delete.retention.ms": "86400000"}
COMPACTED = {"cleanup.policy": "compact", "delete.retention.ms": "86400000"}
NEEDS = topic_needs(["visits", "purchases"], "estimates", "rejects")


def states(
    partitions: tuple[int, int, int, int] = (4, 4, 4, 4),
    inputs: dict[str, str] = DELETED,
    estimates: dict[str, str] = COMPACTED,
) -> list[TopicState]:
    settings = {TopicUse.INPUT: inputs, TopicUse.ESTIMATES: estimates, TopicUse.REJECTS: DELETED}
    return [
        TopicState(need, count, settings[need.use])
        for need, count in zip(NEEDS, partitions, strict=True)
    ]


def test_topics_as_they_are_made_here_are_right() -> None:
    assert topic_problems(states()) == []
    check_topics(states())


def test_output_topics_may_have_other_partition_counts() -> None:
    assert topic_problems(states((4, 4, 1, 12))) == []


def test_missing_topics_are_named_with_the_command_that_makes_them() -> None:
    (problem,) = topic_problems(states((4, 0, 0, 4)))
    assert problem == (
        "missing topic: 'purchases' (input), 'estimates' (estimates); "
        "stream-hb topics CONFIG --create makes it"
    )


def test_input_topics_of_different_partition_counts_are_refused() -> None:
    with pytest.raises(TopicError, match="'visits' has 4, 'purchases' has 6"):
        check_topics(states((4, 6, 4, 4)))


def test_an_estimates_topic_that_is_not_compacted_is_refused() -> None:
    with pytest.raises(TopicError, match=r"set cleanup\.policy=compact"):
        check_topics(states(estimates=DELETED))


def test_an_estimates_topic_that_forgets_deletions_within_a_day_is_refused() -> None:
    with pytest.raises(TopicError, match=f"delete.retention.ms={TOMBSTONE_MS_MIN}"):
        check_topics(states(estimates={**COMPACTED, "delete.retention.ms": "86399999"}))


def test_a_compacted_input_topic_is_refused() -> None:
    with pytest.raises(TopicError, match="events of the same key disappear"):
        check_topics(states(inputs=COMPACTED))


def test_settings_that_are_not_known_are_not_a_problem() -> None:
    assert topic_problems(states(inputs={}, estimates={})) == []


def test_without_a_broker_the_error_says_where_and_why_in_time() -> None:
    begun = time.monotonic()
    with pytest.raises(
        BrokerError, match=r"no Kafka broker answers at 127\.0\.0\.1:1 within 1 s"
    ) as caught:
        inspect_topics("127.0.0.1:1", NEEDS, answer_seconds_max=1)
    assert time.monotonic() - begun < 3
    lines = str(caught.value).splitlines()
    assert "Connection refused" in lines[0]
    assert lines[1:] == ["Is it running, and is kafka.bootstrap_servers right?"]


@pytest.mark.broker
def test_created_topics_are_as_needed_and_creating_them_again_does_no_harm(
    broker: RealBroker | NamedBroker, topics: Callable[..., str]
) -> None:
    name = topics()
    needs = topic_needs([f"{name}.v", f"{name}.p"], f"{name}.e", f"{name}.r", partitions=3)
    address = broker.bootstrap_servers
    assert [state.partitions for state in inspect_topics(address, needs)] == [0, 0, 0, 0]
    create_topics(address, needs)
    create_topics(address, needs)
    made = inspect_topics(address, needs)
    assert [state.partitions for state in made] == [3, 3, 3, 3]
    assert topic_problems(made) == []
    assert made[2].settings["cleanup.policy"] == "compact"


@pytest.mark.broker
def test_what_is_counted_from_an_input_gets_as_many_copies_as_it_has(
    broker: RealBroker | NamedBroker, topics: Callable[..., str]
) -> None:
    """A broker of one node keeps one copy: a topic that wanted more could not be made, and one
    whose writes must be in two could not be written."""
    name, address = topics(), broker.bootstrap_servers
    [events] = inspect_topics(address, [TopicNeed(name, TopicUse.INPUT)])
    assert events.replicas == 1
    needs = beside_inputs(state_needs(f"{name}.state", f"{name}.sum", f"{name}.hyper"), [events])
    assert [need.partitions for need in needs] == [events.partitions, events.partitions, 1]
    create_topics(address, needs)
    made = inspect_topics(address, needs)
    assert [state.replicas for state in made] == [1, 1, 1]
    assert {state.settings["min.insync.replicas"] for state in made} == {"1"}
    create_topics(address, [TopicNeed(f"{name}.two", TopicUse.STATE).as_safe_as(1)])
    with pytest.raises(TopicError, match=f"could not make topic '{name}.three'.*factor"):
        create_topics(address, [TopicNeed(f"{name}.three", TopicUse.STATE).as_safe_as(3)])


@pytest.mark.broker
def test_a_name_that_the_broker_refuses_is_a_topic_error(broker: RealBroker | NamedBroker) -> None:
    with pytest.raises(TopicError, match="could not make topic 'not a name'"):
        create_topics(broker.bootstrap_servers, topic_needs(["not a name"], "e1", "r1"))


def test_an_embedded_broker_is_inspected_without_its_settings() -> None:
    with EmbeddedBroker() as embedded:
        embedded.make_topics(["visits", "purchases", "estimates", "rejects"])
        found = inspect_topics(embedded.bootstrap_servers, NEEDS)
    assert [state.partitions for state in found] == [PARTITIONS] * 4
    assert topic_problems(found) == []
