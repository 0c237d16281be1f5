"""``fit --prior`` and ``--location``: the hyperpriors by their names."""

from collections.abc import Collection

from stream_hb.errors import UsageError
from stream_hb.models.hyperprior import (
    BDA,
    DEFAULT,
    Hyperprior,
    Prior,
    location_named,
    spread_named,
)


def prior_of(
    prior: str | None, location: str | None, family: str, methods: Collection[str]
) -> Prior:
    """Return the prior of the options; the family's own where neither is given.

    >>> prior_of("half-normal:0.5", None, "beta-binomial", ["bayes"])
    Hyperprior(spread=HalfNormal(scale=0.5), location=None)
    """
    if prior is None and location is None:
        return DEFAULT
    if "bayes" not in methods:
        raise UsageError("--prior and --location belong to --method bayes")
    if prior == "bda":
        return _bda(location, family)
    return Hyperprior(
        None if prior is None else spread_named(prior),
        None if location is None else location_named(location),
    )


def _bda(location: str | None, family: str) -> Prior:
    if family != "beta-binomial":
        raise UsageError(f"--prior bda is (α+β)^(-5/2) of beta-binomial: {family} has no α, β")
    # It is flat in the mean, so that much may be said again.
    if location not in {None, "flat"}:
        raise UsageError("--prior bda is a prior of the mean too: leave --location out")
    return BDA
