"""``stream-hb show --alerts``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_hb.runtime import reader
from tests.cli.running import run

Record = dict[str, Any]
EVIDENCE: Record = {
    "detector": "change",
    "statistic": 36_524.0,
    "threshold": 18_262.0,
    "change_time_estimate_ms": 1_730_000_000_000,
    "effect": 0.25,
    "effect_interval": [0.1, 0.4],
}


def alert(store: str, status: str = "firing", **more: Any) -> Record:
    labels = {
        "alertname": "StoreDrift",
        "chain_id": "north",
        "store_id": store,
        "metric": "conversion",
        "direction": "up",
    }
    return {
        "status": status,
        "severity": "warning",
        "labels": labels,
        "annotations": {"summary": store},
        "startsAt": "2024-10-30T00:00:00.000Z",
        "endsAt": "2024-11-03T00:00:00.000Z" if status == "resolved" else None,
        "evidence": EVIDENCE,
    } | more


ALERTS = [
    alert("s1", "resolved", annotations={"resolution": "accepted by an operator: moved"}),
    alert("s2", "recovering"),
    alert("s3"),
    alert("s4", severity="critical"),
]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "chain.yaml"
    path.write_text("drift: {enabled: true}\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Record]], None]:
    """Return what sets the records that the topic of alerts holds."""

    def hold(records: list[Record]) -> None:
        class Reader:
            def __init__(self, servers: str, topic: str, client: object) -> None:
                assert topic == "alerts"
                self.newest = dict(enumerate(records))

            def read_to_end(self) -> bool:
                return True

            def close(self) -> None: ...

        monkeypatch.setattr(reader, "EstimateReader", Reader)

    return hold


def test_all_without_alerts_is_refused_and_not_overheard(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text("default_chain: a")
    ran = run("show", str(path), "--all")
    assert ran == (
        2,
        "",
        "error: --all goes with --alerts: what is resolved, too\n",
    )


def test_open_alerts_are_shown_the_most_urgent_first(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    topic(ALERTS)
    ran = run("show", config, "--alerts")
    assert ran.code == 0
    stores = [line.split()[4] for line in ran.out.splitlines() if "north" in line]
    assert stores == ["s4", "s3", "s2"]
    assert "3 alerts open" in ran.out
    assert "2 times the threshold; changed about 2024-10-27" in ran.out
    assert "+28 % (+11 … +49)" in ran.out
    assert "2024-10-30 00:00" in ran.out


def test_those_that_are_over_are_shown_with_how_they_ended(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    topic(ALERTS)
    ran = run("show", config, "--alerts", "--all")
    assert "3 alerts open, 1 resolved" in ran.out
    assert "resolved 2024-11-03, accepted by an operator: moved" in ran.out


def test_json_has_the_records_as_they_are(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    topic(ALERTS)
    assert run("show", config, "--alerts", "--json").json == [ALERTS[3], ALERTS[2], ALERTS[1]]
    assert run("show", config, "--alerts", "--all", "--json", "--store", "s1").json == [ALERTS[0]]


def test_a_table_says_what_it_leaves_out(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    topic(ALERTS)
    ran = run("show", config, "--alerts", "--limit", "1")
    assert ran.out.count("north") == 1
    assert ran.err == "1 of 3 alerts are shown: --limit 3 shows all\n"


def test_no_alert_is_an_answer_that_says_why(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    topic([])
    ran = run("show", config, "--alerts")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "topic 'alerts' holds no alerts: none has been raised yet\n"
    topic(ALERTS[:1])
    assert (
        "no alert is open; 1 are resolved (--all shows them)" in run("show", config, "--alerts").err
    )


def test_a_misspelt_store_is_answered_with_the_nearest(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    topic(ALERTS)
    ran = run("show", config, "--alerts", "--store", "s33")
    assert (ran.code, ran.err) == (2, "error: no alert of store 's33'; did you mean 's3'?\n")


def test_without_drift_there_are_none_to_show(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text("time: {}\n", encoding="utf-8")
    ran = run("show", str(path), "--alerts")
    assert (ran.code, ran.err) == (2, "error: no alerts are kept: drift.enabled is false\n")


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"detector": "level", "statistic": 0.98765, "delta": 0.6}, "beyond 0.6 with probability"),
        ({"detector": "silent", "statistic": -31.7}, "so long without a visit: probability e^-32"),
        ({"detector": "chain_shift", "statistic": 0.42, "peers_firing": 9}, "9 stores, 42 % of"),
        ({"detector": "srm", "statistic": 3.0, "threshold": 2.0}, "3 against 2"),
    ],
)
def test_every_kind_says_why_it_is_believed(
    config: str, topic: Callable[[list[Record]], None], evidence: Record, said: str
) -> None:
    topic([alert("s1", evidence=evidence)])
    assert said in run("show", config, "--alerts").out


def test_an_alert_of_the_chain_is_of_all_stores(
    config: str, topic: Callable[[list[Record]], None]
) -> None:
    labels = {"alertname": "ChainShift", "chain_id": "north", "metric": "conversion"}
    evidence = {"detector": "chain_shift", "statistic": 0.5, "peers_firing": 9}
    topic([alert("", labels=labels, evidence=evidence)])
    assert "north / all" in run("show", config, "--alerts").out
