"""``stream-hb topics``, and what ``check --broker`` says of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_hb.runtime import assembly, topic_admin
from stream_hb.runtime.topics import TopicNeed, TopicState
from tests.cli.running import run
from tests.support.broker import NamedBroker, RealBroker

CONFIG = "topics: {inputs: [visits, purchases]}\nkafka: {client: {sasl.password: hunter2}}\n"
SETTINGS = {"cleanup.policy": "delete", "retention.ms": "1", "segment.ms": "2"}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "chain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


@pytest.fixture
def partitions(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return a broker's topics with their partitions: what the commands see and change."""
    there: dict[str, int] = {}

    def state(need: TopicNeed) -> TopicState:
        return TopicState(need, there.get(need.name, 0), {**SETTINGS, **need.settings})

    def inspect(_: str, needs: Sequence[TopicNeed], client: Mapping[str, Any]) -> list[TopicState]:
        assert client == {"sasl.password": "hunter2"}
        return list(map(state, needs))

    def create(_: str, needs: Sequence[TopicNeed], __: Mapping[str, Any]) -> None:
        there.update({need.name: need.partitions for need in needs})

    monkeypatch.setattr(assembly, "inspect_topics", inspect)
    monkeypatch.setattr(topic_admin, "create_topics", create)
    return there


def test_missing_topics_are_shown_and_are_exit_code_4(
    config: str, partitions: dict[str, int]
) -> None:
    partitions.update(visits=6)
    ran = run("topics", config)
    assert ran.code == 4
    assert [line.split()[:3] for line in ran.out.splitlines() if "input" in line] == [
        ["visits", "input", "6"],
        ["purchases", "input", "missing"],
    ]
    assert ran.err.startswith("error: missing topic: 'purchases' (input), 'estimates' (estimates)")


def test_create_makes_only_the_missing_with_as_many_partitions_as_the_others(
    config: str, partitions: dict[str, int]
) -> None:
    partitions.update(visits=6, estimates=2)
    ran = run("topics", config, "--create")
    assert ran.code == 0
    made = {"purchases": 6, "rejects": 6, "state": 6, "summaries": 6, "hyper": 1}
    assert partitions == {"visits": 6, "estimates": 2, **made}
    assert ran.err == "".join(f"made {name} with {n} partitions\n" for name, n in made.items())


def test_json_has_topics_and_problems(config: str, partitions: dict[str, int]) -> None:
    partitions.update(visits=6, purchases=4, estimates=2, rejects=2, state=6, summaries=6, hyper=1)
    ran = run("topics", config, "--json")
    assert ran.code == 4
    assert ran.json["topics"][0] == {
        "name": "visits",
        "use": "input",
        "partitions": 6,
        "settings": {"cleanup.policy": "delete", "retention.ms": "1"},
    }
    (problem,) = ran.json["problems"]
    assert "equally many partitions" in problem
    partitions.update(purchases=6, state=4)
    (problem,) = run("topics", config, "--json").json["problems"]
    assert "topic 'state' of the state has 4 partitions, but the input 'visits' has 6" in problem
    partitions.update(state=6, hyper=6)
    (problem,) = run("topics", config, "--json").json["problems"]
    assert "topic 'hyper' of the hyperparameters has 6 partitions; it needs 1" in problem


def test_check_tells_of_topics_when_asked(config: str, partitions: dict[str, int]) -> None:
    assert "topics" not in run("check", config, "--json").json
    ran = run("check", config, "--broker", "--json")
    assert ran.code == 4
    assert {topic["partitions"] for topic in ran.json["topics"]} == {0}
    partitions.update(visits=1, purchases=1, estimates=1, rejects=1, state=1, summaries=1, hyper=1)
    ran = run("check", config, "--broker")
    assert (ran.code, ran.err) == (0, "")
    assert "missing" not in ran.out


@pytest.mark.broker
def test_topics_that_were_made_are_right(
    broker: RealBroker | NamedBroker,
    topics: Callable[..., str],
    config: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = topics(partitions=3)
    names = {"estimates": f"{name}.e", "rejects": f"{name}.r", "state": f"{name}.s"}
    names |= {"summaries": f"{name}.p", "hyper": f"{name}.h"}
    for use, topic in names.items():
        monkeypatch.setenv(f"STREAM_HB__TOPICS__{use.upper()}", topic)
    monkeypatch.setenv("STREAM_HB__TOPICS__INPUTS", f'["{name}"]')
    monkeypatch.setenv("STREAM_HB__KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    assert run("topics", config).code == 4
    ran = run("topics", config, "--create", "--json")
    assert ran.code == 0, ran.err
    assert [topic["partitions"] for topic in ran.json["topics"]] == [3] * 5 + [1]
    assert run("check", config, "--broker").code == 0
