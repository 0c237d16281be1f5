"""Sample ratio mismatch: do the arms have the shares of units that they were declared with?"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, gammaln

from stream_hb.statistics.columns import Floats

CONCENTRATION = 1_000.0
LOG_E_ALERT = math.log(1_000.0)
P_WARN, P_ALERT = 0.01, 0.001
DEVIATION_LEAST = 0.001
"""A share off by less than this is no alert, however sure it is."""


class SampleRatio(NamedTuple):
    """What the units' shares say.

    p_value
        Of the chi-square test, looked at once; 1 without units.
    log_e
        Of the continuous test.
    deviation
        Largest difference of a share from its weight.
    unexpected
        Units in arms of weight 0.
    """

    p_value: float
    log_e: float
    deviation: float
    unexpected: float

    @property
    def status(self) -> str:
        """``ok``, ``warn`` or ``alert``."""
        clear = self.p_value < P_ALERT and self.deviation >= DEVIATION_LEAST
        if clear or self.log_e >= LOG_E_ALERT:
            return "alert"
        return "warn" if self.p_value < P_WARN else "ok"


def sample_ratio(units: Floats, weights: Floats) -> SampleRatio:
    """Compare the units of the arms with their weights.

    Arms of weight 0 leave the total and the degrees of freedom (counted, as gbstats 0.8.0 does,
    101, 100 and 99 units at weights .5, .5, 0 are a mismatch with p = 8e-8). A unit in one is not
    chance at all: ``unexpected``.

    Parameters
    ----------
    units, weights
        Of each arm, shape (arms,); weights sum to 1.

    Examples
    --------
    >>> found = sample_ratio(np.array([1000.0, 1200.0]), np.array([0.5, 0.5]))
    >>> f"{found.p_value:.4e} {found.log_e:.4f} {found.status}"
    '2.0079e-05 5.6743 alert'
    """
    live = weights > 0
    count, share = units[live], weights[live] / weights[live].sum()
    unexpected, total = float(units[~live].sum()), float(count.sum())
    if total == 0 or len(count) < 2:
        return SampleRatio(1.0, 0.0, 0.0, unexpected)
    chi2 = float(((count - total * share) ** 2 / (total * share)).sum())
    p_value = float(gammaincc((len(count) - 1) / 2, chi2 / 2))
    log_e = float(srm_log_e(count[None], share)[0])
    return SampleRatio(p_value, log_e, float(np.abs(count / total - share).max()), unexpected)


def srm_log_e(units: Floats, share: Floats, concentration: float = CONCENTRATION) -> Floats:
    r"""Return ln E of the continuous test, valid however often it is looked at.

    .. math:: \ln E = \lnΓ(A) - \lnΓ(A + N) + \sum\{\lnΓ(a_i + n_i) - \lnΓ(a_i)\} - \sum n_i\ln p_i,
              \quad a_i = cp_i

    the Dirichlet-multinomial against the multinomial (Lindon & Malek 2022,
    https://arxiv.org/abs/2011.03567). Units need not come one by one: only counts enter.

    Parameters
    ----------
    units
        Shape (stores, arms), of arms with positive share.
    share
        Shape (arms,), sums to 1.
    concentration
        c: the larger, the smaller the deviations that the test is made for.
    """
    prior = concentration * share
    total = units.sum(axis=1)
    arms = gammaln(prior + units) - gammaln(prior) - units * np.log(share)
    out: Floats = gammaln(concentration) - gammaln(concentration + total) + arms.sum(axis=1)
    return out
