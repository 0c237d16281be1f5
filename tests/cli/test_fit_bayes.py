"""``stream-hb fit``: full Bayes, its priors, and what the table knows of its groups."""

from typing import Any

import numpy as np
import pytest

from tests.cli.running import run
from tests.oracles.reading import oracle

RATES = "group,successes,trials\na,1,20\nb,9,30\nc,2,50\nd,30,60\nempty,0,0\n"
MEANS = "group,n,mean,sample_variance\na,5,9,4\nb,5,11,1\nc,5,10,9\nd,5,14,3\n"


def fitted(table: str, *options: str) -> Any:
    ran = run("fit", "-", *options, "--json", stdin=table)
    assert ran.code == 0, ran.err
    return ran.json


def rats() -> str:
    data = oracle("rat_tumor")["data"]
    rows = zip(data["y"], data["n"], strict=True)
    return "group,successes,trials\n" + "".join(f"{i},{y},{n}\n" for i, (y, n) in enumerate(rows))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (RATES, ["mean", "log_concentration"]),
        ("group,events,exposure\na,1,2\nb,30,4\n", ["mean", "log_shape"]),
        ("group,mean,variance\na,1,2\nb,30,4\nc,3,4\n", ["mu", "tau"]),
    ],
)
def test_full_bayes_is_the_default_and_says_how_sure_it_is(table: str, names: list[str]) -> None:
    result = fitted(table)
    assert result["method"] == "bayes"
    assert list(result["hyperparameters"]) == names
    for hyperparameter in result["hyperparameters"].values():
        lo, hi = hyperparameter["interval"]
        assert lo < hyperparameter["mean"] < hi
        assert hyperparameter["sd"] > 0
    assert {*result["sensitivity"]} == {"spread", "prior_halved", "prior_doubled", "most_affected"}
    new = result["new_group"]
    assert new["interval"][0] < new["estimate"] < new["interval"][1]


def test_the_rat_tumors_under_the_books_prior() -> None:
    """BDA3 §5.3 by quadrature; the interval ends within .5 % of their width."""
    result = fitted(rats(), "--prior", "bda")
    values = oracle("rat_tumor")["oracle"]["quadrature"]["values"]
    got = result["hyperparameters"]["log_concentration"]
    assert got["mean"] == pytest.approx(values["log_kappa"]["mean"], abs=5e-3)
    assert got["sd"] == pytest.approx(values["log_kappa"]["sd"], rel=1e-2)
    for group, theta in zip(result["groups"], values["theta"], strict=False):
        if theta is None:
            continue
        width = theta["q"][4] - theta["q"][0]
        ends = [theta["q"][0], theta["q"][4]]
        assert group["interval"] == pytest.approx(ends, abs=0.005 * width)


def test_a_flat_location_and_bda_say_the_same_of_the_mean() -> None:
    assert fitted(RATES, "--prior", "bda", "--location", "flat") == fitted(RATES, "--prior", "bda")


def test_a_narrower_prior_of_the_spread_pools_more() -> None:
    wide, narrow = (fitted(RATES, "--prior", f"half-normal:{s}")["groups"] for s in (2, 0.1))
    for more, less in zip(narrow, wide, strict=True):
        assert more["shrinkage_weight"] >= less["shrinkage_weight"]
    assert narrow[0]["shrinkage_weight"] > wide[0]["shrinkage_weight"] + 0.1


@pytest.mark.parametrize("variance", ["common", "moderated", "separate"])
def test_variances_are_common_moderated_or_each_groups_own(variance: str) -> None:
    result = fitted(MEANS, "--variance", variance)
    widths = [np.diff(group["interval"])[0] for group in result["groups"]]
    assert len({round(width, 3) for width in widths}) == (1 if variance == "common" else 4) or (
        variance != "separate"
    )
    assert result["groups"][0]["estimate"] != result["groups"][0]["raw"]


def test_bda_belongs_to_beta_binomial() -> None:
    ran = run("fit", "-", "--prior", "bda", stdin=MEANS)
    assert (ran.code, ran.out) == (2, "")
    assert "normal has no" in ran.err


def test_a_covariate_draws_groups_to_others_like_them() -> None:
    rows = [(x, 4 + 10 * x, n) for x in (0, 1) for n in (100, 110, 120, 130)]
    table = "group,successes,trials,big\n" + "".join(
        f"{i},{y * n // 100},{n},{x}\n" for i, (x, y, n) in enumerate(rows)
    )
    plain, known = fitted(table), fitted(table, "--covariates", "big")
    assert len(known["groups"]) == 8
    # Against what is known of them the groups hardly differ: less is left of each one's own luck.
    assert known["groups"][0]["shrinkage_weight"] > plain["groups"][0]["shrinkage_weight"]
    assert known["groups"][0]["estimate"] < known["groups"][7]["estimate"]


def test_a_covariate_that_is_not_a_number_is_named_by_line() -> None:
    ran = run("fit", "-", "--covariates", "x", stdin="group,successes,trials,x\na,1,2,\nb,1,2,3\n")
    assert (ran.code, ran.out) == (2, "")
    assert "line 2 (group 'a'): column 'x' should be a finite number" in ran.err


def test_a_region_draws_its_stores_together() -> None:
    table = "group,mean,variance,region\n" + "".join(
        f"{r}{i},{m + i / 10},1,{r}\n" for r, m in (("n", 0), ("s", 10), ("w", 5)) for i in range(4)
    )
    table += "x,,inf,\n".replace("inf", "1").replace(",,", ",5,")
    result = fitted(table, "--nested", "region")
    north, south = (
        np.mean([g["estimate"] for g in result["groups"] if g["group"].startswith(r)]) for r in "ns"
    )
    assert south - north > 8
    plain = fitted(table)["groups"][0]
    assert result["groups"][0]["shrinkage_weight"] > plain["shrinkage_weight"]


ALIKE = (
    "group,successes,trials,region\na,5,100,n\nb,6,100,n\nc,1,100,s\nd,12,100,s\n"
    "e,3,100,\nf,2,100,w\n"
)


def test_regions_alike_are_told_apart_from_groups_alike() -> None:
    """It said that each estimate is the pooled mean, above a table of estimates that differ."""
    ran = run("fit", "-", "--nested", "region", "--method", "ml", stdin=ALIKE)
    assert ran.err == "ml: regions differ no more than chance makes them\n"


def test_regions_that_do_not_differ_leave_the_estimates_of_the_plain_family() -> None:
    """At ml's boundary groups of no region had other estimates than those of one."""
    nested, plain = (
        fitted(ALIKE, "--method", "ml", *options) for options in (("--nested", "region"), ())
    )
    for one, other in zip(nested["groups"], plain["groups"], strict=True):
        assert one["estimate"] == pytest.approx(other["estimate"], rel=1e-5)
        assert one["interval"] == pytest.approx(other["interval"], rel=1e-4)
    assert nested["new_group"]["estimate"] == pytest.approx(
        plain["new_group"]["estimate"], rel=1e-5
    )
