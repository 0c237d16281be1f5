"""Maximum and restricted maximum likelihood of the two variances between means.

With observations the search is in the ratios to σ², which then is a closed form: the likelihood is
that of lme4's ``y ~ 1 + (1 | region/store)`` (Bates et al. 2015, doi:10.18637/jss.v067.i01). With
known variances it is that of metafor's ``rma.mv(yi, vi, random = ~ 1 | region/store)``.
"""

import math
from dataclasses import dataclass

import numpy as np

from stream_hb.models.nested.climb import Range, Summit, highest_summit
from stream_hb.models.nested.layout import Layout
from stream_hb.models.nested.normal_likelihood import chain, slopes
from stream_hb.statistics.columns import Floats

_EPSILON = 2.0**-52
_BLOCK_CELLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Means:
    """The stores' means as both families see them.

    Attributes
    ----------
    y
        Means, sorted by region.
    unit
        Known sampling variances, or 1/n.
    n
        Observations of each store; None with known variances.
    m2
        Sum of squares within stores, at least what rounding leaves; 0 with known variances.
    layout
        Which of them make a region.
    """

    y: Floats
    unit: Floats
    n: Floats | None
    m2: float
    layout: Layout

    @property
    def spread(self) -> float:
        """Range of the means."""
        return float(self.y.max() - self.y.min())

    @property
    def degrees_within(self) -> float:
        """Observations less stores: what σ² alone is known from; 0 with known variances.

        A store of less than one observation (decayed) takes nothing away from the others.
        """
        return 0.0 if self.n is None else float(np.maximum(self.n - 1, 0).sum())


def rounding(y: Floats) -> float:
    """Return the least variance to believe in: equal prices are only equal to the last digit."""
    return (_EPSILON * (float(np.abs(y).max()) or 1.0)) ** 2


def fit_variances(means: Means, *, restricted: bool) -> tuple[Floats, float, Summit]:
    """Return (τ²_store, τ²_region), σ² (NaN with known variances) and how they were found."""
    degrees = None if means.n is None else means.degrees_within + len(means.y) - restricted
    scale = 1.0 if degrees is None else means.m2 / max(means.degrees_within, 1.0)
    lowest = 1e-3 * float(means.unit.min())
    highest = 10 * means.spread**2 / scale + 2 * lowest
    store_free = means.n is None or means.degrees_within > 0
    ranges = (
        Range(lowest, highest, free=store_free and len(means.y) > 1),
        Range(_lowest_region(means), highest, free=means.layout.tells_apart),
    )

    def profile(log_det: Floats, q: Floats, total: Floats) -> Floats:
        squares = q if degrees is None else degrees * np.log(means.m2 + q)
        value: Floats = -(log_det + squares + restricted * np.log(total)) / 2
        return value

    def many(store: Floats, region: Floats) -> Floats:
        block = max(1, _BLOCK_CELLS // len(means.y))
        parts = []
        for i in range(0, len(store), block):
            rows = slice(i, i + block)
            at = chain(means.y, means.unit, store[rows], region[rows], means.layout)
            parts.append(profile(at.log_det, at.q, at.total))
        return np.concatenate(parts)

    def one(point: Floats) -> tuple[float, Floats]:
        at = chain(means.y, means.unit, point[:1], point[1:], means.layout)
        slope = slopes(means.y, at, means.layout)
        per_q = 1.0 if degrees is None else degrees / (means.m2 + float(at.q[0]))
        gradient = -(slope.log_det + per_q * slope.q + restricted * slope.log_total) / 2
        return float(profile(at.log_det, at.q, at.total)[0]), gradient

    summit = highest_summit(many, one, ranges)
    if degrees is None:
        return summit.at, math.nan, summit
    at = chain(means.y, means.unit, summit.at[:1], summit.at[1:], means.layout)
    sigma2 = (means.m2 + float(at.q[0])) / max(degrees, 1.0)
    return summit.at * sigma2, sigma2, summit


def _lowest_region(means: Means) -> float:
    """Return 1e-3 of the variance of the best-known region's mean if its stores did not differ."""
    return 1e-3 / float(means.layout.sums(1 / means.unit).max())
