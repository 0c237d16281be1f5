"""Linear predictors at the nodes carry the coefficients' covariance, few of them or many."""

import numpy as np
import pytest

from stream_hb.models.covariates.link_hyper import LinkHyper, inner_weights


@pytest.mark.parametrize("covariates", [0, 1, 2, 3, 4, 5, 9])
def test_every_rows_predictor_has_its_own_mean_and_variance(covariates: int) -> None:
    """Would fail if beyond four coefficients, or all but the intercept, were taken as known."""
    rng = np.random.default_rng(covariates)
    size = covariates + 1
    beta, root = rng.normal(size=(2, size)), rng.normal(size=(2, size, size))
    points, share = inner_weights(size)
    hyper = LinkHyper(
        tuple(f"x{i}" for i in range(covariates)),
        np.zeros(covariates),
        np.ones(covariates),
        beta,
        root,
        np.full((2, len(share)), 30.0),
        np.tile(share / 2, (2, 1)),
    )
    rows = np.column_stack([np.ones(6), rng.normal(0, 2, (6, covariates))])
    at = hyper.predictors(rows)
    assert at.shape == (2, len(points), 6)
    mean = np.einsum("k,okj->oj", share, at)
    variance = np.einsum("k,okj->oj", share, (at - mean[:, np.newaxis]) ** 2)
    np.testing.assert_allclose(mean, beta @ rows.T, rtol=1e-10)
    covariance = np.einsum("oik,ojk->oij", root, root)
    expected = np.einsum("ji,oik,jk->oj", rows, covariance, rows)
    np.testing.assert_allclose(variance, expected, rtol=1e-10)
    np.testing.assert_allclose(hyper.predictor_sd(rows) ** 2, expected, rtol=1e-10)
