r"""Always-valid inference on a Normal effect: e-values, p-values and confidence sequences.

One closed form serves them all. With effect d, its variance V, z = d/√V and a Normal mixture of sd
τ over effects, r = τ²/V,

.. math:: E = (1 + r)^{-1/2} \exp\{r z^2/2(1 + r)\}

is an e-process under no effect (Robbins 1970; Johari et al. 2022, doi:10.1287/opre.2021.2135): it
reaches 1/α at any time with probability α at most, however often it is looked at. The mixture is
either τ itself, from past experiments, or r = Nρ² with ρ tuned to a number of units N*
(Waudby-Smith et al. 2024, doi:10.1214/24-AOS2408). Both are frozen before the first look: a mixture
that follows the data is no longer an e-process.

Everything is computed in logarithms: E of a clear effect overflows.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import lambertw, log_ndtr

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats


class Tuning(NamedTuple):
    """How the mixture of an e-process is chosen, for the whole of an experiment.

    units
        N*: the number of units, of both arms together, at which the sequence is narrowest.
    tau
        The mixture's sd in the effect's unit, in place of N*; None: by N*.
    """

    units: float = 5_000.0
    tau: float | None = None

    def ratio(self, variance: Floats, units: Floats, alpha: float) -> Floats:
        """Return r = τ²/V of effects with these variances, from these numbers of units.

        >>> Tuning(units=5000).ratio(np.array([1.0]), np.array([5000.0]), 0.05).round(6)
        array([7.936155])
        """
        if self.tau is None:
            return units * rho2(self.units, alpha)
        return np.divide(self.tau**2, variance, out=np.zeros_like(variance), where=variance > 0)


def rho2(units: float, alpha: float) -> float:
    """Return ρ² that makes the sequence about narrowest at this many units (eq. 161 there).

    Raises
    ------
    FitError
        The number of units is not above 0, or alpha not in (0, 1).
    """
    if not (units > 0 and 0 < alpha < 1):
        raise FitError(f"a sequence needs units above 0 and alpha in (0, 1), got {units}, {alpha}")
    log_inverse = -2 * math.log(alpha)
    return (log_inverse + math.log1p(log_inverse)) / units


def best_ratio(alpha: float) -> float:
    """Return the r at which the sequence is narrowest for its time: 8.21 at alpha .05.

    >>> round(best_ratio(0.05), 6)
    8.211968
    """
    # 1 + r solves u - ln u = 1 + 2 ln(1/α): the lower branch of Lambert's W.
    return float(-lambertw(-math.exp(-1) * alpha**2, -1).real) - 1


def log_e_value(z: Floats, ratio: Floats) -> Floats:
    """Return ln E of effects z standard errors from zero.

    >>> np.exp(log_e_value(np.array([3.0]), np.array([8.0]))).round(6)
    array([18.199383])
    """
    out: Floats = 0.5 * (ratio / (1 + ratio) * z**2 - np.log1p(ratio))
    return out


def log_e_value_above(z: Floats, ratio: Floats) -> Floats:
    r"""Return ln E against "no effect or a negative one": the mixture's positive half.

    :math:`E = 2(1 + r)^{-1/2}\exp\{rz^2/2(1 + r)\}\,Φ(z\sqrt{r/(1 + r)})` (Howard et al. 2021,
    doi:10.1214/20-AOS1991, Prop. 6).
    """
    share = ratio / (1 + ratio)
    out: Floats = math.log(2) + log_e_value(z, ratio) + log_ndtr(z * np.sqrt(share))
    return out


def half_width(se: Floats, ratio: Floats, alpha: float) -> Floats:
    r"""Return half the width of the confidence sequence.

    :math:`se\sqrt{(1 + r)/r\,[\ln(1 + r) + 2\ln(1/α)]}`; infinite while r is 0.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wide = se * np.sqrt((1 + ratio) / ratio * (np.log1p(ratio) - 2 * math.log(alpha)))
    return np.where(ratio > 0, wide, np.inf)


def half_width_one_sided(se: Floats, ratio: Floats, alpha: float) -> Floats:
    r"""Return how far the one-sided sequence's bound lies from the estimate.

    :math:`se\sqrt{2(1 + r)/r\,\ln\{1 + \sqrt{1 + r}/2α\}}`, a closed form just above the exact
    one; ``ratio`` is to be tuned with 2α.

    Raises
    ------
    FitError
        alpha is not below one half.
    """
    if not 0 < alpha < 0.5:
        raise FitError(f"a one-sided sequence needs alpha in (0, 0.5), got {alpha}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inner = np.log1p(np.sqrt(1 + ratio) / (2 * alpha))
        wide = se * np.sqrt(2 * (1 + ratio) / ratio * inner)
    return np.where(ratio > 0, wide, np.inf)


def always_valid_p(previous: Floats, log_e: Floats) -> Floats:
    """Return p_t = min(p_{t-1}, 1/E_t): it never rises again, whatever is looked at later.

    >>> always_valid_p(np.array([0.03, 1.0]), np.array([0.0, 5.0])).round(6)
    array([0.03    , 0.006738])
    """
    return np.minimum(previous, np.exp(-np.maximum(log_e, 0.0)))


def e_bh(log_e: Floats, alpha: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which hypotheses are rejected at false discovery rate alpha, whatever their dependence.

    The k* largest e-values, k* = max{k: k·e_(k)/J >= 1/alpha} (Wang & Ramdas 2022,
    doi:10.1111/rssb.12489). NaN (nothing known yet) counts as a hypothesis with e = 0.

    >>> e = np.array([50.0, 0.3, 120.0, 8.0, 33.0, 1.0, 0.5, 900.0, 20.0, 0.1])
    >>> np.flatnonzero(e_bh(np.log(e), 0.1))
    array([0, 2, 4, 7, 8])
    """
    known = np.where(np.isnan(log_e), -np.inf, log_e)
    order = np.argsort(-known, kind="stable")
    ranks = np.arange(1, len(known) + 1)
    enough = np.log(ranks / max(len(known), 1)) + known[order] >= -math.log(alpha) - 1e-12
    rejected = np.zeros(len(known), dtype=np.bool_)
    rejected[order[: int((ranks * enough).max(initial=0))]] = True
    return rejected


def log_e_of_p(p: Floats) -> Floats:
    """Return ln E of p-values, E = (1 - p + p ln p)/(p ln² p); 1/2 at p = 1.

    The mixture over κ in (0, 1) of the calibrators κp^(κ-1) (Vovk & Wang 2021,
    doi:10.1214/20-AOS2020).

    >>> np.exp(log_e_of_p(np.array([0.01, 1.0]))).round(6)
    array([4.450992, 0.5     ])
    """
    log_p = np.log(p)
    near = np.abs(log_p) < 1e-3
    x = np.where(near, -1.0, log_p)
    far = np.log1p(np.exp(x) * (x - 1)) - x - 2 * np.log(-x)
    # (1/p - 1 + ln p)/ln² p by its series in ln p where the terms cancel.
    series = np.log(0.5 - log_p / 6 + log_p**2 / 24)
    return np.where(near, series, far)
