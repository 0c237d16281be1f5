"""Predictions of the mean of observations to come: mixtures of normals, a Student-t among them.

Given the hyperparameters and σ², the mean of k observations is N(m, s² + σ²/k), (m, s) being the
group's posterior. Nodes of (μ, τ, σ²) make that a mixture; where a group's own variance is
uncertain its nodes are mixed too, and what comes of it is a t. The sum of squares of the
observations is not scored: that of a mean is what the estimate promises.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtr

from stream_hb.feeds.calibration.scores import Scores
from stream_hb.models.normal_mixture import Mixture
from stream_hb.statistics.columns import Floats

_CELLS_MAX = 1 << 17
_ROOT_2PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True, slots=True)
class MeanPredictive:
    """One mixture of normals a group.

    Attributes
    ----------
    centre, sd, weight
        Of the kernels, shape (groups, kernels); weights sum to 1.
    """

    centre: Floats
    sd: Floats
    weight: Floats

    @classmethod
    def of(cls, belief: Mixture, noise: Floats) -> Self:
        """Return the predictives of means with these sampling variances, (groups, kernels)."""
        weight = np.broadcast_to(belief.weight, belief.mean.shape)
        return cls(belief.mean, np.sqrt(belief.sd**2 + noise), weight)

    def __len__(self) -> int:
        return len(self.centre)

    def mean(self) -> Floats:
        """Return the expected means."""
        return self._mixture().moments()[0]

    def quantile(self, probability: float) -> Floats:
        """Return the quantiles."""
        return self._mixture().quantile(probability)

    def distribution(self, x: Floats) -> Floats:
        """Return P(Y ≤ x)."""
        z = (x[:, np.newaxis] - self.centre) / self.sd
        below: Floats = (self.weight * ndtr(z)).sum(axis=-1)
        return below

    def log_score(self, y: Floats) -> Floats:
        """Return the log density of every group's mean."""
        z = (y[:, np.newaxis] - self.centre) / self.sd
        log_kernel = -0.5 * z**2 - np.log(self.sd)
        top = log_kernel.max(axis=-1)
        with np.errstate(under="ignore"):
            sum_ = (self.weight * np.exp(log_kernel - top[:, np.newaxis])).sum(axis=-1)
        with np.errstate(divide="ignore"):
            out: Floats = top + np.log(sum_) - np.log(_ROOT_2PI)
        return out

    def scores(self, y: Floats) -> Scores:
        """Score every group's mean."""
        out = Scores.unknown(len(self))
        step = max(1, _CELLS_MAX // self.centre.shape[1] ** 2)
        for first in range(0, len(self), step):
            rows = slice(first, first + step)
            some = type(self)(self.centre[rows], self.sd[rows], self.weight[rows])
            at = y[rows]
            below, crps = some.distribution(at), some._crps(at)
            out.put(rows, Scores(below, np.zeros(len(some)), some.log_score(at), crps))
        return out

    def _crps(self, y: Floats) -> Floats:
        """Return ΣwᵢA(y - mᵢ, sᵢ) - ½ΣΣwᵢwⱼA(mᵢ - mⱼ, √(sᵢ² + sⱼ²)), A(x, s) = E|N(x, s²)|.

        Grimit, Gneiting, Berrocal & Johnson (2006), doi:10.1256/qj.05.235.
        """
        apart = (self.weight * _absolute(y[:, np.newaxis] - self.centre, self.sd)).sum(axis=-1)
        between = self.centre[:, :, np.newaxis] - self.centre[:, np.newaxis]
        sd = np.sqrt(self.sd[:, :, np.newaxis] ** 2 + self.sd[:, np.newaxis] ** 2)
        pairs = np.einsum("gi,gij,gj->g", self.weight, _absolute(between, sd), self.weight)
        crps: Floats = np.maximum(apart - pairs / 2, 0.0)
        return crps

    def _mixture(self) -> Mixture:
        return Mixture(self.centre, self.sd, self.weight)


def _absolute(x: Floats, sd: Floats) -> Floats:
    """Return E|N(x, sd²)|."""
    z = x / sd
    out: Floats = x * (2 * ndtr(z) - 1) + 2 * sd * np.exp(-0.5 * z**2) / _ROOT_2PI
    return out
