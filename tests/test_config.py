"""The configuration: every mistake is named, the environment wins, secrets stay secret."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from stream_hb.config import Config, key_paths, load_config
from stream_hb.errors import ConfigError
from stream_hb.settings import ModelSettings

FOLDER = Path(__file__).parents[1] / "config"


def written(folder: Path, text: str) -> Path:
    path = folder / "chain.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, text), environ)
    return caught.value.problems


def paths_of(content: dict[str, Any], prefix: str = "") -> set[str]:
    paths: set[str] = set()
    for name, value in content.items():
        inner = paths_of(value, f"{prefix}{name}.") if isinstance(value, dict) else set()
        paths |= inner or {f"{prefix}{name}"}
    return paths


def test_the_reference_names_exactly_the_keys_that_exist() -> None:
    reference = yaml.safe_load((FOLDER / "reference.yaml").read_text(encoding="utf-8"))
    assert paths_of(reference) == set(key_paths())


def test_the_reference_holds_the_defaults() -> None:
    assert load_config(FOLDER / "reference.yaml", {}) == Config()


def test_the_example_loads() -> None:
    config = load_config(FOLDER / "chain.yaml", {})
    assert config.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert config.topics.inputs == ("visits", "purchases")


def test_every_key_says_what_it_means() -> None:
    schema = Config.model_json_schema()
    keys = [
        (name, key)
        for name, section in {"Config": schema, **schema["$defs"]}.items()
        for key, field in section["properties"].items()
        if "$ref" not in field and "description" not in field
    ]
    assert keys == []


def test_all_misspelt_keys_are_named_at_once_each_with_the_nearest(tmp_path: Path) -> None:
    text = "refti: {every_seconds: 2}\nkafka: {group: x}\nemission: {change_sd: 1}\nlevel: 0.9\n"
    assert sorted(problems(tmp_path, text)) == [
        "emission.change_sd: no such key; did you mean 'changed_sd'?",
        "kafka.group: no such key; did you mean 'group_id'?",
        "level: no such key; did you mean 'interval.level'?",
        "refti: no such key; did you mean 'refit'?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval: {level: 2}", "interval.level: should be less than 1, not 2"),
        ("kafka: {group_id: 7}", "kafka.group_id: should be a text, in quotes where it"),
        ("drift: {enabled: maybe}", "drift.enabled: should be true or false, not 'maybe'"),
        ("refit: {every_seconds: soon}", "refit.every_seconds: should be a number, not 'soon'"),
        (
            "metrics: {conversion: {covariates: size}}",
            "metrics.conversion.covariates: should be a list, like [a, b], not 'size'",
        ),
        ("limits: 3", "limits: should be a mapping of keys"),
        ("limits: {groups: many}", "limits.groups: should be a whole number, not 'many'"),
        ("refit: {every_seconds: 0}", "refit.every_seconds: should be greater than 0, not 0"),
        ("emission: {changed_sd: .nan}", "emission.changed_sd: should be a finite number"),
        (
            "metrics: {conversion: {method: reml}}",
            "should be 'moments', 'ml' or 'bayes', not 'reml'",
        ),
        ("topics: {inputs: []}", "topics: inputs should name at least one topic"),
        ("topics: {inputs: [a b]}", "topics.inputs.0: should match pattern"),
        ("topics: {inputs: [a], rejects: a}", "topics: each topic has one use, but a has two"),
        ("kafka: {bootstrap_servers: broker}", "should be host:port[,host:port…]; 'broker'"),
        ("kafka: {bootstrap_servers: 'a:9092,b:x'}", "'b:x' is not"),
        ("kafka: {client: {group.id: x}}", "set kafka.group_id instead"),
        ("kafka: {client: {group.protocol: consumer}}", "must meet in one worker"),
        ("kafka: {client: {partition.assignment.strategy: roundrobin}}", "must meet in one"),
        ("kafka: {client: {retries: [1]}}", "kafka.client: 'retries' should be a text"),
        ("kafka: {client: fast}", "kafka.client: should be a mapping"),
        ("metrics: {conversion: {prior: half-norml:1}}", "no prior 'half-norml'; did you mean"),
        ("metrics: {order_rate: {prior: uniform}}", "expected uniform:S with S a finite number"),
        ("metrics: {order_rate: {prior: bda}}", "metrics.order_rate.prior: no prior 'bda'"),
        ("metrics: {conversion: {location: normal:-1}}", "expected normal:S with S a finite"),
        (
            "metrics: {conversion: {prior: bda, location: flat}}",
            "metrics.conversion: prior bda is of both hyperparameters",
        ),
        (
            "metrics: {log_order_value: {variance: pooled}}",
            "should be 'common', 'moderated' or 'separate', not 'pooled'",
        ),
        (
            "metrics: {conversion: {half_life: auto}}",
            "metrics.conversion.half_life: auto chooses by the scores of calibration",
        ),
        (
            "metrics: {conversion: {half_life: auto}}\n"
            "calibration: {enabled: true, metrics: [order_rate]}",
            "let calibration.metrics have conversion",
        ),
        (
            "metrics: {order_rate: {half_life: auto, half_life_seconds: 5}}",
            "metrics.order_rate: half_life auto stands alone",
        ),
        (
            "metrics: {order_rate: {half_lives_days: [7]}}",
            "metrics.order_rate.half_lives_days: should have at least 2 items, not 1",
        ),
        (
            "metrics: {order_rate: {half_lives_days: [7, 30, 7]}}",
            "metrics.order_rate: half_lives_days names one twice",
        ),
        ("metrics: {order_rate: {half_life: 7}}", "should be 'auto', not 7"),
        (
            "metrics: {conversion: {covariates: [size, size]}}",
            "metrics.conversion: covariates names 'size' twice",
        ),
        (
            "metrics: {conversion: {covariates: [size], nested: region}}",
            "metrics.conversion: covariates and nested cannot be combined yet",
        ),
        (
            "metrics: {order_rate: {nested: region}}",
            "metrics.order_rate.nested: needs a table of stores: stores.path",
        ),
        (
            "metrics: {revenue_per_visit: true, conversion: null}",
            "metrics: revenue_per_visit needs conversion and log_order_value",
        ),
        ("topics: {refits: estimates}", "each topic has one use, but estimates has two"),
        (
            "metrics: {conversion: null, order_rate: null, log_order_value: null}",
            "metrics: at least one metric has to be kept",
        ),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("[kafka]", "should be a mapping of keys"),
        ("kafka: [", "is not valid YAML: line 1"),
        ("time: {}\ntime: {}", "is not valid YAML: line 2, column 1: the same key a second time"),
        ("[" * 3000, "is not valid YAML"),
        ("1: 2", "1: no such key; known: alert_sender, bots, calibration"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what_is_wrong(
    tmp_path: Path, text: str, problem: str
) -> None:
    (only,) = problems(tmp_path, text)
    assert problem in only
    assert "\n" not in only


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {})
    (tmp_path / "latin.yaml").write_bytes(b"default_chain: caf\xe9")
    with pytest.raises(ConfigError, match="is not UTF-8 text: byte 18"):
        load_config(tmp_path / "latin.yaml", {})


def test_a_section_with_every_key_commented_out_has_its_defaults(tmp_path: Path) -> None:
    text = "time:\n# lateness_seconds: 1\nkafka:\n  client:\n"
    assert load_config(written(tmp_path, text), {}) == Config()


def test_null_leaves_a_metric_out(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "metrics: {order_rate: null}"), {})
    assert config.metrics.kept() == {"conversion": "bayes", "log_order_value": "bayes"}


def test_a_models_settings_are_read_as_they_stand(tmp_path: Path) -> None:
    text = """\
stores: {path: stores.csv}
metrics:
  conversion: {method: bayes, prior: bda, covariates: [size, format]}
  order_rate: {prior: half-cauchy:0.5, location: flat, nested: region}
  log_order_value: {variance: moderated}
"""
    metrics = load_config(written(tmp_path, text), {}).metrics
    assert metrics.models() == {
        "conversion": ModelSettings(prior="bda", covariates=("size", "format")),
        "order_rate": ModelSettings(prior="half-cauchy:0.5", location="flat", nested=True),
        "log_order_value": ModelSettings(variance="moderated"),
    }


def test_the_stores_table_lies_beside_the_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, "stores: {path: known/stores.csv}")
    assert load_config(path, {}).stores.path == str(tmp_path / "known" / "stores.csv")
    over = load_config(path, {"STREAM_HB__STORES__PATH": "other.csv"})
    assert over.stores.path == str(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acks", "1"),
        ("auto.offset.reset", "latest"),
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", "true"),
        ("enable.idempotence", "false"),
        ("enable.partition.eof", "false"),
        ("group.instance.id", "mine"),
        ("isolation.level", "read_uncommitted"),
        ("isolation_level", "read_uncommitted"),
        ("metadata.broker.list", "elsewhere:9092"),
        ("partitioner", "random"),
        ("request.required.acks", "1"),
        ("transactional.id", "mine"),
    ],
)
def test_a_client_setting_that_a_guarantee_hangs_on_is_refused(
    tmp_path: Path, name: str, value: str
) -> None:
    """Wrong before: the user's settings come last, so some could undo the guarantee unseen."""
    path = written(tmp_path, f"kafka: {{client: {{{name}: {value}}}}}")
    with pytest.raises(ConfigError, match=f"'{name.replace('_', '.')}' cannot be set here: "):
        load_config(path, {})


@pytest.mark.parametrize("value", ["true", "{}"])
def test_revenue_per_visit_is_chosen_by_true_or_by_a_mapping(tmp_path: Path, value: str) -> None:
    config = load_config(written(tmp_path, f"metrics: {{revenue_per_visit: {value}}}"), {})
    assert config.metrics.composites() == ("revenue_per_visit",)
    assert Config().metrics.composites() == ()


def test_the_environment_wins_over_the_file_key_by_key(tmp_path: Path) -> None:
    path = written(tmp_path, "refit: {every_seconds: 1, min_change: 0.5}\ndefault_chain: a")
    config = load_config(
        path,
        {
            "STREAM_HB__REFIT__EVERY_SECONDS": "2",
            "STREAM_HB__TOPICS__INPUTS": '["mixed"]',
            "STREAM_HB__METRICS__ORDER_RATE": "null",
            "STREAM_HB__DEFAULT_CHAIN": "b",
            "STREAM_HB_SLOT": "1",
        },
    )
    assert (config.refit.every_seconds, config.refit.min_change) == (2.0, 0.5)
    assert config.topics.inputs == ("mixed",)
    assert config.metrics.order_rate is None
    assert config.default_chain == "b"


def test_only_the_given_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_HB__DEFAULT_CHAIN", "elsewhere")
    assert Config().default_chain == "default"
    assert load_config(written(tmp_path, "time: {}"), {}).default_chain == "default"


def test_a_wrong_override_is_named_by_its_variable(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "time: {}",
        STREAM_HB__TOPIC__INPUTS="[]",
        STREAM_HB__REFIT__MIN_CHANGE="2",
        STREAM_HB__REFIT__EVERY_SECOND="2",
    )
    assert found == (
        "STREAM_HB__TOPIC__INPUTS: no such section; did you mean 'topics'?",
        "refit.min_change (from STREAM_HB__REFIT__MIN_CHANGE): "
        "should be less than or equal to 1, not '2'",
        "refit.every_second (from STREAM_HB__REFIT__EVERY_SECOND): "
        "no such key; did you mean 'every_seconds'?",
    )
    (only,) = problems(tmp_path, "time: {}", STREAM_HB__TOPICS__INPUTS="visits")
    assert only == "STREAM_HB__TOPICS__INPUTS: lists and mappings are given as JSON"


def test_a_variable_whose_prefix_lacks_an_underline_is_not_overheard(tmp_path: Path) -> None:
    """Wrong before: nobody was told that it changed nothing."""
    (only,) = problems(tmp_path, "time: {}", STREAM_HB_REFIT__EVERY_SECONDS="2")
    meant = "STREAM_HB__REFIT__EVERY_SECONDS"
    assert only == f"STREAM_HB_REFIT__EVERY_SECONDS: did you mean {meant}?"


def test_client_settings_are_texts_as_librdkafka_takes_them(tmp_path: Path) -> None:
    text = "kafka: {client: {socket.keepalive.enable: true, linger_ms: 5}}"
    config = load_config(written(tmp_path, text), {"STREAM_HB__KAFKA__CLIENT__CLIENT_ID": "w"})
    assert config.kafka.revealed_client() == {
        "socket.keepalive.enable": "true",
        "linger.ms": "5",
        "client.id": "w",
    }


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    path = written(tmp_path, "kafka: {client: {sasl.password_file: password}}")
    assert load_config(path, {}).kafka.revealed_client() == {"sasl.password": "hunter2"}
    over = load_config(path, {"STREAM_HB__KAFKA__CLIENT__SASL_PASSWORD": "other"})
    assert over.kafka.revealed_client() == {"sasl.password": "other"}


def test_a_secret_file_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    files = "sasl.password_file: none, ssl.key.password_file: empty, a: 1, a_file: empty"
    text = f"kafka: {{client: {{{files}}}}}"
    missing, empty, twice, empty_again = problems(tmp_path, text)
    assert missing.startswith("kafka.client.sasl.password_file: ")
    assert missing.endswith("none cannot be read: No such file or directory")
    assert empty.endswith("empty is empty")
    assert twice == "kafka.client: a is given twice"
    assert empty_again.startswith("kafka.client.a_file: ")


@pytest.mark.parametrize(
    "name",
    ["sasl.password", "ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.client.secret"],
)
def test_a_secret_is_never_shown(tmp_path: Path, name: str) -> None:
    config = load_config(written(tmp_path, f"kafka: {{client: {{{name}: hunter2}}}}"), {})
    shown = f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    assert name in shown
    assert "hunter2" not in shown
    assert config.kafka.revealed_client() == {name: "hunter2"}


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {sasl.password: hunter2}",
        "kafka: {client: {sasl.password: [hunter2]}}",
        "kafka: {client: {sasl.password: hunter2, group.id: x}}",
        "kafka: {client: hunter2}",
        "kafka:\n  client:\n    sasl.password: *hunter2",
        "kafka:\n  client:\n    sasl.password: !hunter2 x",
        "kafka:\n  client:\n    sasl.password: 'hunter2",
        "sasl.password: hunter2",
    ],
)
def test_an_error_never_shows_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text), {})
    error = caught.value
    assert "hunter2" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_nothing_in_a_configuration_can_be_changed() -> None:
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.kafka.group_id = "x"
    assert isinstance(hash(config), int)
