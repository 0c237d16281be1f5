"""``stream-hb fit``: one pool from a table, the bridge to lme4, metafor and notebooks."""

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_hb.errors import UsageError, nearest

if TYPE_CHECKING:
    from stream_hb.models.family import Family, Fit
    from stream_hb.models.hyperprior import Prior

EXAMPLES = """\b
Columns of the table (others are left alone):
  beta-binomial  group,successes,trials
  gamma-poisson  group,events,exposure
  normal         group,mean,variance
                 group,mean,n with --sigma2
                 group,n,mean,sample_variance

\b
Examples:
  stream-hb fit stores.csv
  stream-hb fit - --sigma2 4 --method all < means.csv
  stream-hb fit stores.csv --prior half-cauchy:0.5
  stream-hb fit stores.csv --nested region
  stream-hb fit stores.csv --given alpha=5,beta=95 --above 0.08 --json
"""


def fit(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="A CSV file, also .gz, or - for standard input.")
    ],
    family: Annotated[
        str | None,
        typer.Option(help="beta-binomial, gamma-poisson or normal; else by the columns."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="bayes integrates over the hyperparameters; moments or ml (for normal also dl, "
            "pm, reml) take them as known; all: side by side. Default: bayes."
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE,…",
            help="Take the hyperparameters as given: alpha,beta or shape,rate or mu,tau2 (others "
            "with --nested: a wrong name is answered with the right ones).",
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:S",
            help="Prior of the spread between groups, for bayes: half-normal:S, half-cauchy:S or "
            "uniform:S; bda is (α+β)^(-5/2).",
        ),
    ] = None,
    location: Annotated[
        str | None,
        typer.Option(
            metavar="flat|normal:S", help="Prior of the mean (on its link scale), for bayes."
        ),
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Columns of numbers that shift the groups' prior mean."),
    ] = None,
    nested: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="A column that groups the groups, such as region."),
    ] = None,
    above: Annotated[
        float | None, typer.Option(help="Add each group's probability of lying above this.")
    ] = None,
    sigma2: Annotated[
        float | None, typer.Option(help="Variance of one observation, where it is known.")
    ] = None,
    variance: Annotated[
        str | None,
        typer.Option(
            help="common: one for all groups; moderated: each group's own, shrunk to what is "
            "usual; separate: each group's own."
        ),
    ] = None,
    level: Annotated[float, typer.Option(help="Probability inside the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit one pool from a table of group statistics."""
    _check_numbers(level, sigma2, above)

    from stream_hb.cli.fit_description import Description
    from stream_hb.cli.fit_groups import choose_form
    from stream_hb.cli.fit_prior import prior_of
    from stream_hb.cli.fit_report import FittedPool, print_pools, print_pools_json
    from stream_hb.cli.tables import open_table

    description = Description.of(covariates, nested)
    with open_table(table) as reader:
        form = choose_form(reader, family, sigma2, variance)
        model = description.family(form.model)
        methods = _methods(model, method, given)
        hyperprior = prior_of(prior, location, form.family, methods if given is None else ())
        description.require_takes(prior)
        rows = reader.read((*form.columns, *description.covariates), description.texts)
    groups = description.described(form.groups(rows), rows)
    pools = [
        FittedPool.of(model, rows.names, groups, fitted, level, above)
        for fitted in _fits(model, groups, methods, given, hyperprior)
    ]
    (print_pools_json if as_json else print_pools)(pools)


def _check_numbers(level: float, sigma2: float | None, above: float | None) -> None:
    if not 0 < level < 1:
        raise UsageError(f"--level should lie between 0 and 1, not {level:g}")
    if sigma2 is not None and not 0 < sigma2 < float("inf"):
        raise UsageError(f"--sigma2 should be above 0, not {sigma2:g}")
    if above is not None and not isfinite(above):
        raise UsageError(f"--above should be a finite number, not {above:g}")


def _methods(model: "Family[Any, Any]", method: str | None, given: str | None) -> tuple[str, ...]:
    known = (*model.methods, "all")
    if given is not None and method is not None:
        raise UsageError("--given takes the hyperparameters as they are: leave --method out")
    if method is None:
        return model.methods[-1:]  # the family's default
    if method not in known:
        raise UsageError(f"{model.name} has no method {method!r}; {nearest(method, known)}")
    return model.methods if method == "all" else (method,)


def _fits(
    model: "Family[Any, Any]",
    groups: Any,
    methods: tuple[str, ...],
    given: str | None,
    prior: "Prior",
) -> "list[Fit[Any]]":
    if given is None:
        return [model.fit(groups, method, prior) for method in methods]
    from stream_hb.models.family import Fit

    hyper = model.condition(_completed(parse_given(given), groups))
    return [
        Fit(
            method="given",
            hyper=hyper,
            log_likelihood=model.log_likelihood(groups, hyper),
            boundary=getattr(hyper, "tau2", 1.0) == 0,
            bimodal=False,
            converged=True,
            iterations=0,
            groups_count=len(groups),
        )
    ]


def _completed(given: dict[str, float], groups: Any) -> dict[str, float]:
    """Add the pooled within-variance where the groups' own observations tell it."""
    from stream_hb.models.normal_observations_fit import pooled_variance
    from stream_hb.statistics.moments import Moments

    if not isinstance(groups, Moments):
        return given
    return {"sigma2": pooled_variance(groups), **given}


def parse_given(text: str) -> dict[str, float]:
    """Read ``NAME=VALUE,…``; the family knows its names.

    >>> parse_given("alpha=2, beta=10")
    {'alpha': 2.0, 'beta': 10.0}
    """
    given: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name in given:
            raise UsageError(f"--given names {name!r} twice")
        try:
            given[name] = float(value)
        except ValueError:
            raise UsageError(f"--given takes NAME=VALUE,…: {part!r} is not") from None
    return given
