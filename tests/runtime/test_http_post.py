"""One request: an answer, or an error in time."""

import time
from collections.abc import Iterator
from http.client import responses

import pytest

from stream_hb.runtime.http_post import HttpPost, NoAnswerError
from tests.support import http_receiver
from tests.support.http_receiver import Behaviour, Receiver, receiving, refuse


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def post(receiver: Receiver, timeout_seconds: float = 5.0, path: str = "/a?b=c") -> HttpPost:
    return HttpPost(receiver.url + path, timeout_seconds, {"Authorization": "Bearer x"})


def test_what_is_posted_arrives_whole(receiver: Receiver) -> None:
    answer = post(receiver)(b'[{"a": "\xc3\xa9"}]', {"Idempotency-Key": "k"})
    assert answer.is_taken
    (request,) = receiver.requests
    assert (request.path, request.body) == ("/a?b=c", [{"a": "é"}])
    sent = {name: request.headers[name] for name in ("Authorization", "Idempotency-Key")}
    assert sent == {"Authorization": "Bearer x", "Idempotency-Key": "k"}
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [200, 202, 204, 301, 400, 401, 404, 429, 500, 503])
def test_only_2xx_is_taken_and_nobody_is_followed(receiver: Receiver, status: int) -> None:
    receiver.behaviours.append(refuse(status, Location="/elsewhere"))
    answer = post(receiver)(b"[]", {})
    assert (answer.status, answer.is_taken) == (status, status < 300)
    assert status in responses
    assert len(receiver.requests) == 1


def test_a_server_may_ask_to_be_left_alone(receiver: Receiver) -> None:
    receiver.behaviours.append(refuse(429, "slowly", Retry_After="7"))
    answer = post(receiver)(b"[]", {})
    assert (answer.retry_after_seconds, answer.detail) == (7.0, "slowly")


@pytest.mark.parametrize("behaviour", [http_receiver.hang, http_receiver.drip])
def test_a_server_that_never_comes_to_an_end_is_no_answer(
    receiver: Receiver, behaviour: Behaviour
) -> None:
    receiver.behaviours.append(behaviour)
    with pytest.raises(NoAnswerError, match=r"127\.0\.0\.1:\d+: no answer within 0\.3 s"):
        post(receiver, 0.3)(b"[]", {})


def test_a_connection_that_is_closed_or_refused_is_no_answer() -> None:
    with receiving() as receiver:
        receiver.behaviours.append(http_receiver.close)
        with pytest.raises(NoAnswerError, match="RemoteDisconnected"):
            post(receiver)(b"[]", {})
    with pytest.raises(NoAnswerError, match="ConnectionRefusedError"):
        post(receiver)(b"[]", {})


@pytest.mark.parametrize(
    "behaviour", [http_receiver.take_and_hang_in_the_text, http_receiver.take_and_garble_the_text]
)
def test_a_status_is_an_answer_whatever_becomes_of_its_text(
    receiver: Receiver, behaviour: Behaviour
) -> None:
    receiver.behaviours.append(behaviour)
    assert post(receiver, 0.3)(b"[]", {}).is_taken


def test_what_may_be_secret_in_an_address_is_not_in_an_error() -> None:
    unreachable = HttpPost("http://127.0.0.1:1/services/hunter2?token=hunter3", 1.0, {})
    assert unreachable.where == "http://127.0.0.1:1"
    with pytest.raises(NoAnswerError) as caught:
        unreachable(b"[]", {})
    assert "hunter" not in str(caught.value)


def test_a_date_to_come_back_at_is_measured_by_the_time_of_day(receiver: Receiver) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(1_000))
    receiver.behaviours.append(refuse(503, Retry_After=date))
    asking = HttpPost(receiver.url, 5.0, {}, seconds=lambda: 940.0)
    assert asking(b"[]", {}).retry_after_seconds == 60.0
