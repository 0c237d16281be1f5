"""Nested pools straight from their definitions: dense grids and covariances, plain and slow."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, expit, gammainc, gammaln, ndtr

Floats = NDArray[np.float64]


class Answer(NamedTuple):
    """Log evidence, and every store's posterior mean and 95 % interval."""

    log_evidence: float
    mean: Floats
    lo: Floats
    hi: Floats


def normal(y: Floats, v: Floats, regions: NDArray[np.intp], scale: float, points: int) -> Answer:
    """Half-normal spreads on a dense grid, flat chain mean, dense covariance of all stores."""
    same = (regions[:, np.newaxis] == regions).astype(float)
    taus = (np.arange(points) + 0.5) * (4 * scale / points)
    weights, means, sds = [], [], []
    one = np.ones(len(y))
    for store in taus:
        for region in taus:
            prior = store**2 * np.eye(len(y)) + region**2 * same
            inverse = np.linalg.inv(prior + np.diag(v))
            precision = one @ inverse @ one
            mu = one @ inverse @ y / precision
            away = y - mu
            _, log_det = np.linalg.slogdet(inverse)
            fit = (log_det - away @ inverse @ away - np.log(precision)) / 2
            fit -= (len(y) - 1) / 2 * np.log(2 * np.pi)
            spread = -(store**2 + region**2) / (2 * scale**2) + np.log(2 / np.pi / scale**2)
            weights.append(fit + spread)
            pull = one - prior @ inverse @ one
            means.append(mu + prior @ inverse @ away)
            variance = np.diag(prior - prior @ inverse @ prior) + pull**2 / precision
            sds.append(np.sqrt(variance))
    log_mass = np.array(weights) + 2 * np.log(taus[1] - taus[0])
    mass = np.exp(log_mass - log_mass.max())
    evidence = float(np.log(mass.sum()) + log_mass.max())
    mass /= mass.sum()
    mean, sd = np.array(means), np.array(sds)
    ends = [
        _invert(lambda x: mass @ ndtr((x - mean) / sd), y - 20 * scale, y + 20 * scale, p)
        for p in (0.025, 0.975)
    ]
    return Answer(evidence, mass @ mean, ends[0], ends[1])


def counts(
    y: Floats, n: Floats, regions: NDArray[np.intp], *, gamma: bool, points: tuple[int, ...]
) -> Answer:
    """Half-normal(1) spreads, location normal(pooled, 2.5²); s, ω, η and every u on dense grids."""
    total_n, total_y = n.sum(), y.sum()
    rate = (total_y + 0.5) / (total_n + (0 if gamma else 1))
    centre = np.log(rate) if gamma else np.log(rate / (1 - rate))
    s_grid, o_grid = ((np.arange(k) + 0.5) * (4.0 / k) for k in points[:2])
    etas = centre + (np.arange(points[2]) + 0.5) * (8.0 / points[2]) - 4.0
    links = centre + np.linspace(-9.0, 7.0, points[3])
    unit = 1.0 if gamma else rate * (1 - rate)
    codes = np.unique(regions)
    edges = np.linspace(0, 1, 402)[1:-1] ** 2 * min(4.0 * (y / n).max(), np.inf if gamma else 1.0)
    parts, cdfs, means = [], [], []
    for s in s_grid:
        c = 1 / (s**2 * unit)
        like = _gamma(y, n, links, c) if gamma else _beta(y, n, links, c)
        region = np.stack([like[:, regions == code].sum(axis=1) for code in codes])
        moments = _store_moments(y, n, links, c, edges, gamma)
        for omega in o_grid:
            z = (links - etas[:, np.newaxis]) / omega
            kernel = np.exp(-(z**2) / 2) / omega / np.sqrt(2 * np.pi) * (links[1] - links[0])
            top = region.max(axis=1, keepdims=True)
            mass = kernel[:, np.newaxis, :] * np.exp(region - top)  # (η, region, link)
            total = mass.sum(axis=-1)
            ratio = 1.0 if gamma else np.sqrt(unit / (expit(etas) * expit(-etas)))
            prior = -((s * ratio) ** 2 + omega**2) / 2 + np.log(2 / np.pi * ratio)
            prior += -((etas - centre) ** 2) / 12.5 - np.log(2.5 * np.sqrt(2 * np.pi))
            log = (np.log(total) + top[:, 0]).sum(axis=1) + prior
            weight = np.exp(log - log.max())
            link_weight = np.einsum("e,erl->rl", weight / weight.sum(), mass / total[..., None])
            parts.append(np.log(weight.sum()) + log.max())
            rows = np.searchsorted(codes, regions)
            own = link_weight[rows]
            means.append(np.einsum("jl,lj->j", own, moments[0]))
            cdfs.append(np.einsum("jl,ljx->jx", own, moments[1]))
    log_mass = np.array(parts) + np.log(4.0 / points[0] * 4.0 / points[1] * 8.0 / points[2])
    mass = np.exp(log_mass - log_mass.max())
    evidence = float(np.log(mass.sum()) + log_mass.max()) + _constant(y, n, gamma)
    mass /= mass.sum()
    cdf = np.einsum("o,ojx->jx", mass, np.array(cdfs))
    lo, hi = (np.array([np.interp(p, row, edges) for row in cdf]) for p in (0.025, 0.975))
    return Answer(evidence, mass @ np.array(means), lo, hi)


def _beta(y: Floats, n: Floats, links: Floats, c: float) -> Floats:
    a, b = expit(links)[:, np.newaxis] * c, expit(-links)[:, np.newaxis] * c
    like: Floats = betaln(a + y, b + n - y) - betaln(a, b)
    return like


def _gamma(y: Floats, t: Floats, links: Floats, a: float) -> Floats:
    b = a / np.exp(links)[:, np.newaxis]
    like: Floats = gammaln(a + y) - gammaln(a) + a * np.log(b / (b + t)) - y * np.log(b + t)
    return like


def _constant(y: Floats, n: Floats, gamma: bool) -> float:
    if gamma:
        return float((y * np.log(n) - gammaln(y + 1)).sum())
    return float((gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)).sum())


def _store_moments(
    y: Floats, n: Floats, links: Floats, c: float, edges: Floats, gamma: bool
) -> tuple[Floats, Floats]:
    """Return mean (links, stores) and distribution function (links, stores, edges)."""
    if gamma:
        b = c / np.exp(links)[:, np.newaxis]
        return (c + y) / (b + n), gammainc((c + y)[:, None], (b + n)[..., None] * edges)
    m = expit(links)[:, np.newaxis]
    below = betainc((m * c + y)[..., None], ((1 - m) * c + n - y)[..., None], edges)
    return (m * c + y) / (c + n), below


def _invert(cdf: Callable[[Floats], Floats], low: Floats, high: Floats, p: float) -> Floats:
    for _ in range(60):
        middle = (low + high) / 2
        below = cdf(middle) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low
