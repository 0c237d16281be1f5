"""``stream-hb check``."""

from pathlib import Path

import pytest
import yaml

from stream_hb.config import Config, load_config
from tests.cli.running import run

EXAMPLE = str(Path(__file__).parents[2] / "config" / "chain.yaml")


def test_what_is_printed_is_the_configuration_again(tmp_path: Path) -> None:
    ran = run("check", EXAMPLE)
    assert (ran.code, ran.err) == (0, "")
    again = tmp_path / "again.yaml"
    again.write_text(ran.out, encoding="utf-8")
    assert load_config(again, {}) == load_config(EXAMPLE, {})


def test_defaults_and_the_environment_are_in_what_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAM_HB__REFIT__EVERY_SECONDS", "7")
    config = run("check", EXAMPLE, "--json").json["config"]
    assert config["refit"] == {"every_seconds": 7.0, "min_change": Config().refit.min_change}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_secrets_are_masked(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text("kafka: {client: {sasl.password: hunter2}}", encoding="utf-8")
    ran = run("check", str(path), *options)
    assert "hunter2" not in ran.out + ran.err
    assert "*****" in ran.out
    assert "sasl.password" in ran.out


def test_every_problem_is_told_at_once_with_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text("refti: {}\nkafka: {group: x}\nlevel: 1\n", encoding="utf-8")
    ran = run("check", str(path))
    assert (ran.code, ran.out) == (2, "")
    first, *problems = ran.err.splitlines()
    assert first == f"error: {path}: 3 problems"
    assert len(problems) == 3


def test_an_empty_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.touch()
    ran = run("check", str(path))
    assert ran == (2, "", f"error: {path}: is empty; start from config/chain.yaml\n")


def test_what_the_configuration_names_is_read_and_all_of_it_told_at_once(tmp_path: Path) -> None:
    """Wrong before: only the first was told, and of rates and of the sender's files none."""
    path = tmp_path / "chain.yaml"
    path.write_text(
        "stores: {path: s.csv}\n"
        "money: {currency: EUR, rates_path: r.csv}\n"
        "alert_sender: {url: 'http://127.0.0.1:1', authorization_file: a}\n"
        "kafka: {client: {sasl.pasword: hunter2}}\n"
    )
    ran = run("check", str(path))
    absent = "No such file or directory"
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"error: {path}: 4 problems",
        f"stores.path: {tmp_path}/s.csv: cannot be read: {absent}",
        f"money.rates_path: {tmp_path}/r.csv: cannot be read: {absent}",
        'kafka.client: No such configuration property: "sasl.pasword"',
        f"alert_sender.authorization_file: {tmp_path}/a: {absent}",
    ]


def test_a_secret_under_a_misspelt_name_is_not_printed(tmp_path: Path) -> None:
    """Wrong before: what is no secret's name was shown, and librdkafka asked by ``run`` only."""
    path = tmp_path / "chain.yaml"
    path.write_text("kafka: {client: {sasl.pasword: hunter2}}")
    ran = run("check", str(path), "--json")
    assert ran.code == 2
    assert "hunter2" not in ran.out + ran.err


def test_the_yaml_is_plain_yaml() -> None:
    assert yaml.safe_load(run("check", EXAMPLE).out)["topics"]["inputs"] == ["visits", "purchases"]


def test_what_the_stores_table_says_is_checked_and_told(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text("stores: {path: s.csv}\nmetrics: {conversion: {covariates: [siz]}}\n")
    (tmp_path / "s.csv").write_text("store_id,size\na,1\nb,2\n")
    ran = run("check", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "metrics.conversion.covariates: no column 'siz'; did you mean 'size'?" in ran.err
    path.write_text("stores: {path: s.csv}\nmetrics: {conversion: {covariates: [size]}}\n")
    ran = run("check", str(path))
    assert ran.code == 0
    assert f"# {tmp_path}/s.csv: 2 stores in 1 chains" in ran.out
    (tmp_path / "s.csv").write_text("store_id,size\na,2\nb,big\n")
    ran = run("check", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "s.csv, line 3: column 'size': expected a number" in ran.err
