from dataclasses import replace
from typing import Any

import pytest

from stream_hb.errors import ConfigError
from stream_hb.feeds.experiments.declaration import (
    DeclaredArm,
    Experiment,
    Guardrail,
    check_experiments,
)
from stream_hb.feeds.experiments.evalues import Tuning
from stream_hb.feeds.experiments.lift import LiftPrior
from tests.feeds.experiments.looked import THREE, TWO


def _problems(*experiments: Experiment) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        check_experiments(experiments, "chain.yaml")
    return raised.value.problems


def test_a_right_declaration_is_taken() -> None:
    off = replace(THREE, arms=(*TWO.arms, DeclaredArm("c", 0.0)), experiment_id="off")
    rails = replace(
        THREE,
        experiment_id="railed",
        guardrails=(Guardrail("revenue_per_visit", 0.02),),
        tuning=Tuning(tau=0.05),
        prior=None,
    )
    check_experiments([TWO, replace(THREE, experiment_id="three"), off, rails])
    assert off.comparisons == ("b",)
    assert rails.analysed == ("conversion", "revenue_per_visit")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"experiment_id": "a b"}, "experiment_id: 'a b' is no identifier"),
        ({"arms": TWO.arms[:1]}, "arms: 1 declared, expected a control and at least one arm more"),
        (
            {"arms": (DeclaredArm("a", 0.5), DeclaredArm("b", 0.6))},
            "arms: the weights sum to 1.1, expected 1",
        ),
        (
            {"arms": (*TWO.arms, DeclaredArm("b", 0.0))},
            "arms[2].name: arm 'b' is declared twice",
        ),
        ({"arms": (*TWO.arms, DeclaredArm("", 0.0))}, "arms[2].name: '' is no identifier"),
        (
            {"arms": (DeclaredArm("a", 1.5), DeclaredArm("b", -0.5))},
            "arms[0].weight: 1.5 is not between 0 and 1",
        ),
        (
            {"arms": (DeclaredArm("a", float("nan")), DeclaredArm("b", 0.5))},
            "arms: the weights sum to nan, expected 1",
        ),
        ({"control": "c"}, "control: 'c' is no arm of the experiment"),
        (
            {"arms": (DeclaredArm("a", 0.0), DeclaredArm("b", 1.0))},
            "control: arm 'a' has weight 0: nothing compares with it",
        ),
        ({"metrics": ()}, "metrics: none declared; the first decides"),
        ({"metrics": ("conversions",)}, "metrics[0]: 'conversions' is no metric (did you mean"),
        ({"metrics": ("conversion",) * 2}, "metrics[1]: 'conversion' is named twice"),
        (
            {"guardrails": (Guardrail("speed", 0.02),)},
            "guardrails[0].metric: 'speed' is no metric",
        ),
        (
            {"guardrails": (Guardrail("conversion", 0.02), Guardrail("conversion", 0.1))},
            "guardrails[1].metric: 'conversion' is named twice",
        ),
        (
            {"guardrails": (Guardrail("conversion", 2.0),)},
            "guardrails[0].margin: 2 is no share between 0 and 1",
        ),
        ({"start_ms": 1_700_000_000}, "start_ms: 1700000000 is no time in milliseconds"),
        ({"attribution_window_ms": -1}, "attribution_window_ms: -1 is below 0"),
        ({"minimum_runtime_ms": -1}, "minimum_runtime_ms: -1 is below 0"),
        ({"alpha": 0.5}, "alpha: 0.5 is not between 0 and 0.5"),
        ({"tuning": Tuning(0.0)}, "tuning.units: 0 is no number of units above 0"),
        ({"tuning": Tuning(tau=0.0)}, "tuning.tau: 0 is no spread of relative lifts above 0"),
        ({"prior": LiftPrior(0.0, 0.0)}, "prior.sd: 0 is no spread of relative lifts above 0"),
        ({"cap_minor": 0}, "cap_minor: 0 is no amount in minor units above 0"),
    ],
)
def test_every_mistake_is_named_with_its_path(changes: dict[str, Any], problem: str) -> None:
    found = _problems(replace(TWO, **changes))
    assert any(one.startswith(f"experiments[0].{problem}") for one in found), found


def test_all_mistakes_are_told_at_once() -> None:
    wrong = replace(TWO, control="c", alpha=0.9, metrics=("speed",))
    assert len(_problems(TWO, wrong)) == 4  # and its id is that of the first


def test_an_experiment_declared_twice_is_told_once() -> None:
    expected = "experiments[1].experiment_id: experiment 'ab' is declared twice"
    assert _problems(TWO, TWO) == (expected,)


@pytest.mark.parametrize(
    ("changes", "is_new"),
    [
        ({"tuning": Tuning(4_000)}, True),
        ({"tuning": Tuning(tau=0.1)}, True),
        ({"metrics": ("order_rate",)}, True),
        ({"arms": (DeclaredArm("a", 0.4), DeclaredArm("b", 0.6))}, True),
        ({"control": "b"}, True),
        ({"attribution_window_ms": 5}, True),
        ({"cap_minor": 5}, True),
        ({"alpha": 0.01}, True),
        ({"cuped": False}, True),
        ({"prior": None}, False),
        ({"minimum_runtime_ms": 5}, False),
    ],
)
def test_what_an_e_value_depends_on_is_in_the_fingerprint(
    changes: dict[str, Any], is_new: bool
) -> None:
    assert (replace(TWO, **changes).fingerprint() != TWO.fingerprint()) == is_new
