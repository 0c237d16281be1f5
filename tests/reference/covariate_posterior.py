"""Posteriors of counts with one covariate by a dense grid over all three hyperparameters.

``python -m tests.reference.covariate_posterior`` prints the values of
tests/data/oracles/covariates_dense.json; it takes minutes.
"""

import json
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betainc, betaln, expit, gammainc, gammaln, logit

from stream_hb.statistics.columns import Floats

_LEVEL = 0.95


class Pool(NamedTuple):
    kind: str
    y: Floats
    size: Floats
    z: Floats
    """The covariate, centred and scaled."""


def simulated(kind: str, groups: int, seed: int) -> Pool:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=groups)
    size = rng.integers(5, 200, groups).astype(float)
    if kind == "beta-binomial":
        m = expit(-2 + 0.5 * x)
        y = rng.binomial(size.astype(int), rng.beta(30 * m, 30 * (1 - m)))
    else:
        y = rng.poisson(size * rng.gamma(3, np.exp(-1 + 0.5 * x) / 3))
    return Pool(kind, y.astype(float), size, (x - x.mean()) / x.std())


def _log_density(pool: Pool, b0: Floats, b1: Floats, log_s: Floats) -> tuple[Floats, Floats]:
    """Log of likelihood × priors in (b0, b1, ln s), and the concentration."""
    is_rate = pool.kind == "beta-binomial"
    centre = _centre(pool)
    s = np.exp(log_s)
    c = 1 / (s**2 * (expit(b0) * expit(-b0) if is_rate else np.ones_like(b0)))
    out = -0.5 * s**2 + log_s + 0.5 * np.log(2 / np.pi)
    out -= ((b0 - centre) ** 2 + b1**2) / (2 * 6.25) + np.log(2 * np.pi * 6.25)
    for y, n, z in zip(pool.y, pool.size, pool.z, strict=True):
        eta = b0 + b1 * z
        if is_rate:
            a, b = np.maximum(expit(eta) * c, 1e-12), np.maximum(expit(-eta) * c, 1e-12)
            out += betaln(a + y, b + n - y) - betaln(a, b)
            out += gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)
        else:
            r = n * np.exp(eta) / c
            out += gammaln(c + y) - gammaln(c) - gammaln(y + 1)
            out += y * np.log(r) - (c + y) * np.log1p(r)
    return out, c * np.ones_like(out)


def _centre(pool: Pool) -> float:
    rate = pool.y.sum() / pool.size.sum()
    return float(logit(rate) if pool.kind == "beta-binomial" else np.log(rate))


def dense(pool: Pool, counts: tuple[int, int, int] = (45, 45, 71)) -> dict[str, Any]:
    centre = _centre(pool)
    low = np.array([centre - 6, -6.0, np.log(1e-4)])
    high = np.array([centre + 6, 6.0, np.log(6.0)])
    for last in (False, False, False, True):
        axes = [np.linspace(low[i], high[i], counts[i]) for i in range(3)]
        b0, b1, log_s = np.meshgrid(*axes, indexing="ij")
        value, c = _log_density(pool, b0, b1, log_s)
        weight = np.exp(value - value.max())
        if not last:
            low, high = _narrowed(axes, weight)
    step = np.prod([axis[1] - axis[0] for axis in axes])
    evidence = float(value.max() + np.log(weight.sum() * step))
    weight /= weight.sum()
    kept = weight > weight.max() * 1e-6
    nodes = [array[kept] for array in (b0, b1, c, weight / weight[kept].sum())]
    rows = [_group(pool, row, *nodes) for row in range(len(pool.y))]
    return {
        "log_evidence": evidence,
        "slope": float((nodes[1] * nodes[3]).sum()),
        "log_concentration": float((np.log(nodes[2]) * nodes[3]).sum()),
        **dict(zip(("mean", "lo", "hi"), map(list, zip(*rows, strict=True)), strict=True)),
    }


def _narrowed(axes: list[Floats], weight: Floats) -> tuple[Floats, Floats]:
    ends = []
    for i, axis in enumerate(axes):
        most = weight.max(axis=tuple(j for j in range(3) if j != i))
        inside = np.flatnonzero(most > 1e-7 * most.max())
        ends.append((axis[max(inside[0] - 1, 0)], axis[min(inside[-1] + 1, len(axis) - 1)]))
    low, high = np.array(ends).T
    return low, high


def _group(
    pool: Pool, row: int, b0: Floats, b1: Floats, c: Floats, weight: Floats
) -> tuple[float, float, float]:
    y, n, eta = pool.y[row], pool.size[row], b0 + b1 * pool.z[row]
    is_rate = pool.kind == "beta-binomial"
    a = expit(eta) * c + y if is_rate else c + y
    b = expit(-eta) * c + n - y if is_rate else c / np.exp(eta) + n
    mean = float(weight @ (a / (a + b) if is_rate else a / b))

    def below(x: float) -> float:
        return float(weight @ (betainc(a, b, x) if is_rate else gammainc(a, b * x)))

    ends = []
    for probability in ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2):
        low, high = 0.0, 1.0 if is_rate else 50 * mean
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) < probability else (low, middle)
        ends.append(low)
    return mean, ends[0], ends[1]


if __name__ == "__main__":
    cases = []
    for kind in ("beta-binomial", "gamma-poisson"):
        for groups, seed in ((5, 1), (20, 1)):
            pool = simulated(kind, groups, seed)
            data = {
                name: value if name == "kind" else value.tolist()
                for name, value in pool._asdict().items()
            }
            cases.append({"data": data, "values": dense(pool)})
    print(
        json.dumps(
            {"call": "python -m tests.reference.covariate_posterior", "cases": cases}, indent=1
        )
    )
