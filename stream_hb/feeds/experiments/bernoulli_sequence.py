"""A confidence sequence for one conversion rate, exact at every number of visits."""

import math

from scipy.optimize import brentq

from stream_hb.errors import FitError
from stream_hb.models.special import rising_log


def bernoulli_sequence(
    successes: float, trials: float, alpha: float, best_at: float, alpha_best: float = 0.05
) -> tuple[float, float]:
    r"""Return both ends: all rates p that a Beta-Binomial mixture about them does not refute.

    .. math:: E(p) = \frac{B(mp + k, mq + n - k)}{B(mp, mq)\,p^k q^{n-k}} < 1/α, \quad
              m = \frac{n^*}{2\ln(1/α') + \ln\{1 + 2\ln(1/α')\}} - 1

    (Howard et al. 2021, doi:10.1214/20-AOS1991, with the tuning of their package confseq). No
    normal approximation: it holds from the first visit on.

    Parameters
    ----------
    successes, trials
        k of n.
    alpha
        Probability that the sequence ever misses the rate, at most.
    best_at, alpha_best
        n* and α': where, and for which alpha, the sequence is narrowest; fixed beforehand.

    Raises
    ------
    FitError
        There are more successes than trials, or alpha is not in (0, 1).

    Examples
    --------
    >>> lo, hi = bernoulli_sequence(700, 1000, 0.05, best_at=100)
    >>> round(lo, 6), round(hi, 6)
    (0.65163, 0.74595)
    """
    if not (0 <= successes <= trials and 0 < alpha < 1):
        raise FitError(f"{successes} of {trials} at alpha {alpha}: expected 0 <= k <= n, 0 < a < 1")
    if trials == 0:
        return 0.0, 1.0
    log_inverse = -2 * math.log(alpha_best)
    size = max(best_at / (log_inverse + math.log1p(log_inverse)) - 1, 1e-3)

    def excess(p: float) -> float:
        """Return ln E(p) - ln(1/alpha): the powers of p and q cancel against the likelihood's."""
        # Not by scipy's betaln: next to p = 1 it is infinite, and no end was found where all buy.
        rises = rising_log(successes, size * p) + rising_log(trials - successes, size * (1 - p))
        return float(rises - rising_log(trials, size)) + math.log(alpha)

    rate, edge = successes / trials, 1e-12
    # A likelihood is highest at the rate itself: E is below 1 there, and 0 < p < 1 is asked for.
    inside = min(max(rate, edge), 1 - edge)
    lo = 0.0 if successes == 0 or excess(edge) < 0 else brentq(excess, edge, inside, xtol=1e-13)
    hi = 1.0 if successes == trials or excess(1 - edge) < 0 else brentq(excess, inside, 1 - edge)
    return float(lo), float(hi)
