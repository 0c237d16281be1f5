"""Which table makes which statistic, and what its numbers must hold."""

from collections.abc import Sequence

import numpy as np
import pytest

from stream_hb.cli.fit_groups import Form, choose_form
from stream_hb.cli.tables import TableReader
from stream_hb.errors import StreamHBError, TableError, UsageError
from stream_hb.statistics.columns import Statistic
from stream_hb.statistics.counts import Counts
from stream_hb.statistics.exposure import Exposure
from stream_hb.statistics.measured import Measured
from stream_hb.statistics.moments import Moments


def chosen(
    header: str,
    family: str | None = None,
    sigma2: float | None = None,
    variance: str | None = None,
) -> Form:
    return choose_form(TableReader(iter([header]), "t.csv"), family, sigma2, variance)


def groups(
    header: str,
    rows: Sequence[str],
    sigma2: float | None = None,
    variance: str | None = None,
) -> Statistic:
    reader = TableReader(iter([header, *rows]), "t.csv")
    form = choose_form(reader, None, sigma2, variance)
    return form.groups(reader.read(form.columns))


def test_the_columns_say_the_family() -> None:
    assert chosen("group,successes,trials").family == "beta-binomial"
    assert chosen("group,events,exposure").family == "gamma-poisson"
    assert chosen("group,mean,variance").family == "normal"
    assert chosen("group,n,mean,sample_variance").family == "normal"
    assert chosen("group,mean,n", sigma2=4.0).family == "normal"


def test_the_family_decides_where_the_columns_leave_it_open() -> None:
    header = "group,successes,trials,events,exposure"
    assert chosen(header).family == "beta-binomial"
    assert chosen(header, "gamma-poisson").family == "gamma-poisson"


def test_each_form_makes_its_statistic() -> None:
    counts = groups("group,successes,trials", ["a,2,20", "b,0,0"])
    assert isinstance(counts, Counts)
    assert (counts.successes.tolist(), counts.trials.tolist()) == ([2, 0], [20, 0])
    exposure = groups("group,events,exposure", ["a,3,1.5"])
    assert isinstance(exposure, Exposure)
    assert (exposure.events.tolist(), exposure.exposure.tolist()) == ([3], [1.5])
    measured = groups("group,mean,variance", ["a,-3,1.5"])
    assert isinstance(measured, Measured)
    assert (measured.mean.tolist(), measured.variance.tolist()) == ([-3], [1.5])


def test_sigma2_is_the_variance_of_one_observation() -> None:
    measured = groups("group,mean,n", ["a,12,10", "b,,0"], sigma2=9.0)
    assert isinstance(measured, Measured)
    assert measured.variance.tolist() == [0.9, np.inf]
    assert measured.mean.tolist() == [12, 0]


def test_a_common_variance_needs_none_from_a_single_observation() -> None:
    moments = groups("group,n,mean,sample_variance", ["a,5,9,4", "b,1,3,NA", "c,0,,"])
    assert isinstance(moments, Moments)
    assert moments.weight.tolist() == [5, 1, 0]
    assert moments.mean.tolist() == [9, 3, 0]
    assert moments.m2.tolist() == [16, 0, 0]


@pytest.mark.parametrize("variance", ["common", "moderated", "separate"])
def test_observations_keep_their_own_squares_whatever_is_said_of_the_variance(
    variance: str,
) -> None:
    made = groups("group,n,mean,sample_variance", ["a,5,9,4"], variance=variance)
    assert isinstance(made, Moments)
    assert (made.weight.tolist(), made.m2.tolist()) == ([5], [16])


@pytest.mark.parametrize(
    ("header", "row", "variance", "problem"),
    [
        (
            "group,successes,trials",
            "b,3,2",
            None,
            "'successes' should be at most the trials, not 3",
        ),
        ("group,successes,trials", "b,-1,2", None, "'successes' should not be negative, not -1"),
        ("group,successes,trials", "b,nan,2", None, "'successes' should be a finite number"),
        ("group,successes,trials", "b,1,inf", None, "'trials' should be a finite number, not inf"),
        ("group,events,exposure", "b,1,-1", None, "'exposure' should not be negative, not -1"),
        ("group,events,exposure", "b,1,0", None, "'exposure' should be above 0 where there are"),
        ("group,mean,variance", "b,1,0", None, "'variance' should be above 0, not 0"),
        ("group,mean,variance", "b,,1", None, "'mean' should be a finite number, not empty"),
        ("group,n,mean,sample_variance", "b,3,1,-1", None, "'sample_variance' should not be"),
        ("group,n,mean,sample_variance", "b,3,1,", None, "'sample_variance' should be a finite"),
        ("group,n,mean,sample_variance", "b,-1,1,1", None, "'n' should not be negative"),
        ("group,n,mean,sample_variance", "b,1,1,1", "separate", "'n' should be 2 or more"),
    ],
)
def test_an_impossible_number_is_named_by_line_group_and_column(
    header: str, row: str, variance: str | None, problem: str
) -> None:
    good = ",".join(["a", *("2" for _ in header.split(",")[1:])])
    with pytest.raises(TableError) as caught:
        groups(header, [good, row], variance=variance)
    assert str(caught.value).startswith(f"t.csv, line 3 (group 'b'): column {problem}")


@pytest.mark.parametrize(
    ("header", "family", "problem"),
    [
        ("group,succeses,trials", None, "no column 'successes' (did you mean 'succeses'?)"),
        ("group,a,b", "gamma-poisson", "no column 'events', 'exposure'; it has group,a,b"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(
    header: str, family: str | None, problem: str
) -> None:
    form = chosen(header, family)
    with pytest.raises(TableError) as caught:
        TableReader(iter([header]), "t.csv").read(form.columns)
    assert problem in str(caught.value)


def test_a_table_of_no_family_is_told_what_each_needs() -> None:
    with pytest.raises(TableError) as caught:
        chosen("group;successes;trials")
    assert "has the columns group;successes;trials\n" in str(caught.value)
    assert "group,mean,variance or group,mean,n with --sigma2 (normal)" in str(caught.value)


@pytest.mark.parametrize(
    ("family", "sigma2", "variance", "problem"),
    [
        ("norml", None, None, "did you mean 'normal'"),
        ("beta-binomial", 1.0, None, "belong to --family normal"),
        ("normal", 1.0, "common", "leave --variance out"),
        ("normal", None, "moderatd", "did you mean 'moderated'"),
        (None, None, "comon", "did you mean 'common'"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    family: str | None, sigma2: float | None, variance: str | None, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        chosen("group,n,mean,sample_variance", family, sigma2, variance)
    assert issubclass(UsageError, StreamHBError)


@pytest.mark.parametrize(
    "header", ["group,successes,trials", "group,events,exposure", "group,mean,n"]
)
def test_counts_that_leave_the_quadrature_no_digits_are_refused(header: str) -> None:
    """A fit of 1e300 trials ran without an end, one of 1e15 ended in NaN."""
    sigma2 = 1.0 if header.endswith(",n") else None
    groups(header, ["a,1,1000000000000"], sigma2)
    with pytest.raises(TableError, match=r"should be at most 1e\+12, not 1e\+15"):
        groups(header, ["a,1,1e15"], sigma2)


def test_a_variance_whose_square_is_no_number_is_refused() -> None:
    with pytest.raises(TableError, match=r"group 'a'.*'variance' should be at least 1e-100"):
        groups("group,mean,variance", ["a,1,1e-300"])
