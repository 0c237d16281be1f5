"""From a configuration to the engine's settings."""

from pathlib import Path

import pytest

from stream_hb.config import Config, load_config
from stream_hb.errors import ConfigError
from stream_hb.events.partitioner import murmur2_partition
from stream_hb.runtime.assembly import replay_settings, route_of, run_settings

WHOLE = """\
topics: {inputs: [visits, purchases], estimates: e, rejects: r, partitioner: murmur2}
default_chain: corner
refit: {every_seconds: 2.5, min_change: 0.2}
emission: {changed_sd: 0.3, changed_width: 0.4, heartbeat_seconds: 7, everything_touched: true}
interval: {level: 0.8}
time: {lateness_seconds: 90}
limits: {groups: 12, batch_events: 345}
metrics: {order_rate: null, conversion: {method: moments}}
"""


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "chain.yaml"
    path.write_text(text)
    return load_config(path, {})


def test_every_setting_of_the_engine_comes_from_the_configuration(tmp_path: Path) -> None:
    settings = run_settings(config(tmp_path, WHOLE), partitions_count=8)
    assert settings.default_chain == "corner"
    assert (settings.refit_every_ms, settings.refit_min_change) == (2_500, 0.2)
    rule = settings.emission
    assert (rule.changed_sd, rule.changed_width) == (0.3, 0.4)
    assert (rule.heartbeat_ms, rule.everything_touched) == (7_000, True)
    assert (settings.level, settings.time.lateness_ms, settings.groups_max) == (0.8, 90_000, 12)
    assert settings.methods == {"conversion": "moments", "log_order_value": "bayes"}


def test_a_replay_has_no_heart_and_checks_no_partition(tmp_path: Path) -> None:
    settings = replay_settings(config(tmp_path, WHOLE))
    assert settings.emission.heartbeat_ms is None
    assert settings.belongs is None
    assert settings.refit_every_ms == 2_500


def test_without_a_setting_a_worker_refits_every_5_seconds_and_a_replay_every_hour(
    tmp_path: Path,
) -> None:
    plain = config(tmp_path, "topics: {inputs: [events]}\n")
    assert run_settings(plain, 1).refit_every_ms == 5_000
    assert replay_settings(plain).refit_every_ms == 3_600_000


@pytest.mark.parametrize("store", ["store-01", "a", "b.c:d"])
def test_a_store_belongs_where_the_partitioner_puts_it(tmp_path: Path, store: str) -> None:
    belongs = run_settings(config(tmp_path, WHOLE), partitions_count=8).belongs
    assert belongs is not None
    home = murmur2_partition(store.encode(), 8)
    assert [partition for partition in range(8) if belongs(store, partition)] == [home]


STORES = "stores: {path: stores.csv}\n"


def test_a_registered_store_is_of_the_shard_that_its_partition_is(tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("store_id\na\nb\n")
    settings = run_settings(config(tmp_path, WHOLE + STORES), partitions_count=8)
    assert settings.stores is not None
    assert settings.stores.keys == [("corner", "a"), ("corner", "b")]
    assert settings.registers is not None
    home = murmur2_partition(b"a", 8)
    assert [p for p in range(8) if settings.registers("a", p)] == [home]


def test_where_no_partition_is_known_a_registered_store_waits_for_its_first_event(
    tmp_path: Path,
) -> None:
    (tmp_path / "stores.csv").write_text("store_id\na\n")
    plain = config(tmp_path, STORES)
    assert run_settings(plain, partitions_count=8).registers is None
    for settings in (run_settings(plain, partitions_count=1), replay_settings(plain)):
        assert settings.registers is not None
        assert settings.registers("a", 0)


def test_more_stores_than_groups_may_be_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("store_id\na\nb\n")
    crowded = config(tmp_path, STORES + "limits: {groups: 1}\n")
    with pytest.raises(ConfigError, match=r"limits.groups: 1 are fewer than its 2 stores"):
        replay_settings(crowded)


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        (
            "conversion: {covariates: [siz]}",
            r"metrics.conversion.covariates: no column 'siz'; did you mean 'size'\?",
        ),
        (
            "log_order_value: {nested: region, variance: separate}",
            "metrics.log_order_value.variance: nested are for variance common only yet",
        ),
        (
            "order_rate: {covariates: [size], method: moments}",
            "metrics.order_rate.method: moments is not for covariates; ml, bayes are",
        ),
    ],
)
def test_what_the_stores_cannot_serve_is_a_mistake(
    tmp_path: Path, metrics: str, problem: str
) -> None:
    (tmp_path / "stores.csv").write_text("store_id,size\na,1\n")
    with pytest.raises(ConfigError, match=problem):
        replay_settings(config(tmp_path, f"{STORES}metrics: {{{metrics}}}\n"))


def test_without_a_partitioner_nothing_is_checked(tmp_path: Path) -> None:
    text = "topics: {inputs: [events], partitioner: none}\n"
    assert run_settings(config(tmp_path, text), 8).belongs is None


def test_records_go_to_the_configured_topics(tmp_path: Path) -> None:
    to = route_of(config(tmp_path, WHOLE))
    assert (to.estimates, to.rejects, to.batch_events) == ("e", "r", 345)
