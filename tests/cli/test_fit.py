"""``stream-hb fit``: from a table to estimates, for people and as JSON."""

from pathlib import Path
from typing import Any

import pytest
from mpmath import mp

from tests.cli.running import Ran, run

RATES = "group,successes,trials\na,1,20\nb,9,30\nc,2,50\nd,30,60\nempty,0,0\n"
MEANS = "group,n,mean,sample_variance\na,5,9,4\nb,5,11,4\nc,5,10,4\n"
ALIKE = "group,successes,trials\na,5,100\nb,5,100\nc,5,100\n"
KEYS = [
    "family",
    "method",
    "groups_count",
    "hyperparameters",
    "log_likelihood",
    "boundary",
    "bimodal",
    "converged",
    "iterations",
    "groups",
    "new_group",
]


def fitted(table: str, *options: str) -> Any:
    """Fit by a point method where no option says which."""
    if not {"--method", "--given"} & set(options):
        options += ("--method", "reml" if "mean" in table else "ml")
    ran = run("fit", "-", *options, "--json", stdin=table)
    assert ran.code == 0, ran.err
    return ran.json


def test_the_json_object_has_exactly_the_documented_keys() -> None:
    result = fitted(RATES)
    assert list(result) == KEYS
    assert list(result["hyperparameters"]) == ["alpha", "beta", "mean", "concentration"]
    assert list(result["groups"][0]) == [
        "group",
        "raw",
        "estimate",
        "sd",
        "interval",
        "shrinkage_weight",
    ]
    assert list(result["new_group"]) == ["estimate", "sd", "interval"]


def test_the_groups_keep_the_tables_order_and_an_empty_one_has_no_raw_estimate() -> None:
    groups = fitted(RATES)["groups"]
    assert [group["group"] for group in groups] == ["a", "b", "c", "d", "empty"]
    assert groups[-1]["raw"] is None
    assert groups[-1]["shrinkage_weight"] == 1


def test_a_store_with_2_of_20_under_a_beta_5_95_prior() -> None:
    (store,) = fitted("group,successes,trials\ns,2,20\n", "--given", "alpha=5,beta=95")["groups"]
    assert store["estimate"] == 7 / 120
    assert store["shrinkage_weight"] == pytest.approx(100 / 120, rel=1e-15)


def test_means_9_11_10_of_five_observations_with_variance_4() -> None:
    table = "group,mean,n\na,9,5\nb,11,5\nc,10,5\n"
    result = fitted(table, "--sigma2", "4", "--method", "moments")
    assert result["hyperparameters"]["mu"] == pytest.approx(10, rel=1e-14)
    assert result["hyperparameters"]["tau2"] == pytest.approx(0.2, rel=1e-14)
    assert result["groups"][0]["estimate"] == pytest.approx(9.8, rel=1e-14)


def test_unequal_sizes_with_given_mean_and_variance() -> None:
    table = "group,mean,n\na,12,10\nb,8,2\n"
    groups = fitted(table, "--sigma2", "9", "--given", "mu=10,tau2=4")["groups"]
    assert [round(group["estimate"], 3) for group in groups] == [11.633, 9.059]
    assert [round(group["sd"] ** 2, 4) for group in groups] == [0.7347, 2.1176]


def test_a_common_variance_is_fitted_and_separate_ones_stay_the_groups_own() -> None:
    assert fitted(MEANS)["hyperparameters"]["sigma2"] == pytest.approx(4)
    separate = fitted(MEANS, "--variance", "separate")
    assert separate["hyperparameters"]["tau2"] == pytest.approx(0.2)


def test_all_methods_stand_side_by_side() -> None:
    result = fitted(MEANS, "--method", "all")
    assert (result["family"], result["method"]) == ("normal", "all")
    assert [fit["method"] for fit in result["fits"]] == [
        "moments",
        "dl",
        "pm",
        "ml",
        "reml",
        "bayes",
    ]
    assert list(result["fits"][0]) == KEYS
    assert [fit["method"] == "bayes" for fit in result["fits"]] == 5 * [False] + [True]
    lines = run("fit", "-", "--method", "all", stdin=MEANS).out.splitlines()
    wanted = ["a", "9", "9.8", "9.8", "9.8", "10", "9.8"]
    assert any(line.split()[:7] == wanted for line in lines)


def test_an_infinite_concentration_is_the_text_inf_and_the_boundary_is_told() -> None:
    result = fitted(ALIKE)
    assert result["hyperparameters"]["concentration"] == "inf"
    assert result["boundary"] is True
    ran = run("fit", "-", "--method", "ml", stdin=ALIKE)
    assert ran.code == 0
    assert ran.err.startswith("ml: the groups differ no more than chance makes them")


def test_given_hyperparameters_have_their_likelihood() -> None:
    fit = fitted(RATES)
    given = ",".join(f"{name}={fit['hyperparameters'][name]}" for name in ("alpha", "beta"))
    result = fitted(RATES, "--given", given)
    assert result["method"] == "given"
    assert result["log_likelihood"] == pytest.approx(fit["log_likelihood"], rel=1e-12)


def test_the_level_widens_the_intervals() -> None:
    (low, high), (lower, higher) = (
        fitted(RATES, "--level", level)["groups"][0]["interval"] for level in ("0.5", "0.99")
    )
    assert lower < low < high < higher


def test_people_see_hyperparameters_and_a_row_for_every_group() -> None:
    ran = run("fit", "-", "--method", "ml", stdin=RATES)
    assert ran.code == 0
    first, second, *_ = ran.out.splitlines()
    assert first == "beta-binomial, ml: 4 groups, hyperparameters taken as known (plug-in)"
    assert second.startswith("alpha ")
    assert [line.split()[0] for line in ran.out.splitlines() if " to " in line] == [
        *"abcd",
        "empty",
        "a",  # new group
    ]


def test_brackets_in_a_groups_name_are_no_markup() -> None:
    ran = run("fit", "-", stdin="group,successes,trials\n[red]x,1,2\n[/],1,9\n")
    assert ran.code == 0
    assert "[red]x" in ran.out
    assert "[/]" in ran.out


def test_people_see_the_first_groups_of_many_and_how_many_more_there_are() -> None:
    table = "group,successes,trials\n" + "".join(f"{row},{row % 5},10\n" for row in range(1000))
    ran = run("fit", "-", "--method", "ml", stdin=table)
    assert ran.out.count(" to ") == 201
    assert ran.err == "800 more groups: --json prints all\n"
    assert len(fitted(table)["groups"]) == 1000


def test_above_adds_each_groups_probability() -> None:
    table = "group,successes,trials\na,2,20\nb,0,0\n"
    result = fitted(table, "--given", "alpha=5,beta=95", "--above", "0.06")
    assert result["above"] == 0.06
    # mpmath: betainc(7, 113, 0.06, 1, regularized=True), betainc(5, 95, 0.06, 1, ...)
    wanted = [float(mp.betainc(a, b, 0.06, 1, regularized=True)) for a, b in ((7, 113), (5, 95))]
    got = [group["probability_above"] for group in result["groups"]]
    assert got == pytest.approx(wanted, rel=1e-12)
    assert "P(> 0.01)" in run("fit", "-", "--above", "0.01", stdin=RATES).out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--method", "reml"], "beta-binomial has no method 'reml'; did you mean 'ml'?"),
        (["--method", "momnts"], "did you mean 'moments'?"),
        (["--method", "ml", "--given", "alpha=1,beta=1"], "leave --method out"),
        (["--given", "alpha=1"], "missing: beta"),
        (["--given", "alpa=1,beta=1"], "did you mean 'alpha'?"),
        (["--given", "alpha"], "--given takes NAME=VALUE,…: 'alpha' is not"),
        (["--given", "alpha=x,beta=1"], "'alpha=x' is not"),
        (["--given", "alpha=-1,beta=1"], "alpha = -1.0"),
        (["--given", "alpha=1,alpha=2,beta=1"], "--given names 'alpha' twice"),
        (["--above", "nan"], "--above should be a finite number, not nan"),
        (["--prior", "bda", "--nested", "trials"], "--nested has several"),
        (["--prior", "bda", "--covariates", "trials"], "--covariates has several"),
        (["--level", "95"], "--level should lie between 0 and 1, not 95"),
        (["--sigma2", "0"], "--sigma2 should be above 0, not 0"),
        (["--prior", "half-normal"], "expected half-normal:S with S a finite number above 0"),
        (["--prior", "half-norml:1"], "did you mean 'half-normal'?"),
        (["--prior", "bda", "--location", "normal:1"], "leave --location out"),
        (["--prior", "bda", "--method", "ml"], "belong to --method bayes"),
        (["--location", "flt"], "no prior 'flt' of the location; did you mean 'flat'?"),
        (["--covariates", ","], "--covariates should name at least one column"),
        (["--covariates", "a,a"], "--covariates names 'a' twice"),
        (["--covariates", "a", "--nested", "b"], "cannot be joined"),
        (["--nested", "trails"], "no column 'trails' (did you mean 'trials'?)"),
        (["--family", "regression"], "no family 'regression'; known: beta-binomial"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(options: list[str], problem: str) -> None:
    ran = run("fit", "-", *options, stdin=RATES)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert problem in ran.err


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", "standard input: is empty"),
        ("group,successes,trials\na,3,2\n", "line 2 (group 'a'): column 'successes'"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_wrong_table_is_one_line_and_exit_code_2(table: str | bytes, problem: str) -> None:
    ran: Ran = run("fit", "-", stdin=table)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: standard input")
    assert problem in ran.err


def test_a_pool_without_data_is_told_so() -> None:
    ran = run("fit", "-", stdin="group,successes,trials\na,0,0\n")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: no group has data")


def test_a_file_is_read_like_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES, encoding="utf-8")
    assert run("fit", str(path), "--json").out == run("fit", "-", "--json", stdin=RATES).out
