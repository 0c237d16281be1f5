"""``stream-hb schema``."""

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from stream_hb.config import Config
from tests.cli.running import run

PACKAGED = sorted(
    file.name.removesuffix("_v1.json") for file in (files("stream_hb") / "schemas").iterdir()
)


@pytest.mark.parametrize("name", [*PACKAGED, "config"])
def test_every_schema_is_printed_and_is_one(name: str) -> None:
    ran = run("schema", name)
    assert (ran.code, ran.err) == (0, "")
    Draft202012Validator.check_schema(ran.json)


def test_events_and_estimates_have_schemas() -> None:
    assert {"event", "estimate"} <= set(PACKAGED)


def test_the_configurations_schema_takes_what_the_model_takes() -> None:
    schema = Draft202012Validator(run("schema", "config").json)
    schema.validate(json.loads(Config().model_dump_json()))
    schema.validate({"kafka": {"client": {"socket.keepalive.enable": True}}})
    assert not schema.is_valid({"kafka": {"clint": {}}})
    assert not schema.is_valid({"interval": {"level": 2}})


def test_a_misspelt_schema_is_answered_with_the_nearest() -> None:
    assert run("schema", "evnt") == (2, "", "error: no schema 'evnt'; did you mean 'event'?\n")
