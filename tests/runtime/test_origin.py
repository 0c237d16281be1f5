"""Which topics the inputs are, while a worker runs."""

import pytest

from stream_hb.errors import LostError
from stream_hb.runtime.origin import ASK_SECONDS, Origin, Origins

ONE, OTHER = (Origin("cluster", {"events": id_}) for id_ in ("topic-1", "topic-2"))


class Broker:
    """Answers what it is told to; its clock stands still until it is moved."""

    def __init__(self, *answers: Origin | None) -> None:
        self.answers = list(answers)
        self.seconds = 100.0
        self.origins = Origins(lambda: self.answers.pop(0), lambda: self.seconds)


def test_the_broker_is_asked_once_for_all_shards_that_are_assigned_together() -> None:
    broker = Broker(ONE, ONE)
    assert [broker.origins.now() for _ in range(3)] == [ONE] * 3
    assert broker.answers == [ONE]
    broker.origins.may_have_changed()
    broker.origins.may_have_changed()
    assert [broker.origins.now() for _ in range(3)] == [ONE] * 3


def test_a_broker_that_does_not_tell_now_is_taken_at_its_last_word() -> None:
    broker = Broker(None, ONE, None)
    assert broker.origins.now() is None
    for _ in range(2):
        broker.origins.may_have_changed()
        assert broker.origins.now() == ONE


def test_a_topic_that_is_another_one_is_found_within_half_a_minute_though_nothing_is_assigned() -> (
    None
):
    broker = Broker(ONE, OTHER)
    broker.origins.now()
    broker.seconds += ASK_SECONDS - 1
    assert broker.origins.now() == ONE
    broker.seconds += 1
    with pytest.raises(LostError, match=r"'events': its id is topic-2, .* counted from is topic-1"):
        broker.origins.now()


def test_a_topic_that_was_gone_for_a_while_is_not_taken_for_a_new_one() -> None:
    broker = Broker(Origin("cluster", {"events": "topic-1", "orders": "topic-3"}), ONE, OTHER)
    broker.answers[1] = Origin("cluster", {"orders": "topic-3"})
    for _ in range(2):
        broker.origins.now()
        broker.seconds += ASK_SECONDS
    with pytest.raises(LostError, match="its id is topic-2"):
        broker.origins.now()


def test_a_broker_that_never_told_is_asked_with_assignments_only() -> None:
    broker = Broker(None)
    for _ in range(3):
        assert broker.origins.now() is None
        broker.seconds += 10 * ASK_SECONDS
