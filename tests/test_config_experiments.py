"""Experiments in the configuration: every mistake at once, each with its path."""

import re
from pathlib import Path

import pytest

from stream_hb.config import Config, load_config
from stream_hb.feeds.experiments.declaration import DeclaredArm, Experiment, Guardrail
from stream_hb.runtime.feeds import feed_topics, unit_rules
from tests.test_config import FOLDER, problems, written

GOOD = """
experiments:
  declared:
    - id: ab
      arms: [{name: a, weight: 0.5}, {name: b, weight: 0.5}]
      control: a
      start: 2026-11-01T00:00:00Z
"""


def test_a_declaration_has_the_defaults_of_the_analysis(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), {})
    (declared,) = config.experiments.declared
    arms = DeclaredArm("a", 0.5), DeclaredArm("b", 0.5)
    assert declared.experiment() == Experiment("ab", arms, "a", 1_793_491_200_000)
    assert feed_topics(config) == {"experiments": "experiments"}
    (rule,) = unit_rules(config)
    assert (rule.arms, rule.window_ms) == (("a", "b"), 86_400_000)


def test_without_an_experiment_the_feed_is_off() -> None:
    assert feed_topics(Config()) == {}


def test_the_reference_has_an_example_that_loads(tmp_path: Path) -> None:
    lines = (FOLDER / "reference.yaml").read_text(encoding="utf-8").splitlines()
    first = next(at for at, line in enumerate(lines) if "analysed, for example" in line)
    last = next(at for at, line in enumerate(lines) if "A visitor may be in several" in line)
    example = [line.replace("  #", "   ", 1) for line in lines[first + 1 : last]]
    config = load_config(
        written(tmp_path, "\n".join(["experiments:", "  declared:", *example])), {}
    )
    (declared,) = config.experiments.declared
    assert declared.experiment().guardrails == (Guardrail("revenue_per_visit", 0.02),)


def test_all_mistakes_of_all_experiments_are_named_at_once(tmp_path: Path) -> None:
    text = """
experiments:
  declared:
    - id: ab
      arms: [{name: a, weight: 0.5}, {name: a, weight: 0.4}]
      control: c
      start: 2026-11-01T00:00:00Z
      metrics: [conversoin]
      guardrails: [{metric: conversion, margin: 2}]
    - id: one
      arms: [{name: a, weight: 1}]
      control: a
      start: 2026-11-01
      atribution_window_hours: 3
    - id: "?"
      arms: [{name: a, weight: 0}, {name: b, weight: .inf}]
      control: a
      start: 12
      attribution_window_hours: -1
      alpha: 0.7
"""
    assert problems(tmp_path, text) == (
        "experiments.declared.0.arms.1.name: arm 'a' is declared twice",
        "experiments.declared.0.arms: the weights sum to 0.9, expected 1",
        "experiments.declared.0.control: 'c' is no arm of the experiment (known: a)",
        "experiments.declared.0.metrics.0: 'conversoin' is no metric (did you mean 'conversion'?)",
        "experiments.declared.0.guardrails.0.margin: 2 is no share between 0 and 1",
        "experiments.declared.1.start: 2026-11-01 has no time zone: say 2026-11-01T00:00:00Z",
        "experiments.declared.1.atribution_window_hours: no such key; "
        "did you mean 'attribution_window_hours'?",
        "experiments.declared.2.arms.1.weight: should be a finite number, not inf",
    )


def test_numbers_out_of_their_range_are_named_in_the_configurations_words(tmp_path: Path) -> None:
    text = GOOD.replace("2026-11-01T00:00:00Z", "12") + (
        "      attribution_window_hours: -1\n"
        "      minimum_runtime_days: -1\n"
        "      alpha: 0.7\n"
        "      tuning: {units: 0}\n"
        "      prior: {sd: 0}\n"
        "      cap_minor: 0\n"
    )
    paths = [
        problem.partition(":")[0].rpartition("declared.0.")[2]
        for problem in problems(tmp_path, text)
    ]
    assert paths == [
        *("start", "attribution_window_hours", "minimum_runtime_days"),
        *("alpha", "tuning.units", "prior.sd", "cap_minor"),
    ]


def test_an_experiment_is_declared_once(tmp_path: Path) -> None:
    text = GOOD + GOOD.partition("declared:\n")[2]
    assert problems(tmp_path, text) == (
        "experiments.declared.1.id: experiment 'ab' is declared twice",
    )


def test_overlapping_experiments_are_allowed(tmp_path: Path) -> None:
    text = GOOD + GOOD.partition("declared:\n")[2].replace("id: ab", "id: cd")
    assert len(load_config(written(tmp_path, text), {}).experiments.declared) == 2


def test_a_window_that_outlasts_the_memory_is_a_problem(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD + "      attribution_window_hours: 140\n")
    assert found == (
        "experiments.declared.0.attribution_window_hours: the window, the lateness and two days "
        "for the ticks are 677400 s, but visits are forgotten after 604800 s "
        "(time.horizon_seconds)",
    )


def test_metrics_that_nothing_is_read_for_or_not_the_same_are_problems(tmp_path: Path) -> None:
    text = (
        """
metrics: {order_rate: null, conversion: {input: totals}}
"""
        + GOOD
        + "      metrics: [conversion, order_rate, log_order_value, revenue_per_visit]\n"
    )
    assert problems(tmp_path, text) == (
        "experiments.declared.0: order_rate is analysed, but not kept (metrics.order_rate)",
        "experiments.declared.0: conversion, log_order_value do not all read the same input",
        "experiments.declared.0: revenue_per_visit is of single events, but a metric reads totals",
    )


@pytest.mark.parametrize("start", ["1793491200000", "'2026-11-01T01:00:00+01:00'"])
def test_a_start_is_a_time_with_a_zone_or_milliseconds(tmp_path: Path, start: str) -> None:
    text = re.sub("start: .*", f"start: {start}", GOOD)
    (declared,) = load_config(written(tmp_path, text), {}).experiments.declared
    assert declared.start == 1_793_491_200_000
