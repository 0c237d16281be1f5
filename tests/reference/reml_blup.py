"""The random-effects model as metafor 3.8 fits it (``rma.uni(method="REML")`` and ``blup``).

Plain and slow, from the projection matrix: Viechtbauer (2005), doi:10.3102/10769986030003261.
"""

from typing import NamedTuple

import numpy as np

from stream_hb.statistics.columns import Floats


class Blups(NamedTuple):
    """τ², μ with its standard error, and every store's prediction with its own."""

    tau2: float
    mu: float
    se: float
    blup: Floats
    blup_se: Floats


def reml_blups(effect: Floats, variance: Floats, steps: int = 200) -> Blups:
    """Fit τ² by Fisher scoring with step halving at zero, and predict."""
    tau2 = max(0.0, float(effect.var(ddof=1) - variance.mean()))
    for _ in range(steps):
        w = 1 / (variance + tau2)
        away = effect - (w @ effect) / w.sum()
        # P = W - WX(X'WX)^-1X'W: y'PPy, tr(P) and tr(PP) written out for an intercept alone.
        py = w * away
        trace = w.sum() - (w**2).sum() / w.sum()
        traces = (w**2).sum() - 2 * (w**3).sum() / w.sum() + ((w**2).sum() / w.sum()) ** 2
        step = (py @ py - trace) / traces
        while tau2 + step < 0:
            step /= 2
            if abs(step) < 1e-12:
                break
        tau2 = max(0.0, tau2 + step)
        if abs(step) < 1e-8:
            break
    return blups_at(effect, variance, tau2 if tau2 > 1e-7 else 0.0)


def blups_at(effect: Floats, variance: Floats, tau2: float) -> Blups:
    """Predict at a given τ²: ``λy + (1 - λ)μ`` with λ = τ²/(τ² + v)."""
    w = 1 / (variance + tau2)
    mu, share = float(w @ effect / w.sum()), tau2 / (tau2 + variance)
    spread = share * variance + (1 - share) ** 2 / w.sum()
    predicted = share * effect + (1 - share) * mu
    return Blups(tau2, mu, float(w.sum() ** -0.5), predicted, np.sqrt(spread))
