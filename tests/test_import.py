"""``import stream_hb`` is light, and its public names are pinned."""

import subprocess
import sys

import pytest

import stream_hb

HEAVY = ("confluent_kafka", "numpy", "pydantic", "rich", "scipy", "structlog", "typer")


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules of a new interpreter that ran the statement."""
    program = f"{statement}\nimport sys\nprint(*(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import stream_hb").isdisjoint(HEAVY)


def test_the_engine_brings_no_kafka_and_no_interface() -> None:
    loaded = loaded_after("from stream_hb import Engine, EngineSettings; Engine(EngineSettings())")
    assert {"numpy", "msgspec"} <= loaded
    assert loaded.isdisjoint(
        ("confluent_kafka", "prometheus_client", "pydantic", "rich", "structlog", "typer")
    )


def test_a_pricing_service_that_reads_estimates_brings_no_numbers_and_no_kafka() -> None:
    loaded = loaded_after("from stream_hb import EstimateTable; EstimateTable()")
    assert "msgspec" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_public_names_are_these() -> None:
    assert stream_hb.__all__ == [
        "FAMILIES",
        "METRICS",
        "EmissionRule",
        "Engine",
        "EngineSettings",
        "EstimateTable",
        "RawBatch",
        "StreamHBError",
        "__version__",
    ]
    assert sorted(stream_hb.__all__, key=_constants_first) == stream_hb.__all__
    assert dir(stream_hb) == sorted(stream_hb.__all__)


def _constants_first(name: str) -> tuple[bool, str]:
    return not name.isupper(), name


@pytest.mark.parametrize("name", stream_hb.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    scope: dict[str, object] = {}
    exec(f"from stream_hb import {name}", scope)
    assert scope[name] is getattr(stream_hb, name)


def test_another_name_is_an_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="'stream_hb' has no attribute 'Engin'"):
        _ = stream_hb.Engin
